//! Traffic of an order system: a load balancer in front of authentication, catalogue, orders, payment and
//! notification. Each service sends its own spans, as its SDK would: in batches, by its own protocol.
//!
//! [`story`] tells what happens in one trace; here stories become requests with a time.

mod story;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::load::{Planned, Protocol, Sender, Target};
use crate::rng::Rng;
use crate::spans::{Attributes, ResourceSpans, Span};
use crate::workload::{Encoding, OtlpRequest, TraceTruth};

/// The latency policy of the first seed.
const SLOW_MS: u64 = 500;
/// SDKs collect spans and send them together; theirs wait up to 5 s, which would only make a demo longer.
const BATCH_INTERVAL: Duration = Duration::from_millis(500);
/// `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`'s default.
const BATCH_SPANS_MAX: usize = 512;

/// A service that sends spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// The way in.
    LoadBalancer,
    /// Checks tokens.
    Authentication,
    /// Knows the products.
    Catalogue,
    /// Takes orders.
    Orders,
    /// Charges cards.
    Payment,
    /// Writes to customers, driven by a queue.
    Notification,
}

impl Service {
    /// In the order of [`Service`], which is that of [`senders`].
    pub const ALL: [Self; 6] = [
        Self::LoadBalancer,
        Self::Authentication,
        Self::Catalogue,
        Self::Orders,
        Self::Payment,
        Self::Notification,
    ];

    /// `service.name`.
    pub fn name(self) -> &'static str {
        match self {
            Self::LoadBalancer => "load-balancer",
            Self::Authentication => "authentication",
            Self::Catalogue => "catalogue",
            Self::Orders => "orders",
            Self::Payment => "payment",
            Self::Notification => "notification",
        }
    }

    fn language(self) -> &'static str {
        match self {
            Self::LoadBalancer => "cpp",
            Self::Authentication => "go",
            Self::Catalogue => "nodejs",
            Self::Orders => "python",
            Self::Payment => "java",
            Self::Notification => "dotnet",
        }
    }

    /// Protocol, compression and encoding of its SDK.
    fn export(self) -> (Protocol, bool, Encoding) {
        match self {
            Self::LoadBalancer => (Protocol::Grpc, false, Encoding::Protobuf),
            Self::Authentication => (Protocol::Grpc, true, Encoding::Protobuf),
            Self::Catalogue => (Protocol::Http, false, Encoding::Json),
            Self::Orders => (Protocol::Http, false, Encoding::Protobuf),
            Self::Payment => (Protocol::Http, true, Encoding::Protobuf),
            Self::Notification => (Protocol::Grpc, false, Encoding::Protobuf),
        }
    }

    fn resource(self) -> Attributes {
        let name = self.name();
        let pairs: [(&str, String); 10] = [
            ("service.name", name.into()),
            ("service.version", "2.3.1".into()),
            ("deployment.environment.name", "demo".into()),
            ("telemetry.sdk.name", "opentelemetry".into()),
            ("telemetry.sdk.language", self.language().into()),
            ("telemetry.sdk.version", "1.45.0".into()),
            ("cloud.provider", "aws".into()),
            ("cloud.platform", "aws_eks".into()),
            ("k8s.namespace.name", "shop".into()),
            ("k8s.pod.name", format!("{name}-7c9d8b6f5-4kq2m")),
        ];
        pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect()
    }
}

/// A trace and what is known of it.
#[derive(Debug, Clone)]
pub struct Story {
    /// What has to happen to it.
    pub truth: TraceTruth,
    /// What happened in it, in a few words: `place order, card network times out`.
    pub title: String,
}

/// Everything that is sent.
#[derive(Debug)]
pub struct Traffic {
    /// One for each trace.
    pub stories: Vec<Story>,
    /// In the order of their time; `sender` is an index into [`senders`].
    pub requests: Vec<Planned>,
}

impl Traffic {
    /// Invents `traces` traces that start within `length` from `base_unix_nano` on; a slow one may end some seconds
    /// later. The same arguments give the same traffic.
    pub fn new(seed: u64, traces: u32, length: Duration, base_unix_nano: u64) -> Self {
        let mut stories = Vec::new();
        let mut batches: BTreeMap<(u64, Service), Vec<Span>> = BTreeMap::new();
        let length_nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        for number in 0..u64::from(traces) {
            let mut rng = Rng::for_item(seed, number);
            let start = base_unix_nano + length_nanos / u64::from(traces) * number;
            let (title, spans) = story::tell(&mut rng, start);
            let all: Vec<&Span> = spans.iter().map(|(_, span)| span).collect();
            if let Some(first) = all.first() {
                let truth = TraceTruth::of(first.trace_id, &all, SLOW_MS);
                stories.push(Story { truth, title });
            }
            for (service, span) in spans {
                let batch = batch_of(span.end_unix_nano.saturating_sub(base_unix_nano));
                batches.entry((batch, service)).or_default().push(span);
            }
        }
        Self {
            stories,
            requests: requests(batches),
        }
    }

    /// When the last request is due.
    pub fn length(&self) -> Duration {
        self.requests.last().map_or(Duration::ZERO, |request| request.due)
    }
}

/// One sender for each service, in the order of [`Service::ALL`].
///
/// # Errors
/// When an address makes no URL.
pub fn senders(grpc: SocketAddr, http: SocketAddr) -> anyhow::Result<Vec<Arc<Sender>>> {
    Service::ALL
        .into_iter()
        .map(|service| {
            let (protocol, gzip, _) = service.export();
            let target = match protocol {
                Protocol::Grpc => Target {
                    gzip,
                    ..Target::grpc(grpc)
                },
                Protocol::Http => Target {
                    gzip,
                    ..Target::http(http)
                },
            };
            Ok(Arc::new(Sender::new(target)?))
        })
        .collect()
}

/// The number of the batch that a span goes into: the first that is sent after its end.
fn batch_of(nanos_from_base: u64) -> u64 {
    let interval = u64::try_from(BATCH_INTERVAL.as_nanos()).unwrap_or(u64::MAX);
    nanos_from_base / interval + 1
}

fn requests(batches: BTreeMap<(u64, Service), Vec<Span>>) -> Vec<Planned> {
    let mut requests = Vec::new();
    for ((batch, service), spans) in batches {
        let interval = u64::try_from(BATCH_INTERVAL.as_nanos()).unwrap_or(u64::MAX);
        // Services do not send in step.
        let offset = interval / Service::ALL.len() as u64 * service as u64;
        let (_, _, encoding) = service.export();
        for spans in spans.chunks(BATCH_SPANS_MAX) {
            let part = ResourceSpans {
                resource: service.resource(),
                scope: "shop-instrumentation".into(),
                spans: spans.to_vec(),
            };
            requests.push(Planned {
                due: Duration::from_nanos(batch * interval + offset),
                sender: service as usize,
                request: OtlpRequest::new(&[part], encoding),
            });
        }
    }
    requests.sort_by_key(|request| request.due);
    requests
}

#[cfg(test)]
#[path = "order_system/tests.rs"]
mod tests;
