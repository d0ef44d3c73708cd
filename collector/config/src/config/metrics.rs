//! The exporters of metrics.

use super::exporters::{headers, queue, retry, tls};
use super::translation::{label_underscores, labels, translation};
use super::{
    ClientTlsConfig, ComponentId, Field, LabelValue, QueueConfig, RetryConfig, Spanned, TranslationConfig,
};
use crate::decode::{self, Cursor, Fields, Unless};
use crate::duration::GoDuration;
use crate::error::Diagnostics;
use crate::settings::Secret;
use crate::tree;

/// `prometheusremotewrite`, which upstream calls `prometheus_remote_write` since v0.161.0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RemoteWriteConfig {
    /// The settings of the HTTP client.
    pub client: HttpClientConfig,
    /// True: they stand under `http`, as upstream wants since v0.158.0; false: beside the others.
    pub client_under_http: bool,
    /// Default 30 s; upstream's is 5 s.
    pub timeout: Field<GoDuration>,
    /// Names and labels; its key for scope labels is `disable_scope_info`.
    pub translation: TranslationConfig,
    /// Labels of every series that has none of that name.
    pub external_labels: Vec<Spanned<(String, LabelValue)>>,
    /// `target_info.enabled`; default true, as upstream.
    pub target_info: Field<bool>,
    /// Default true; upstream's is false.
    pub send_metadata: Field<bool>,
    /// `remote_write_queue`; defaults 10000 and 5, as upstream.
    pub remote_write_queue: QueueConfig,
    /// In bytes; 0 or nothing: 3,000,000, as upstream.
    pub max_batch_size_bytes: Field<u64>,
    /// Instead of `remote_write_queue.num_consumers`, as upstream.
    pub max_batch_request_parallelism: Field<u64>,
    /// Defaults 50 ms, 5 s, no end.
    pub retry_on_failure: RetryConfig,
    /// `tracepipe`: what only tracepipe has. `label_underscores` stands there as well.
    pub own: RemoteWriteOwnConfig,
}

/// `prometheusremotewrite.tracepipe`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RemoteWriteOwnConfig {
    /// Default 1 min.
    pub target_info_interval: Field<GoDuration>,
    /// Default 1 min.
    pub metadata_interval: Field<GoDuration>,
    /// Default 2000.
    pub max_samples_per_send: Field<u64>,
    /// Default 5 s.
    pub batch_send_deadline: Field<GoDuration>,
    /// Default true.
    pub bisect: Field<bool>,
    /// Default false.
    pub inject_zero: Field<bool>,
    /// Default 1 h.
    pub sample_age_limit: Field<GoDuration>,
    /// Default 1 min.
    pub out_of_order_window: Field<GoDuration>,
    /// Default 100,000.
    pub max_streams: Field<u64>,
    /// Default 5 min.
    pub max_stale: Field<GoDuration>,
    /// Default 160.
    pub max_native_buckets: Field<u64>,
}

/// The settings of an HTTP client.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HttpClientConfig {
    /// Required: an `http` or `https` URL.
    pub endpoint: Field<String>,
    /// An `http` or `https` URL. Nothing, or empty: the environment says.
    pub proxy_url: Field<String>,
    /// `tls`.
    pub tls: ClientTlsConfig,
    /// Sent with every request.
    pub headers: Vec<Spanned<(String, Secret)>>,
    /// `auth.authenticator`: an extension.
    pub authenticator: Field<ComponentId>,
}

/// `prometheus`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PrometheusExporterConfig {
    /// Required: `host:port`.
    pub endpoint: Field<String>,
    /// Names and labels; its key for scope labels is `without_scope_info`.
    pub translation: TranslationConfig,
    /// Labels of every series.
    pub const_labels: Vec<Spanned<(String, LabelValue)>>,
    /// Default false, as upstream.
    pub send_timestamps: Field<bool>,
    /// Default 5 min, as upstream.
    pub metric_expiration: Field<GoDuration>,
    /// Default false, as upstream.
    pub enable_open_metrics: Field<bool>,
    /// `tracepipe.max_series`; default 100,000.
    pub max_series: Field<u64>,
}

/// The keys of [`HttpClientConfig`], and those of upstream's client that are refused or have no effect here.
const CLIENT_KEYS: [&str; 20] = [
    "endpoint",
    "proxy_url",
    "tls",
    "headers",
    "auth",
    "compression",
    "compression_params",
    "read_buffer_size",
    "write_buffer_size",
    "max_idle_conns",
    "max_idle_conns_per_host",
    "max_conns_per_host",
    "idle_conn_timeout",
    "disable_keep_alives",
    "keepalive",
    "http2_read_idle_timeout",
    "http2_ping_timeout",
    "cookies",
    "middlewares",
    "force_attempt_http2",
];

