//! What a collector answers to `GET /exporters`. It runs in somebody else's namespace: of its words only those are passed on
//! that are words, and not many of them.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize;
use tracepipe_crds::conditions::reasons;

/// Exporters of a pipeline of a collector that are looked at: one of a TracingPipeline has three at most.
const EXPORTERS_MAX: usize = 4;
/// Reasons of loss that are told apart; a collector of ours has fewer.
const LOSSES_MAX: usize = 32;
/// Longest word that is passed on.
const WORD_MAX: usize = 64;
/// No age is greater.
const AGE_MAX: i64 = 366 * 24 * 3600;

/// What one exporter of one collector does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exporter {
    /// Its name in the configuration.
    pub(crate) id: String,
    /// Set while its backend takes nothing.
    pub(crate) failing: Option<Failing>,
    /// Spans lost, by reason.
    pub(crate) lost: BTreeMap<String, u64>,
}

/// The backend takes nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failing {
    /// Why.
    pub(crate) cause: Cause,
    /// The backend's own word; may be empty.
    pub(crate) code: String,
    /// For how long, by the collector's clock.
    pub(crate) age: SignedDuration,
}

/// What an exporter sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goods {
    /// Of the traces pipeline.
    Spans,
    /// Of the metrics pipeline.
    Samples,
}

/// Why a backend takes nothing. In order: of several, the first is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// It does not allow it.
    AccessDenied,
    /// There are no credentials to show it.
    NoCredentials,
    /// Somebody else answers, or it knows no such place.
    WrongAddress,
    /// A proxy on the way does not allow it.
    ProxyDenied,
    /// It is not there.
    Unreachable,
    /// It fails itself.
    BackendFailing,
    /// It refuses what is sent.
    Refused,
    /// It wants fewer requests.
    Throttled,
}

/// Why a collector could not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unasked {
    /// No connection, or no answer in time.
    NoAnswer,
    /// An answer that is none.
    OddAnswer,
}

#[derive(Deserialize)]
struct RawAnswer {
    exporters: Vec<RawExporter>,
    /// There with a metrics pipeline.
    #[serde(default)]
    metrics_exporters: Vec<RawExporter>,
}

#[derive(Deserialize)]
struct RawExporter {
    id: String,
    failing: Option<RawFailing>,
    #[serde(default)]
    lost: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct RawFailing {
    reason: String,
    #[serde(default)]
    code: String,
    seconds: u64,
}

/// Reads an answer's body.
pub(super) fn read(body: &[u8]) -> Result<Vec<Exporter>, Unasked> {
    let raw: RawAnswer = serde_json::from_slice(body).map_err(|_| Unasked::OddAnswer)?;
    let of_one = |exporters: Vec<RawExporter>| exporters.into_iter().take(EXPORTERS_MAX);
    let exporters = of_one(raw.exporters).chain(of_one(raw.metrics_exporters));
    Ok(exporters.map(Exporter::of).collect())
}

/// Two samples of one series and time: the later one is sent. No backend could take both, so it says nothing of one.
const HARMLESS: &str = "duplicate";

/// Exporter and reason of what was lost between two answers, the most of it. Counts of a collector that started anew are
/// its own.
pub(super) fn newly_lost(before: &[Exporter], now: &[Exporter]) -> Option<(String, String)> {
    let mut most: Option<(u64, String, String)> = None;
    for one in now {
        let known = before.iter().find(|other| other.id == one.id);
        for (reason, count) in one.lost.iter().filter(|(reason, _)| *reason != HARMLESS) {
            let old = known
                .and_then(|known| known.lost.get(reason))
                .copied()
                .unwrap_or(0);
            let grown = count.saturating_sub(old);
            if grown > 0 && most.as_ref().is_none_or(|(most, ..)| grown > *most) {
                most = Some((grown, one.id.clone(), reason.clone()));
            }
        }
    }
    most.map(|(_, id, reason)| (id, reason))
}

fn word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
    if text.len() <= WORD_MAX && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        "other".to_owned()
    }
}

// === impl Exporter ===

impl Exporter {
    fn of(raw: RawExporter) -> Self {
        let lost = raw.lost.iter().take(LOSSES_MAX);
        Self {
            id: word(&raw.id),
            failing: raw.failing.map(|failing| Failing {
                cause: Cause::of(&failing.reason),
                code: word(&failing.code),
                age: SignedDuration::from_secs(
                    i64::try_from(failing.seconds).unwrap_or(AGE_MAX).min(AGE_MAX),
                ),
            }),
            lost: lost.map(|(reason, count)| (word(reason), *count)).collect(),
        }
    }
}

// === impl Cause ===

impl Cause {
    /// Of a collector of ours each reason is known; what any other says is a refusal.
    fn of(reason: &str) -> Self {
        Self::known(reason).unwrap_or(Self::Refused)
    }

