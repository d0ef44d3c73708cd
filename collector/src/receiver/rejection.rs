//! Why a whole request is not taken, and what OTLP says to answer (OTLP specification, "Failures" and "Failures 1").

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use prost::Message;
use tonic::Code;
use tracepipe_otlp::proto;

use super::body::COMPRESSIONS;
use crate::account::Outcome;
use crate::ingest::NotAccepted;
use crate::limiter::OverLimit;
use crate::metrics::NotTaken;

/// When a refused sender should try again. Long enough for a decision tick to free memory, short enough that an SDK's
/// own queue does not overflow meanwhile.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// There is no room now.
    Memory,
    /// As many traces as may wait for their decision do, and it has others.
    NumTraces,
    /// As many requests with metrics as may wait do.
    MetricsBusy,
    /// It alone needs more memory than there ever is.
    NeverFits,
    /// The body was not whole in time.
    TooSlow,
    /// The body broke off.
    BrokenOff,
    /// More bytes than allowed, on the wire or inflated.
    TooLarge {
        /// The bound.
        max_bytes: u64,
    },
    /// It can only be inflated with a window larger than allowed.
    Window {
        /// The bound.
        max_bytes: u64,
    },
    /// The bytes are not what they are said to be.
    Malformed(String),
    /// A content type that is not OTLP.
    ContentType(String),
    /// A compression that is not supported.
    Encoding(String),
    /// No pipeline takes this signal.
    NoPipeline {
        /// `traces`, `metrics` or `logs`.
        signal: &'static str,
    },
    /// There is nothing at this path.
    NotFound(String),
    /// There is something, but not for this method.
    Method,
}

impl From<OverLimit> for Rejection {
    fn from(over: OverLimit) -> Self {
        match over {
            OverLimit::Now => Self::Memory,
            OverLimit::Ever => Self::NeverFits,
        }
    }
}

impl From<NotAccepted> for Rejection {
    fn from(not_accepted: NotAccepted) -> Self {
        match not_accepted {
            NotAccepted::Malformed(error) => Self::Malformed(error.to_string()),
            NotAccepted::NumTraces => Self::NumTraces,
        }
    }
}

impl From<NotTaken> for Rejection {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::OverLimit(over) => over.into(),
            // Another collector, or this one when it is back, will take it.
            NotTaken::Busy | NotTaken::Gone => Self::MetricsBusy,
        }
    }
}

// === impl Rejection ===

