//! The table itself.

use std::time::Duration;

use super::metrics::{DELTA, HISTOGRAMS, MIX, SUMS};
use super::parts::{
    BASE, CPU, CPU_HOLD, CPU_LABEL, MEMORY_HOLD, NO_BOUNDS, OVERLOAD_FIGURES, QUICK_BATCH, ROOMY, RSS,
    RSS_LABEL, RSS_ONLY, STANDARD, XRAY_FIGURES, figure, gate, goal, overload, steady, with_policies, xray,
};
use super::{Limit, Scenario, Work};
use crate::bench::ceiling::Search;
use crate::bench::payload::Coding;
use crate::bench::setup::Setup;
use crate::bench::steady::{Giant, Load};
use crate::bench::xray::setup::Keep;
use crate::bench::xray::throttled::Storm;
use crate::load::Protocol;

/// The table.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        id: "B1",
        title: "idle, then 200 idle gRPC connections",
        work: Work::Idle {
            setup: Setup::SEED,
            load: Load {
                connections: 200,
                ..STANDARD
            },
        },
        pairs_full: 5,
        figures: &[
            figure(
                "rss_idle_mib",
                "idle RSS MiB",
                None,
                &[gate(Limit::AtMost(15.0)), goal(Limit::AtMost(10.0))],
            ),
            figure(
                "idle_cpu_percent",
                "idle CPU %",
                None,
                &[goal(Limit::AtMost(0.1))],
            ),
            figure("ready_ms", "ready after ms", None, &[goal(Limit::AtMost(100.0))]),
            figure(
                "kib_per_connection",
                "KiB/connection",
                None,
                &[goal(Limit::AtMost(32.0))],
            ),
        ],
        ..BASE
    },
    Scenario {
        id: "B4",
        title: "headline: 10,000 spans/s, gRPC, decision_wait 10 s, limit 400/100 MiB",
        work: steady(Setup::SEED, STANDARD, false),
        pairs_short: 2,
        figures: &[
            figure(
                CPU,
                CPU_LABEL,
                Some(0.50),
                &[
                    gate(Limit::OneIn(6.0)),
                    goal(Limit::OneIn(10.0)),
                    goal(Limit::AtMost(1.0)),
                ],
            ),
            figure(
                RSS,
                RSS_LABEL,
                Some(75.0),
                &[
                    gate(Limit::OneIn(3.5)),
                    goal(Limit::OneIn(4.0)),
                    goal(Limit::AtMost(85.0)),
                ],
            ),
        ],
        ..BASE
    },
    Scenario {
        id: "B14",
        title: "ack latency in B4's runs, from the scheduled time",
        work: steady(Setup::SEED, STANDARD, false),
        pairs_short: 2,
        figures: &[
            figure("ack_p50_ms", "ack p50 ms", None, NO_BOUNDS),
            figure(
                "ack_p99_ms",
                "ack p99 ms",
                None,
                &[goal(Limit::AtMost(1.0)), goal(Limit::OneIn(3.0))],
            ),
            figure("ack_p999_ms", "ack p99.9 ms", None, NO_BOUNDS),
            figure("ack_max_ms", "ack max ms", None, &[goal(Limit::AtMost(10.0))]),
        ],
        ..BASE
    },
    Scenario {
        id: "B5",
        title: "50,000 spans/s over HTTP/1.1, limiter lifted",
        work: steady(
            ROOMY,
            Load {
                rate: 50_000,
                protocol: Protocol::Http,
                ..STANDARD
            },
            true,
        ),
        figures: &[
            figure(
                CPU,
                CPU_LABEL,
                Some(0.37),
                &[goal(Limit::OneIn(6.0)), goal(Limit::AtMost(0.75))],
            ),
            RSS_ONLY,
        ],
        ..BASE
    },
    Scenario {
        id: "B6",
        title: "small requests: 200 connections, 10 spans a request, 10,000 spans/s",
        work: steady(
            Setup::SEED,
            Load {
                traces_per_request: 1,
                connections: 200,
                ..STANDARD
            },
            true,
        ),
        figures: &[
            figure(
                "cpu_us_per_request",
                "CPU us/request",
                None,
                &[gate(Limit::OneIn(3.0)), goal(Limit::AtMost(20.0))],
            ),
            figure(CPU, CPU_LABEL, Some(1.7), NO_BOUNDS),
            RSS_ONLY,
        ],
        ..BASE
    },
    Scenario {
        id: "B7-gzip",
        title: "B4's load with gzip in",
        work: steady(
            Setup::SEED,
            Load {
                coding: Coding::Gzip,
                ..STANDARD
            },
            true,
        ),
        figures: &[
            figure(CPU, CPU_LABEL, Some(1.1), &[goal(Limit::OneIn(3.0))]),
            RSS_ONLY,
        ],
        ..BASE
    },
    Scenario {
        id: "B7-zstd",
        title: "B4's load with zstd in",
        work: steady(
            Setup::SEED,
            Load {
                coding: Coding::Zstd,
                ..STANDARD
            },
            true,
        ),
        figures: &[figure(CPU, CPU_LABEL, None, &[goal(Limit::OneIn(4.0))]), RSS_ONLY],
        ..BASE
    },
    Scenario {
        id: "B8",
        title: "the highest rate without loss on one core, gRPC, limiter lifted",
        work: Work::Ceiling {
            setup: ROOMY,
            load: STANDARD,
            search: [
                Search {
                    from: 400_000,
                    fill_first: false,
                    step: 1.5,
                    most: 3_000_000,
                    hold: Duration::from_secs(5),
                    settle: true,
                },
                Search {
                    from: 40_000,
                    fill_first: false,
                    step: 1.5,
                    most: 3_000_000,
                    hold: Duration::from_secs(5),
                    settle: true,
                },
            ],
        },
        pairs_full: 5,
        figures: &[
            figure(
                "best_spans_per_s",
                "spans/s without loss",
                Some(2_000_000.0),
                &[gate(Limit::Times(5.0)), goal(Limit::AtLeast(800_000.0))],
            ),
            figure(CPU, CPU_LABEL, Some(0.50), NO_BOUNDS),
        ],
        ..BASE
    },
    Scenario {
        id: "B9",
        title: "window: 20,000 spans/s, decision_wait 30 s, limit 400/100 MiB",
        work: steady(
            Setup {
                decision_wait: Duration::from_secs(30),
                ..Setup::SEED
            },
            Load {
                rate: 20_000,
                ..STANDARD
            },
            false,
        ),
        pairs_full: 5,
        figures: &[
            figure(RSS, RSS_LABEL, None, &[gate(Limit::AtMost(400.0))]),
            figure(CPU, CPU_LABEL, None, NO_BOUNDS),
        ],
        upstream_may_fail: true,
        ..BASE
    },
    Scenario {
        id: "B10-memory",
        title: "three times what 400/100 MiB hold for 10 s",
        work: Work::Overload {
            setup: Setup::SEED,
            load: STANDARD,
            overload: [
                overload(150_000, 1.08, MEMORY_HOLD, true),
                overload(30_000, 1.08, MEMORY_HOLD, true),
            ],
        },
        figures: OVERLOAD_FIGURES,
        upstream_may_fail: true,
        ..BASE
    },
    Scenario {
        id: "B10-cpu",
        title: "three times what a quarter of a core takes; decision_wait 1 s, limit 400/100 MiB",
        work: Work::Overload {
            setup: Setup {
                decision_wait: Duration::from_secs(1),
                quota: Some(0.25),
                ..Setup::SEED
            },
            load: STANDARD,
            overload: [
                overload(100_000, 1.4, CPU_HOLD, false),
                overload(10_000, 1.4, CPU_HOLD, false),
            ],
        },
        figures: OVERLOAD_FIGURES,
        upstream_may_fail: true,
        ..BASE
    },
    Scenario {
        id: "B12",
        title: "B13's load and one trace of 50,000 spans that goes on for ever at 1,000 spans/s",
        work: steady(
            QUICK_BATCH,
            Load {
                giant: Some(Giant {
                    burst: 50_000,
                    rate: 1_000,
                }),
                ..STANDARD
            },
            true,
        ),
        figures: &[
            figure(
                "late_p99_ms",
                "lateness p99 ms",
                None,
                &[goal(Limit::AtMost(50.0))],
            ),
            figure("giant_accepted", "giant's spans taken", None, NO_BOUNDS),
            figure("giant_kept", "giant's spans kept", None, NO_BOUNDS),
            RSS_ONLY,
        ],
        upstream_may_fail: true,
        ..BASE
    },
    Scenario {
        id: "B13",
        title: "lateness at B4's load; the batch timeout is 10 ms for both",
        work: steady(QUICK_BATCH, STANDARD, true),
        figures: &[
            figure(
                "late_p50_ms",
                "lateness p50 ms",
                None,
                &[goal(Limit::AtMost(15.0))],
            ),
            figure(
                "late_p99_ms",
                "lateness p99 ms",
                None,
                &[gate(Limit::AtMost(50.0)), goal(Limit::OneIn(10.0))],
            ),
            figure(
                "late_p999_ms",
                "lateness p99.9 ms",
                None,
                &[goal(Limit::AtMost(150.0))],
            ),
        ],
        ..BASE
    },
    Scenario {
        id: "B15-4",
        title: "4 policies: the seed's and a string attribute",
        work: with_policies(4),
        figures: &[figure(CPU, CPU_LABEL, None, NO_BOUNDS)],
        ..BASE
    },
    Scenario {
        id: "B15-10",
        title: "10 policies",
        work: with_policies(10),
        figures: &[
            figure(CPU, CPU_LABEL, None, NO_BOUNDS),
            figure("delta_us_per_span", "above 4 policies us/span", None, NO_BOUNDS),
        ],
        pairs_short: 0,
        above: Some("B15-4"),
        ..BASE
    },
    Scenario {
        id: "B15-20",
        title: "20 policies",
        work: with_policies(20),
        figures: &[
            figure(CPU, CPU_LABEL, None, NO_BOUNDS),
            // 10 ns a span for each of the 16.
            figure(
                "delta_us_per_span",
                "above 4 policies us/span",
                None,
                &[goal(Limit::AtMost(0.16)), goal(Limit::OneIn(10.0))],
            ),
        ],
        above: Some("B15-4"),
        ..BASE
    },
    Scenario {
        id: "B16-5",
        title: "10,000 spans/s, 5 % kept, to X-Ray over TLS, less the same thrown away; upstream v0.120.0",
        work: Work::XrayCost {
            setup: xray(Keep::Some {
                slow: false,
                percent: 0.1,
            }),
            load: STANDARD,
        },
        figures: XRAY_FIGURES,
        ..BASE
    },
    Scenario {
        id: "B16-25",
        title: "10,000 spans/s, 25 % kept, to X-Ray over TLS, less the same thrown away; upstream v0.120.0",
        work: Work::XrayCost {
            setup: xray(Keep::Some {
                slow: true,
                percent: 12.3,
            }),
            load: STANDARD,
        },
        figures: XRAY_FIGURES,
        ..BASE
    },
    Scenario {
        id: "B16-all",
        title: "3,000 spans/s, all kept, to X-Ray over TLS, less the same thrown away; upstream v0.120.0",
        work: Work::XrayCost {
            setup: xray(Keep::All),
            load: Load {
                rate: 3_000,
                ..STANDARD
            },
        },
        figures: XRAY_FIGURES,
        ..BASE
    },
    Scenario {
        id: "B16-throttled",
        title: "2,000 spans/s, all kept, 60 s of ThrottledException, limit 400/100 MiB; upstream v0.120.0",
        work: Work::XrayThrottled {
            setup: xray(Keep::All),
            load: Load {
                rate: 2_000,
                ..STANDARD
            },
            storm: Storm {
                before: Duration::from_secs(20),
                length: Duration::from_secs(60),
                after: Duration::from_secs(40),
            },
        },
        figures: &[
            figure(
                "documents_lost",
                "documents lost",
                None,
                &[gate(Limit::AtMost(0.0))],
            ),
            figure("lost_share", "share of all", None, NO_BOUNDS),
            figure(
                "calls_by_needed",
                "calls / calls needed",
                Some(1.0),
                &[gate(Limit::AtMost(1.2))],
            ),
            figure(
                "clear_after_s",
                "backlog clear after s",
                None,
                &[gate(Limit::AtMost(15.0))],
            ),
            figure(
                "documents_repeated",
                "documents sent twice",
                None,
                &[gate(Limit::AtMost(0.0))],
            ),
            figure("requests_refused", "requests refused", None, NO_BOUNDS),
            RSS_ONLY,
        ],
        upstream_may_fail: true,
        ..BASE
    },
    Scenario {
        id: "B19",
        title: "instructions of the hot loops by item, beside the committed figures: scripts/hot_loops.sh",
        work: Work::Script("scripts/hot_loops.sh"),
        ours_alone: true,
        ..BASE
    },
    Scenario {
        id: "B20",
        title: "fidelity: every span that is kept is the bytes that were sent (decisions: make peers)",
        work: steady(
            Setup::SEED,
            Load {
                check_bytes: true,
                ..STANDARD
            },
            true,
        ),
        figures: &[figure("spans_compared", "spans compared", None, NO_BOUNDS)],
        ours_alone: true,
        ..BASE
    },
    MIX,
    DELTA,
    SUMS,
    HISTOGRAMS,
];
