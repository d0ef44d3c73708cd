//! The two pages of a collector, read by those who read them: promtool checks both, a real Prometheus scrapes the one on
//! 8889 in both of its forms, and the second seed's configuration runs as it stands.
//!
//! What promtool finds is compared with the lists beside these tests. On 8889 names are the application's, on 8888 what
//! begins with `otelcol_` is upstream's: both stay as they are. A finding about `tracepipe_*` has to be mended.

mod findings;
mod own;
mod scraped;
mod second_seed;
mod shop;

use tracepipe_e2e::collector::CollectorProcess;
use tracepipe_e2e::http_get::http_get;
use tracepipe_e2e::otlp_metrics::source::{Kind, Source};
use tracepipe_e2e::{clock, otlp_metrics::Resource};

/// Requests of the generator, a second apart.
const REQUESTS: u64 = 12;
/// Streams of the generator: four of each kind.
const STREAMS: usize = 4 * Kind::ALL.len();
const SECOND: u64 = 1_000_000_000;

/// Metrics of every kind and temporality up to now; but for their times always the same.
fn source() -> Source {
    let start = clock::unix_nanos() - (REQUESTS + 5) * SECOND;
    Source::new(8889, STREAMS, &Kind::ALL, start)
}

/// The requests of [`source`].
fn generated() -> Vec<Vec<Resource>> {
    let mut source = source();
    (0..REQUESTS).map(|_| source.request()).collect()
}

/// What `GET /metrics` of one of its servers answers.
async fn page(collector: &CollectorProcess, server: &str) -> String {
    let (status, text) = http_get(collector.address(server).unwrap(), "/metrics")
        .await
        .unwrap();
    assert_eq!(status, 200, "{text}");
    text
}
