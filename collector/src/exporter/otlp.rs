//! `otlp`: the batch as it is, over gRPC. A unary call is a prefix and a message: the batch's pieces go to the wire as
//! they lie, without tonic's codec, which would copy them together first. Connection, deadlines and codes are tonic's.

mod wire;

use std::time::Duration;

use anyhow::Context;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header};
use prost::Message;
use tonic::client::GrpcService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};
use tracepipe_config::{ClientTls, Compression, OtlpExporterSettings, RetrySettings};
use tracepipe_otlp::proto;

use super::progress::Progress;
use super::retry::Backoff;
use crate::account::Signal;
use crate::batcher::Batch;
use crate::clock::Clock;
use crate::limiter::MemoryLimiter;
use wire::{NoAnswer, WireMessage};

const EXPORT_TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const EXPORT_METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// The exporter.
pub(crate) struct OtlpExporter {
    channel: Channel,
    /// Those of every request.
    headers: HeaderMap,
    compression: Compression,
    timeout: Duration,
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
            .connect_timeout(settings.timeout)
            .tcp_nodelay(true);
        if let Some(tls) = tls {
            endpoint = endpoint.tls_config(tls).context("exporters.otlp.tls")?;
        }
        Ok(Self {
            channel: endpoint.connect_lazy(),
            headers: headers(settings)?,
            compression: settings.compression,
            timeout: settings.timeout,
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
    pub(crate) async fn export<B: Batch>(&self, batch: &B, mut progress: Progress<B>) {
        let begun = self.clock.now();
        let mut backoff = Backoff::new(&self.retry);
        let message = match WireMessage::new(batch, self.compression, &self.limiter) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(
                    exporter = progress.exporter_id(),
                    %error,
                    "a batch cannot be made a message"
                );
                let spans = progress.in_flight();
                progress.lost("unencodable", spans);
                return;
            }
        };
        loop {
            progress.requested();
            let failure = match self.send(B::SIGNAL, &message).await {
                Ok(rejected) => {
                    progress.request_taken();
                    progress.lost("rejected", rejected);
                    let taken = progress.in_flight();
                    progress.exported(taken);
                    return;
                }
                Err(failure) => failure,
            };
            let spans = progress.in_flight();
            match failure {
                Failure::Permanent(reason) => {
                    progress.request_failed(reason, "");
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
                    progress.request_failed(reason, "");
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
                    progress.pause(pause).await;
                }
            }
        }
    }

    /// How many spans or data points the backend says it rejected.
    async fn send(&self, signal: Signal, message: &WireMessage) -> Result<u64, Failure> {
        match tokio::time::timeout(self.timeout, self.call(signal, message)).await {
            Ok(Ok(rejected)) => Ok(rejected),
            Ok(Err(NoAnswer::Status(status))) => Err(classify(&status)),
            Ok(Err(NoAnswer::TooLarge)) => Err(Failure::Permanent("answer_too_large")),
            Err(_elapsed) => Err(classify(&Status::deadline_exceeded(""))),
        }
    }

    async fn call(&self, signal: Signal, message: &WireMessage) -> Result<u64, NoAnswer> {
        let method = match signal {
            Signal::Traces => EXPORT_TRACES,
            Signal::Metrics => EXPORT_METRICS,
        };
        let mut request = Request::post(Uri::from_static(method))
            .version(Version::HTTP_2)
            .body(message.body())
            .map_err(|error| NoAnswer::Status(Status::internal(error.to_string())))?;
        request.headers_mut().clone_from(&self.headers);
        let mut channel = self.channel.clone();
        let failed = |error: tonic::transport::Error| NoAnswer::Status(Status::from_error(error.into()));
        std::future::poll_fn(|context| GrpcService::poll_ready(&mut channel, context))
            .await
            .map_err(failed)?;
        let response = GrpcService::call(&mut channel, request).await.map_err(failed)?;
        // The answers of both services have the same fields.
        let answer = proto::ExportTraceServiceResponse::decode(wire::answer(response, &self.limiter).await?)
            .map_err(|error| {
                NoAnswer::Status(Status::internal(format!("the answer is not OTLP: {error}")))
            })?;
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(rejected).unwrap_or(0))
    }
}

fn headers(settings: &OtlpExporterSettings) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(settings.headers.len() + 4);
    for (name, value) in &settings.headers {
        // Neither error names the value: it may be a secret.
        let key = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes())
            .with_context(|| format!("exporters.otlp.headers: {name:?} is not a header name"))?;
        let mut value = HeaderValue::from_str(value.expose()).ok().with_context(|| {
            format!("exporters.otlp.headers.{name}: the value cannot be sent in a header")
        })?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    // After the user's: these are the protocol's.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let encoding = match settings.compression {
        Compression::None => None,
        Compression::Gzip => Some("gzip"),
        Compression::Zstd => Some("zstd"),
    };
    if let Some(encoding) = encoding {
        headers.insert("grpc-encoding", HeaderValue::from_static(encoding));
    }
    Ok(headers)
}

/// OTLP specification, "Failures": which codes may be tried again. RESOURCE_EXHAUSTED only when the server says when.
fn classify(status: &Status) -> Failure {
    let after = retry_info(status.details());
    let (reason, is_retryable) = match status.code() {
        Code::Ok => ("ok", false),
        Code::Cancelled => ("cancelled", true),
        // tonic reports broken connections as unknown.
        Code::Unknown => ("unknown", true),
        Code::InvalidArgument => ("invalid_argument", false),
        Code::DeadlineExceeded => ("deadline_exceeded", true),
        Code::NotFound => ("not_found", false),
        Code::AlreadyExists => ("already_exists", false),
        Code::PermissionDenied => ("permission_denied", false),
        Code::ResourceExhausted => ("resource_exhausted", after.is_some()),
        Code::FailedPrecondition => ("failed_precondition", false),
        Code::Aborted => ("aborted", true),
        Code::OutOfRange => ("out_of_range", true),
        Code::Unimplemented => ("unimplemented", false),
        Code::Internal => ("internal", false),
        Code::Unavailable => ("unavailable", true),
        Code::DataLoss => ("data_loss", true),
        Code::Unauthenticated => ("unauthenticated", false),
    };
    match is_retryable {
        true => Failure::Retryable { reason, after },
        false => Failure::Permanent(reason),
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

#[cfg(test)]
mod tests;
