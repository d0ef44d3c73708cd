//! `receivers`.

use super::Field;
use crate::decode::{self, Cursor, Fields, Unless};
use crate::error::{Diagnostics, Position};

/// A receiver.
#[derive(Debug, Clone, PartialEq)]
pub enum ReceiverConfig {
    /// `otlp`.
    Otlp(OtlpReceiverConfig),
}

/// `receivers.otlp`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OtlpReceiverConfig {
    /// `protocols.grpc`; a key without a value means all defaults.
    pub grpc: Field<OtlpServerConfig>,
    /// `protocols.http`; a key without a value means all defaults.
    pub http: Field<OtlpServerConfig>,
    /// Where `protocols` stands.
    pub protocols_at: Option<Position>,
}

/// One OTLP server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OtlpServerConfig {
    /// `host:port`; default `localhost:4317` for gRPC and `localhost:4318` for HTTP, as upstream.
    pub endpoint: Field<String>,
    /// `max_recv_msg_size_mib`, gRPC only, in MiB. 0: the default.
    pub max_recv_msg_size_mib: Field<u64>,
    /// `max_request_body_size`, HTTP only, in bytes. 0: the default.
    pub max_request_body_size: Field<u64>,
    /// `traces_url_path`, HTTP only.
    pub traces_url_path: Field<String>,
    /// `metrics_url_path`, HTTP only.
    pub metrics_url_path: Field<String>,
}

impl ReceiverConfig {
    pub(super) fn decode(_kind: &str, cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<Self> {
        let mut fields = Fields::new(cursor, diag)?;
        let mut config = OtlpReceiverConfig::default();
        if let Some((at, cursor)) = fields.entry("protocols") {
            config.protocols_at = Some(at);
            let mut protocols = Fields::new(&cursor, diag)?;
            config.grpc = server(&mut protocols, "grpc", diag, grpc);
            config.http = server(&mut protocols, "http", diag, http);
            protocols.finish(diag);
        }
        fields.finish(diag);
        Some(Self::Otlp(config))
    }
}

fn server(
    protocols: &mut Fields<'_>,
    key: &'static str,
    diag: &mut Diagnostics,
    decode: fn(&Cursor<'_>, &mut Diagnostics) -> Option<OtlpServerConfig>,
) -> Field<OtlpServerConfig> {
    let (at, cursor) = protocols.entry(key)?;
    Some(super::Spanned {
        value: decode(&cursor, diag)?,
        at: Some(at),
    })
}

fn grpc(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<OtlpServerConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = OtlpServerConfig {
        endpoint: fields.get(diag, "endpoint", decode::text),
        max_recv_msg_size_mib: fields.get(diag, "max_recv_msg_size_mib", decode::whole),
        ..OtlpServerConfig::default()
    };
    common(&mut fields, diag);
    fields.unsupported(
        diag,
        &[
            ("transport", Unless::Word("tcp")),
            ("max_concurrent_streams", Unless::Zero),
            ("keepalive", Unless::Empty),
        ],
    );
    fields.without_effect(
        diag,
        &["read_buffer_size", "write_buffer_size"],
        "buffers size themselves",
    );
    fields.finish(diag);
    Some(config)
}

fn http(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<OtlpServerConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = OtlpServerConfig {
        endpoint: fields.get(diag, "endpoint", decode::text),
        max_request_body_size: fields.get(diag, "max_request_body_size", decode::whole),
        traces_url_path: fields.get(diag, "traces_url_path", decode::text),
        metrics_url_path: fields.get(diag, "metrics_url_path", decode::text),
        ..OtlpServerConfig::default()
    };
    common(&mut fields, diag);
    fields.unsupported(
        diag,
        &[
            ("transport", Unless::Word("tcp")),
            ("cors", Unless::Empty),
            ("response_headers", Unless::Empty),
            ("compression_algorithms", Unless::Empty),
            ("read_timeout", Unless::Zero),
            ("read_header_timeout", Unless::Zero),
            ("write_timeout", Unless::Zero),
            ("idle_timeout", Unless::Zero),
            ("keepalive", Unless::Empty),
            ("keep_alives_enabled", Unless::Word("true")),
        ],
    );
    fields.without_effect(diag, &["logs_url_path"], "this version receives no logs");
    fields.finish(diag);
    Some(config)
}

fn common(fields: &mut Fields<'_>, diag: &mut Diagnostics) {
    fields.unsupported(
        diag,
        &[
            ("tls", Unless::Never),
            ("auth", Unless::Never),
            ("middlewares", Unless::Empty),
            ("include_metadata", Unless::False),
        ],
    );
}