pub(super) fn remote_write(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<RemoteWriteConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let mut timeout = fields.get(diag, "timeout", decode::duration);
    let under_http = fields.entry("http").filter(|(_, cursor)| !cursor.node.is_null());
    let client_under_http = under_http.is_some();
    let client = match under_http {
        None => client(&mut fields, diag),
        Some((_, cursor)) => {
            for key in CLIENT_KEYS {
                if fields.has(key) {
                    diag.excuse(tree::join(&cursor.path, key));
                }
                fields.refused(
                    diag,
                    key,
                    "belongs under `http`, where the others of its kind stand",
                );
            }
            let mut http = Fields::new(&cursor, diag)?;
            let inner = http.get(diag, "timeout", decode::duration);
            if let (Some(inner), Some(_)) = (&inner, &timeout) {
                let path = tree::join(&cursor.path, "timeout");
                diag.error(inner.at, path, "stands beside `http` as well; take one away");
            }
            timeout = timeout.or(inner);
            let client = client(&mut http, diag);
            http.finish(diag);
            client
        }
    };
    let translation = translation(&mut fields, "disable_scope_info", diag);
    let mut config = RemoteWriteConfig {
        client,
        client_under_http,
        timeout,
        translation,
        external_labels: labels(&mut fields, "external_labels", diag),
        target_info: fields
            .get(diag, "target_info", |cursor, diag| {
                let mut fields = Fields::new(cursor, diag)?;
                let enabled = fields.get(diag, "enabled", decode::boolean);
                fields.finish(diag);
                Some(enabled)
            })
            .and_then(|enabled| enabled.value),
        send_metadata: fields.get(diag, "send_metadata", decode::boolean),
        remote_write_queue: fields
            .get(diag, "remote_write_queue", queue)
            .map(|queue| queue.value)
            .unwrap_or_default(),
        max_batch_size_bytes: fields.get(diag, "max_batch_size_bytes", decode::whole),
        max_batch_request_parallelism: fields.get(diag, "max_batch_request_parallelism", decode::whole),
        retry_on_failure: fields
            .get(diag, "retry_on_failure", retry)
            .map(|retry| retry.value)
            .unwrap_or_default(),
        own: RemoteWriteOwnConfig::default(),
    };
    if let Some((_, cursor)) = fields.entry("tracepipe") {
        config.own = remote_write_own(&cursor, &mut config.translation, diag)?;
    }
    remote_write_refusals(&mut fields, diag);
    fields.finish(diag);
    Some(config)
}

fn remote_write_refusals(fields: &mut Fields<'_>, diag: &mut Diagnostics) {
    let wal = "there is no write-ahead log: what waits is held in memory, within the memory limit, until it is an hour old \
               (`tracepipe.sample_age_limit`); take it away";
    fields.refused_unless(diag, ("wal", Unless::Never), wal);
    let version_2 = "this version speaks remote write 1.0, the one that Amazon Managed Prometheus documents; write \
                     `prometheus.WriteRequest`, or take it away";
    fields.refused_unless(
        diag,
        ("protobuf_message", Unless::Word("prometheus.WriteRequest")),
        version_2,
    );
    let buckets = "histograms of custom buckets need remote write 2.0, and Amazon Managed Prometheus refuses them; take it \
         away, and have the application send exponential histograms, which become native ones";
    fields.refused_unless(
        diag,
        ("convert_explicit_histograms_to_nhcb", Unless::False),
        buckets,
    );
    fields.without_effect(
        diag,
        &["keep_classic_histograms"],
        "explicit histograms are always written as classic ones",
    );
    let metadata = "requests of several applications go out together, so none has the headers of one of them; write what \
                    every request needs under `headers`";
    fields.refused_unless(diag, ("include_metadata_keys", Unless::Empty), metadata);
    let own = "is a setting of tracepipe, not of the OpenTelemetry Collector; write it under `tracepipe`";
    for key in OWN_KEYS {
        fields.refused(diag, key, own);
    }
}

const OWN_KEYS: [&str; 12] = [
    "target_info_interval",
    "metadata_interval",
    "max_samples_per_send",
    "batch_send_deadline",
    "bisect",
    "inject_zero",
    "sample_age_limit",
    "out_of_order_window",
    "max_streams",
    "max_stale",
    "max_native_buckets",
    "label_underscores",
];

