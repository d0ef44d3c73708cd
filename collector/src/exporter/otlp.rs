//! `otlp`: the batch as it is, over gRPC.

use std::time::Duration;

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tracepipe_config::{ClientTls, Compression, OtlpExporterSettings, RetrySettings};
use tracepipe_otlp::proto;

use super::progress::Progress;
use super::retry::Backoff;
use crate::batcher::SpanBatch;
use crate::clock::Clock;
use crate::limiter::MemoryLimiter;

const EXPORT_TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Most bytes of an answer (OTLP specification, "Maximum Message Size"): it says at most how many spans were rejected.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a compressor holds while it works on a batch, beside the batch and what comes of it; on the safe side.
const GZIP_BYTES: u64 = 512 * 1024;
const ZSTD_BYTES: u64 = 4 * 1024 * 1024;

/// The exporter.
pub(crate) struct OtlpExporter {
    channel: Channel,
    headers: MetadataMap,
    compression: Option<CompressionEncoding>,
    retry: RetrySettings,
    consumers: u64,
    limiter: MemoryLimiter,
    clock: Clock,
}

/// What to do about an answer that is not success.
enum Failure {
    Permanent(&'static str),
    Retryable {
        reason: &'static str,
        after: Option<Duration>,
    },
}

// === impl OtlpExporter ===

impl OtlpExporter {
    /// Prepares a channel that connects when it is first used.
    ///
    /// # Errors
    /// A file of certificate authorities that cannot be read; an address or header that gRPC cannot send.
    pub(crate) fn build(settings: &OtlpExporterSettings, limiter: MemoryLimiter) -> anyhow::Result<Self> {
        let (scheme, tls) = match &settings.tls {
            ClientTls::Insecure => ("http", None),
            ClientTls::Secure { ca_file: None } => {
                ("https", Some(ClientTlsConfig::new().with_native_roots()))
            }
            ClientTls::Secure { ca_file: Some(path) } => {
                let pem = std::fs::read(path)
                    .with_context(|| format!("exporters.otlp.tls.ca_file: cannot read {}", path.display()))?;
                (
                    "https",
                    Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))),
                )
            }
        };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", settings.authority))
            .with_context(|| format!("exporters.otlp.endpoint: {:?}", settings.authority))?
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            .tcp_nodelay(true);
        if let Some(tls) = tls {
            endpoint = endpoint.tls_config(tls).context("exporters.otlp.tls")?;
        }
        Ok(Self {
            channel: endpoint.connect_lazy(),
            headers: headers(settings)?,
            compression: match settings.compression {
                Compression::None => None,
                Compression::Gzip => Some(CompressionEncoding::Gzip),
                Compression::Zstd => Some(CompressionEncoding::Zstd),
            },
            retry: settings.retry.clone(),
            consumers: settings.queue.num_consumers,
            limiter,
            clock: Clock::start(),
        })
    }

    /// Batches in flight at a time.
    pub(crate) fn consumers(&self) -> u64 {
        self.consumers
    }

    /// Sends one batch until it is taken or given up.
    pub(crate) async fn export(&self, batch: &SpanBatch, mut progress: Progress) {
        let begun = self.clock.now();
        let mut backoff = Backoff::new(&self.retry);
        loop {
            progress.requested();
            let failure = match self.send(batch.request.clone()).await {
                Ok(rejected) => {
                    progress.lost("rejected", rejected);
                    let taken = progress.in_flight();
                    progress.exported(taken);
                    return;
                }
                Err(status) => classify(&status),
            };
            let spans = progress.in_flight();
            match failure {
                Failure::Permanent(reason) => {
                    progress.request_failed(reason);
                    progress.lost(reason, spans);
                    tracing::error!(
                        exporter = progress.exporter_id(),
                        reason,
                        spans,
                        "a batch was refused for good"
                    );
                    return;
                }
                Failure::Retryable { reason, after } => {
                    progress.request_failed(reason);
                    let Some(pause) = backoff.next(self.clock.now() - begun, after) else {
                        progress.lost("retries_exhausted", spans);
                        tracing::error!(
                            exporter = progress.exporter_id(),
                            reason,
                            spans,
                            "a batch was given up"
                        );
                        return;
                    };
                    tracing::warn!(
                        exporter = progress.exporter_id(),
                        reason,
                        ?pause,
                        "a batch will be sent again"
                    );
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// How many spans the backend says it rejected.
    async fn send(&self, batch: Bytes) -> Result<u64, Status> {
        let _held = self.limiter.hold(copies(batch.len() as u64, self.compression));
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        if let Some(encoding) = self.compression {
            grpc = grpc.send_compressed(encoding);
        }
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(batch);
        *request.metadata_mut() = self.headers.clone();
        let answer = grpc
            .unary(request, PathAndQuery::from_static(EXPORT_TRACES), BytesCodec)
            .await?;
        let answer = proto::ExportTraceServiceResponse::decode(answer.into_inner())
            .map_err(|error| Status::internal(format!("the answer is not OTLP: {error}")))?;
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(rejected).unwrap_or(0))
    }
}

/// Bytes that a batch takes while it is being sent, beside its own: as a gRPC message, and compressed.
fn copies(batch_bytes: u64, compression: Option<CompressionEncoding>) -> u64 {
    match compression {
        None => batch_bytes,
        Some(CompressionEncoding::Zstd) => 2 * batch_bytes + ZSTD_BYTES,
        Some(_) => 2 * batch_bytes + GZIP_BYTES,
    }
}

fn headers(settings: &OtlpExporterSettings) -> anyhow::Result<MetadataMap> {
    let mut headers = MetadataMap::with_capacity(settings.headers.len());
    for (name, value) in &settings.headers {
        // Neither error names the value: it may be a secret.
        let key = MetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes())
            .with_context(|| format!("exporters.otlp.headers: {name:?} is not a header name"))?;
        let mut value = MetadataValue::try_from(value.expose()).ok().with_context(|| {
            format!("exporters.otlp.headers.{name}: the value cannot be sent in a header")
        })?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// How tonic's message begins when an answer is longer than [`ANSWER_BYTES_MAX`].
const TOO_LARGE_ANSWER: &str = "Error, decoded message length too large";

/// OTLP specification, "Failures": which codes may be tried again. RESOURCE_EXHAUSTED only when the server says when.
///
/// The exception is what tonic makes of an answer that is too large: it speaks of OUT_OF_RANGE as well, but the backend
/// had the batch, and would say the same again.
fn classify(status: &Status) -> Failure {
    if status.code() == Code::OutOfRange && status.message().starts_with(TOO_LARGE_ANSWER) {
        return Failure::Permanent("answer_too_large");
    }
    let after = retry_info(status.details());
    match status.code() {
        Code::Ok => Failure::Permanent("ok"),
        Code::Cancelled => Failure::Retryable {
            reason: "cancelled",
            after,
        },
        Code::DeadlineExceeded => Failure::Retryable {
            reason: "deadline_exceeded",
            after,
        },
        Code::Aborted => Failure::Retryable {
            reason: "aborted",
            after,
        },
        Code::OutOfRange => Failure::Retryable {
            reason: "out_of_range",
            after,
        },
        Code::Unavailable => Failure::Retryable {
            reason: "unavailable",
            after,
        },
        Code::DataLoss => Failure::Retryable {
            reason: "data_loss",
            after,
        },
        // tonic reports broken connections as unknown.
        Code::Unknown => Failure::Retryable {
            reason: "unknown",
            after,
        },
        Code::ResourceExhausted if after.is_some() => Failure::Retryable {
            reason: "resource_exhausted",
            after,
        },
        Code::ResourceExhausted => Failure::Permanent("resource_exhausted"),
        Code::InvalidArgument => Failure::Permanent("invalid_argument"),
        Code::NotFound => Failure::Permanent("not_found"),
        Code::AlreadyExists => Failure::Permanent("already_exists"),
        Code::PermissionDenied => Failure::Permanent("permission_denied"),
        Code::FailedPrecondition => Failure::Permanent("failed_precondition"),
        Code::Unimplemented => Failure::Permanent("unimplemented"),
        Code::Internal => Failure::Permanent("internal"),
        Code::Unauthenticated => Failure::Permanent("unauthenticated"),
    }
}

/// The pause that a `google.rpc.RetryInfo` among the details asks for.
fn retry_info(details: &[u8]) -> Option<Duration> {
    let status = proto::Status::decode(details).ok()?;
    let info = status
        .details
        .iter()
        .find(|any| any.type_url.ends_with("google.rpc.RetryInfo"))?;
    let delay = proto::RetryInfo::decode(&info.value[..]).ok()?.retry_delay?;
    let seconds = u64::try_from(delay.seconds).ok()?;
    Some(Duration::new(seconds, u32::try_from(delay.nanos).ok()?))
}

/// Sends bytes that are a message already.
#[derive(Debug, Clone, Copy, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.len());
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

#[cfg(test)]
mod tests;
