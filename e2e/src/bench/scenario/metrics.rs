//! The lines of data points: M1 to M3.

use super::parts::{BASE, NO_BOUNDS, RSS_ONLY, figure, gate, goal};
use super::{Bound, Figure, Limit, Scenario, Work};
use crate::bench::metrics::payload::Kinds;
use crate::bench::metrics::setup::{MetricsLoad, MetricsSetup};

/// 2,000 streams of ten applications, each five times a second, in requests of 200 points.
const fn metrics(kinds: Kinds, rate: u64, is_delta: bool) -> Work {
    Work::Metrics {
        setup: MetricsSetup { is_delta },
        load: MetricsLoad {
            rate,
            kinds,
            apps: 10,
            connections: 8,
        },
    }
}

const fn figures<const GATED: bool>() -> [Figure; 6] {
    const BOUNDS: &[Bound] = &[gate(Limit::OneIn(3.0)), goal(Limit::OneIn(6.0))];
    [
        figure(
            "cpu_us_per_point",
            "CPU us/point",
            None,
            if GATED { BOUNDS } else { NO_BOUNDS },
        ),
        figure("cpu_us_per_sample", "CPU us/sample", None, NO_BOUNDS),
        figure("samples_per_request", "samples a request", None, NO_BOUNDS),
        figure("bytes_per_sample", "bytes a sample", None, NO_BOUNDS),
        figure("writes_per_s", "requests/s", None, NO_BOUNDS),
        RSS_ONLY,
    ]
}

const JUDGED: &[Figure] = &figures::<true>();
const SHOWN: &[Figure] = &figures::<false>();

/// The line: CPU a data point.
pub(super) const MIX: Scenario = Scenario {
    id: "M1",
    title: "10,000 points/s of every kind, cumulative, to remote write over TLS, signed",
    work: metrics(Kinds::MIX, 10_000, false),
    pairs_short: 2,
    figures: JUDGED,
    ..BASE
};

/// The same in deltas.
pub(super) const DELTA: Scenario = Scenario {
    id: "M2",
    title: "the same, sums and histograms as deltas; upstream's deltatocumulative adds them up",
    work: metrics(Kinds::MIX, 10_000, true),
    figures: JUDGED,
    ..BASE
};

/// Which kind costs what.
pub(super) const SUMS: Scenario = Scenario {
    id: "M3-sums",
    title: "10,000 points/s of sums alone",
    work: metrics(Kinds::SUMS, 10_000, false),
    figures: SHOWN,
    ..BASE
};

/// Which kind costs what.
pub(super) const HISTOGRAMS: Scenario = Scenario {
    id: "M3-histograms",
    title: "4,000 points/s of histograms with 15 bounds alone, 18 samples each",
    work: metrics(Kinds::HISTOGRAMS, 4_000, false),
    figures: SHOWN,
    ..BASE
};