impl Rejection {
    /// How it is accounted.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Memory => Outcome::Refused("memory"),
            Self::NumTraces => Outcome::Refused("num_traces"),
            Self::MetricsBusy => Outcome::Refused("metrics_busy"),
            Self::NeverFits => Outcome::Refused("never_fits"),
            Self::TooSlow => Outcome::Refused("too_slow"),
            Self::NoPipeline { .. } => Outcome::Refused("no_pipeline"),
            Self::BrokenOff => Outcome::Malformed("broken_off"),
            Self::TooLarge { .. } | Self::Window { .. } => Outcome::Malformed("too_large"),
            Self::Malformed(_) => Outcome::Malformed("not_otlp"),
            Self::ContentType(_) => Outcome::Malformed("content_type"),
            Self::Encoding(_) => Outcome::Malformed("encoding"),
            Self::NotFound(_) => Outcome::Malformed("not_found"),
            Self::Method => Outcome::Malformed("method"),
        }
    }

    /// The status of an OTLP/HTTP answer.
    pub(crate) fn http_status(&self) -> StatusCode {
        match self {
            Self::Memory | Self::NumTraces | Self::MetricsBusy => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NeverFits | Self::TooLarge { .. } | Self::Window { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BrokenOff | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::ContentType(_) | Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoPipeline { .. } | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The code of a gRPC answer. UNAVAILABLE and DEADLINE_EXCEEDED are retryable, RESOURCE_EXHAUSTED without
    /// RetryInfo is not (OTLP specification, "Failures").
    pub(crate) fn grpc_code(&self) -> Code {
        match self {
            Self::Memory | Self::NumTraces | Self::MetricsBusy => Code::Unavailable,
            Self::TooSlow => Code::DeadlineExceeded,
            Self::NeverFits | Self::TooLarge { .. } | Self::Window { .. } => Code::ResourceExhausted,
            Self::BrokenOff | Self::Malformed(_) | Self::ContentType(_) => Code::InvalidArgument,
            Self::Encoding(_) | Self::NoPipeline { .. } | Self::NotFound(_) | Self::Method => {
                Code::Unimplemented
            }
        }
    }

    /// How long to wait before the same request is worth sending again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Memory | Self::NumTraces | Self::MetricsBusy => Some(RETRY_AFTER),
            Self::NeverFits
            | Self::TooSlow
            | Self::BrokenOff
            | Self::TooLarge { .. }
            | Self::Window { .. }
            | Self::Malformed(_)
            | Self::ContentType(_)
            | Self::Encoding(_)
            | Self::NoPipeline { .. }
            | Self::NotFound(_)
            | Self::Method => None,
        }
    }

    /// What a person reads.
    pub(crate) fn message(&self) -> Cow<'static, str> {
        match self {
            Self::Memory => "the collector is at its memory limit; send the request again".into(),
            Self::NumTraces => {
                "tail_sampling.num_traces traces wait for their decision; send the request again".into()
            }
            Self::MetricsBusy => "as many requests with metrics wait as may; send the request again".into(),
            Self::NeverFits => "the request alone needs more memory than limit_mib less spike_limit_mib leaves; \
                                send fewer spans at a time"
                .into(),
            Self::TooSlow => format!(
                "the body was not complete after {} s",
                super::body::BODY_TIME_MAX.as_secs()
            )
            .into(),
            Self::BrokenOff => "the body broke off".into(),
            Self::TooLarge { max_bytes } => {
                format!("the request has more than {max_bytes} bytes; send fewer spans at a time").into()
            }
            Self::Window { max_bytes } => format!(
                "the request needs a window of more than {max_bytes} bytes to be inflated; compress with a smaller one"
            )
            .into(),
            Self::Malformed(what) => what.clone().into(),
            Self::ContentType(given) => format!(
                "content type {given:?} is not OTLP; use application/grpc on the gRPC port, \
                 application/x-protobuf or application/json on the HTTP port"
            )
            .into(),
            Self::Encoding(given) => {
                format!("compression {given:?} is not supported; use {COMPRESSIONS}").into()
            }
            Self::NoPipeline { signal: "metrics" } => {
                "this collector has no pipeline for metrics; give it one (service.pipelines.metrics, or \
                 ampRemoteWriteEndpoint in the TracingPipeline), or set OTEL_METRICS_EXPORTER=none in the application"
                    .into()
            }
            Self::NoPipeline { signal: "traces" } => {
                "this collector has no pipeline for traces; give it one (service.pipelines.traces), or set \
                 OTEL_TRACES_EXPORTER=none in the application"
                    .into()
            }
            Self::NoPipeline { signal } => format!(
                "this collector takes no {signal}; set OTEL_{}_EXPORTER=none in the application",
                signal.to_ascii_uppercase()
            )
            .into(),
            Self::NotFound(path) => format!("there is nothing at {path:?}; traces go to /v1/traces").into(),
            Self::Method => "use POST".into(),
        }
    }

    /// The `google.rpc.Status` of the answer, with RetryInfo where a retry is worth it.
    pub(crate) fn status(&self) -> proto::Status {
        let details = self.retry_after().map(|after| proto::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: proto::RetryInfo {
                retry_delay: Some(proto::Duration {
                    seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                    nanos: 0,
                }),
            }
            .encode_to_vec(),
        });
        proto::Status {
            code: self.grpc_code() as i32,
            message: self.message().into_owned(),
            details: details.into_iter().collect(),
        }
    }
}