/// The settings of `prometheusremotewrite` that upstream does not have.
fn remote_write_own(
    cursor: &Cursor<'_>,
    translation: &mut TranslationConfig,
    diag: &mut Diagnostics,
) -> Option<RemoteWriteOwnConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    translation.label_underscores = label_underscores(&mut fields, diag);
    let config = RemoteWriteOwnConfig {
        target_info_interval: fields.get(diag, "target_info_interval", decode::duration),
        metadata_interval: fields.get(diag, "metadata_interval", decode::duration),
        max_samples_per_send: fields.get(diag, "max_samples_per_send", decode::whole),
        batch_send_deadline: fields.get(diag, "batch_send_deadline", decode::duration),
        bisect: fields.get(diag, "bisect", decode::boolean),
        inject_zero: fields.get(diag, "inject_zero", decode::boolean),
        sample_age_limit: fields.get(diag, "sample_age_limit", decode::duration),
        out_of_order_window: fields.get(diag, "out_of_order_window", decode::duration),
        max_streams: fields.get(diag, "max_streams", decode::whole),
        max_stale: fields.get(diag, "max_stale", decode::duration),
        max_native_buckets: fields.get(diag, "max_native_buckets", decode::whole),
    };
    fields.finish(diag);
    Some(config)
}

fn client(fields: &mut Fields<'_>, diag: &mut Diagnostics) -> HttpClientConfig {
    let config = HttpClientConfig {
        endpoint: fields.get(diag, "endpoint", decode::text),
        proxy_url: fields.get(diag, "proxy_url", decode::text),
        tls: tls(fields, diag),
        headers: headers(fields, diag),
        authenticator: fields
            .get(diag, "auth", |cursor, diag| {
                let mut fields = Fields::new(cursor, diag)?;
                let id = fields.get(diag, "authenticator", component);
                fields.finish(diag);
                if id.is_none() {
                    let path = tree::join(&cursor.path, "authenticator");
                    let message = "is required, for example `authenticator: sigv4auth`";
                    diag.error(cursor.node.at, path, message);
                }
                id
            })
            .map(|id| id.value),
    };
    let snappy = "remote write is always compressed with snappy; write `snappy`, or take it away";
    fields.refused_unless(diag, ("compression", Unless::Word("snappy")), snappy);
    let advice = "the HTTP client has no such parts here; take it away";
    for key in ["cookies", "middlewares"] {
        fields.refused_unless(diag, (key, Unless::Empty), advice);
    }
    fields.without_effect(diag, &["compression_params"], "snappy has no levels");
    fields.without_effect(
        diag,
        &["read_buffer_size", "write_buffer_size"],
        "buffers size themselves",
    );
    fields.without_effect(
        diag,
        &[
            "max_idle_conns",
            "max_idle_conns_per_host",
            "max_conns_per_host",
            "idle_conn_timeout",
            "disable_keep_alives",
            "keepalive",
        ],
        "each request in flight has a connection, which is used again",
    );
    fields.without_effect(
        diag,
        &[
            "http2_read_idle_timeout",
            "http2_ping_timeout",
            "force_attempt_http2",
        ],
        "requests go by HTTP/1.1",
    );
    config
}

fn component(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<ComponentId> {
    let text = decode::text(cursor, diag)?;
    ComponentId::parse(&text)
        .map_err(|message| cursor.error(diag, message))
        .ok()
}

pub(super) fn prometheus(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<PrometheusExporterConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let mut config = PrometheusExporterConfig {
        endpoint: fields.get(diag, "endpoint", decode::text),
        translation: translation(&mut fields, "without_scope_info", diag),
        const_labels: labels(&mut fields, "const_labels", diag),
        send_timestamps: fields.get(diag, "send_timestamps", decode::boolean),
        metric_expiration: fields.get(diag, "metric_expiration", decode::duration),
        enable_open_metrics: fields.get(diag, "enable_open_metrics", decode::boolean),
        max_series: None,
    };
    if let Some((_, cursor)) = fields.entry("tracepipe") {
        let mut own = Fields::new(&cursor, diag)?;
        config.translation.label_underscores = label_underscores(&mut own, diag);
        config.max_series = own.get(diag, "max_series", decode::whole);
        own.finish(diag);
    }
    let own = "is a setting of tracepipe, not of the OpenTelemetry Collector; write it under `tracepipe`";
    for key in ["max_series", "label_underscores"] {
        fields.refused(diag, key, own);
    }
    let tls = "the page is served in plain text: keep the port within the pod network, or scrape it by a proxy that has a \
               certificate; take it away";
    for key in ["tls", "auth"] {
        fields.refused_unless(diag, (key, Unless::Never), tls);
    }
    fields.unsupported(
        diag,
        &[
            ("transport", Unless::Word("tcp")),
            ("dialer", Unless::Empty),
            ("cors", Unless::Empty),
            ("middlewares", Unless::Empty),
            ("response_headers", Unless::Empty),
            ("include_metadata", Unless::False),
        ],
    );
    fields.without_effect(
        diag,
        &[
            "compression_algorithms",
            "max_request_body_size",
            "read_timeout",
            "read_header_timeout",
            "write_timeout",
            "idle_timeout",
            "keepalive",
            "keep_alives_enabled",
        ],
        "a scrape has no body, and the server has its own limits",
    );
    fields.without_effect(
        diag,
        &["sending_queue"],
        "the page is there to be asked for, nothing is sent",
    );
    fields.finish(diag);
    Some(config)
}
