//! What the lines of the table are made of: loads, set-ups, figures with their bounds.

use std::time::Duration;

use super::{Bound, Figure, Level, Limit, Scenario, Work};
use crate::bench::ceiling::Search;
use crate::bench::overload::Overload;
use crate::bench::payload::Coding;
use crate::bench::setup::{LIFTED, Setup};
use crate::bench::steady::Load;
use crate::bench::xray::setup::{Keep, XraySetup};
use crate::load::Protocol;

pub(super) const fn gate(limit: Limit) -> Bound {
    Bound {
        level: Level::Gate,
        limit,
    }
}

pub(super) const fn goal(limit: Limit) -> Bound {
    Bound {
        level: Level::Goal,
        limit,
    }
}

pub(super) const fn figure(
    key: &'static str,
    label: &'static str,
    floor: Option<f64>,
    bounds: &'static [Bound],
) -> Figure {
    Figure {
        key,
        label,
        floor,
        bounds,
    }
}

/// 10,000 spans a second of seed1.yaml's pipeline: ten spans a trace, 200 a request, gRPC, eight connections.
pub(super) const STANDARD: Load = Load {
    rate: 10_000,
    traces_per_request: 20,
    connections: 8,
    protocol: Protocol::Grpc,
    coding: Coding::Plain,
    giant: None,
    check_bytes: false,
};

/// The batch processor's timeout where lateness is measured: its default, 200 ms, would hide it.
pub(super) const QUICK_BATCH: Setup = Setup {
    batch_timeout: Some(Duration::from_millis(10)),
    ..Setup::SEED
};

pub(super) const ROOMY: Setup = Setup {
    limiter: LIFTED,
    num_traces: 2_000_000,
    ..Setup::SEED
};

pub(super) const fn steady(setup: Setup, load: Load, brief_wait: bool) -> Work {
    Work::Steady {
        setup,
        load,
        brief_wait,
    }
}

pub(super) const CPU: &str = "cpu_us_per_span";
pub(super) const CPU_LABEL: &str = "CPU us/span";
pub(super) const RSS: &str = "rss_peak_mib";
pub(super) const RSS_LABEL: &str = "peak RSS MiB";
pub(super) const NO_BOUNDS: &[Bound] = &[];
pub(super) const RSS_ONLY: Figure = figure(RSS, RSS_LABEL, None, NO_BOUNDS);

pub(super) const BASE: Scenario = Scenario {
    id: "",
    title: "",
    work: steady(Setup::SEED, STANDARD, true),
    pairs_short: 1,
    pairs_full: 5,
    figures: &[],
    upstream_may_fail: false,
    ours_alone: false,
    above: None,
};

/// Longer than the decision wait: the buffers are as full as they get.
pub(super) const MEMORY_HOLD: Duration = Duration::from_secs(14);
pub(super) const CPU_HOLD: Duration = Duration::from_secs(8);

pub(super) const fn overload(from: u64, step: f64, hold: Duration, fill_first: bool) -> Overload {
    Overload {
        search: Search {
            from,
            fill_first,
            step,
            hold,
            most: 3_000_000,
            settle: false,
        },
        length: Duration::from_secs(10),
    }
}

pub(super) const OVERLOAD_FIGURES: &[Figure] = &[
    figure("capacity_spans_per_s", "spans/s without refusal", None, NO_BOUNDS),
    figure(
        "goodput_share",
        "goodput at 3 x, share of it",
        None,
        &[gate(Limit::AtLeast(0.9)), goal(Limit::Times(2.0))],
    ),
    figure(RSS, RSS_LABEL, None, NO_BOUNDS),
    figure(
        "peak_share",
        "peak RSS / limit",
        None,
        &[gate(Limit::AtMost(1.0))],
    ),
    figure(
        "not_retryable",
        "not retryable, unanswered",
        None,
        &[gate(Limit::AtMost(0.0))],
    ),
    figure(
        "uncounted",
        "refusals not counted",
        None,
        &[gate(Limit::AtMost(0.0))],
    ),
    figure("recovery_s", "normal after s", None, &[gate(Limit::AtMost(2.0))]),
    figure("refused_share", "refused, share", None, NO_BOUNDS),
    figure("held_back_share", "held back by clients, share", None, NO_BOUNDS),
];

pub(super) const fn with_policies(policies: u32) -> Work {
    steady(
        Setup {
            policies,
            ..Setup::SEED
        },
        STANDARD,
        true,
    )
}

pub(super) const fn xray(keep: Keep) -> XraySetup {
    XraySetup {
        keep,
        decision_wait: Duration::from_secs(2),
    }
}

pub(super) const XRAY_FIGURES: &[Figure] = &[
    figure(
        "xray_us_per_kept",
        XRAY_LABEL,
        Some(4.0),
        &[
            gate(Limit::AtMost(10.0)),
            gate(Limit::OneIn(5.0)),
            goal(Limit::OneIn(8.0)),
        ],
    ),
    figure(
        "documents_per_call",
        "documents a call",
        None,
        &[gate(Limit::AtLeast(45.0))],
    ),
    figure("bytes_per_document", "bytes a document", None, NO_BOUNDS),
    figure(CPU, CPU_LABEL, None, NO_BOUNDS),
    RSS_ONLY,
];

const XRAY_LABEL: &str = "to X-Ray us/kept span";