    /// The collector's reasons: of `awsxray`, of `prometheusremotewrite` (`testdata/failing.txt`), and codes of gRPC.
    pub(super) fn known(reason: &str) -> Option<Self> {
        let cause = match reason {
            "access_denied" | "denied" | "permission_denied" | "unauthenticated" => Self::AccessDenied,
            "credentials" => Self::NoCredentials,
            "not_found" | "redirected" => Self::WrongAddress,
            "proxy_denied" => Self::ProxyDenied,
            "connection" | "timeout" | "unavailable" | "deadline_exceeded" => Self::Unreachable,
            "server_error" | "unknown" | "internal" | "aborted" | "cancelled" | "data_loss" => {
                Self::BackendFailing
            }
            "refused" | "signature" => Self::Refused,
            "throttled" | "resource_exhausted" => Self::Throttled,
            _ => return None,
        };
        Some(cause)
    }

    /// Of the condition.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::AccessDenied => reasons::EXPORT_DENIED,
            Self::NoCredentials => reasons::EXPORT_WITHOUT_CREDENTIALS,
            Self::ProxyDenied | Self::Unreachable => reasons::BACKEND_UNREACHABLE,
            Self::BackendFailing => reasons::BACKEND_FAILING,
            Self::WrongAddress | Self::Refused => reasons::EXPORT_REFUSED,
            Self::Throttled => reasons::EXPORT_THROTTLED,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::AccessDenied => "the backend denies access",
            Self::NoCredentials => "the collector gets no AWS credentials",
            Self::WrongAddress => "nothing takes requests at the endpoint's address",
            Self::ProxyDenied => "a proxy on the way denies access",
            Self::Unreachable => "the backend cannot be reached",
            Self::BackendFailing => "the backend answers with errors of its own",
            Self::Refused => "the backend refuses every request",
            Self::Throttled => "the backend throttles every request",
        }
    }

    pub(super) fn way_out(self, goods: Goods) -> &'static str {
        match self {
            Self::AccessDenied if goods == Goods::Samples => {
                "the role needs aps:RemoteWrite on the workspace (tracepipe-operator render --iam), and no boundary, service control policy or endpoint policy may deny it"
            }
            Self::AccessDenied => {
                "the role needs xray:PutTraceSegments and xray:PutTelemetryRecords (tracepipe-operator render --iam), and no boundary, service control policy or endpoint policy may deny them"
            }
            Self::NoCredentials => {
                "see IdentityReady and the collectors' logs: STS or the node's Pod Identity agent gives none"
            }
            Self::WrongAddress if goods == Goods::Samples => {
                "spec.ampRemoteWriteEndpoint has to be the remote write URL of a workspace that there is (aws amp list-workspaces), in its own region"
            }
            Self::WrongAddress => "the exporter's endpoint has to be the backend's own",
            Self::ProxyDenied => {
                "the proxy has to let the collectors through, by the user that its URL names"
            }
            Self::Unreachable => {
                "the nodes need a way to the endpoint: DNS, routes, security groups, a VPC endpoint, egress policies"
            }
            Self::BackendFailing => "see AWS's health dashboard; nothing is to be done here",
            Self::Refused => {
                "the collectors' logs have its answers; a signature that is refused means a wrong clock on the node"
            }
            Self::Throttled if goods == Goods::Samples => {
                "send fewer series or have the quota of the workspace raised"
            }
            Self::Throttled => {
                "keep fewer traces (spec.samplingRatePercentage, spec.sampling) or have the account's quota raised"
            }
        }
    }
}

// === impl Goods ===

impl Goods {
    /// By the exporter's name in the configuration that the operator writes.
    pub(super) fn of(exporter: &str) -> Self {
        match exporter.starts_with("prometheusremotewrite") {
            true => Self::Samples,
            false => Self::Spans,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Samples => "samples",
        }
    }

    /// Where the collector counts what is lost.
    pub(super) fn counted(self) -> &'static str {
        match self {
            Self::Spans => "tracepipe_exporter_spans_lost_total",
            Self::Samples => "tracepipe_exporter_samples_lost_total",
        }
    }

    /// When the queue is full.
    pub(super) fn too_many(self) -> &'static str {
        match self {
            Self::Spans => {
                "the backend takes less than is kept: keep fewer traces (spec.samplingRatePercentage, spec.sampling) or raise its quota"
            }
            Self::Samples => "the backend takes less than comes in: send fewer series or raise its quota",
        }
    }
}

// === impl Unasked ===

impl Unasked {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::NoAnswer => {
                "the operator reaches no collector on port 13133: a NetworkPolicy has to let it in from the operator's namespace (the chart's do)"
            }
            Self::OddAnswer => {
                "the collectors answer on port 13133, but not what their exporters do: they are of another release than the operator"
            }
        }
    }
}
