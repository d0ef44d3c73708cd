//! What is measured, as data. The numbers are those of the performance plan: B1, B4 to B10, B12 to B16, B19, B20;
//! M1 to M3 are of data points.

mod metrics;
mod parts;
mod table;

use std::time::Duration;

use crate::bench::ceiling::Search;
use crate::bench::metrics::setup::{MetricsLoad, MetricsSetup};
use crate::bench::overload::Overload;
use crate::bench::setup::Setup;
use crate::bench::steady::{Load, Timing};
use crate::bench::xray::setup::XraySetup;
use crate::bench::xray::throttled::Storm;
pub use table::SCENARIOS;

/// How thoroughly everything is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Some minutes: fewer pairs, shorter runs, a decision wait of 2 s where it does not matter.
    Short,
    /// At least five pairs, 30 s of warm-up, 60 s and three decision waits measured.
    Full,
}

/// A line of the plan.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// `B4`, `B7-gzip`.
    pub id: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What is run.
    pub work: Work,
    /// Pairs of runs in the short form; 0: left out there.
    pub pairs_short: u32,
    /// Pairs of runs in full.
    pub pairs_full: u32,
    /// Figures that are shown and judged.
    pub figures: &'static [Figure],
    /// The upstream collector is expected to refuse or lose here; that is its result, and no reason to fail.
    pub upstream_may_fail: bool,
    /// Only our collector is looked at.
    pub ours_alone: bool,
    /// `delta_us_per_span` is the CPU above the runs of that scenario.
    pub above: Option<&'static str>,
}

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work {
    /// A fixed rate.
    Steady {
        /// The configuration.
        setup: Setup,
        /// The load.
        load: Load,
        /// The short form waits 2 s for decisions.
        brief_wait: bool,
    },
    /// No load, then connections without requests.
    Idle {
        /// The configuration.
        setup: Setup,
        /// Its connections.
        load: Load,
    },
    /// The highest rate without loss.
    Ceiling {
        /// The configuration.
        setup: Setup,
        /// The load but for its rate.
        load: Load,
        /// How it is looked for: ours, upstream's.
        search: [Search; 2],
    },
    /// The CPU of the way to X-Ray.
    XrayCost {
        /// The configuration.
        setup: XraySetup,
        /// The load.
        load: Load,
    },
    /// X-Ray refuses everything for a while.
    XrayThrottled {
        /// The configuration.
        setup: XraySetup,
        /// The load.
        load: Load,
        /// When.
        storm: Storm,
    },
    /// The CPU of the way of data points to remote write.
    Metrics {
        /// The configuration.
        setup: MetricsSetup,
        /// The load.
        load: MetricsLoad,
    },
    /// A program of this project that measures on its own, from the project's root.
    Script(&'static str),
    /// Three times the highest rate.
    Overload {
        /// The configuration.
        setup: Setup,
        /// The load but for its rate.
        load: Load,
        /// How it is made: ours, upstream's.
        overload: [Overload; 2],
    },
}

/// A figure of the table.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its name in a run's figures.
    pub key: &'static str,
    /// Its name and unit in the table.
    pub label: &'static str,
    /// The floor by paper (section 3 of the performance plan), in its unit.
    pub floor: Option<f64>,
    /// What it has to hold.
    pub bounds: &'static [Bound],
}

/// Whether a bound must be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It must.
    Gate,
    /// It should.
    Goal,
}

/// A bound on the median of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// How serious it is.
    pub level: Level,
    /// The bound.
    pub limit: Limit,
}

/// The two kinds of bounds, in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Ours is at most this.
    AtMost(f64),
    /// Ours is at least this.
    AtLeast(f64),
    /// Ours is at most this share of upstream's: one divided by the number.
    OneIn(f64),
    /// Ours is at least so many times upstream's.
    Times(f64),
}

/// The decision wait of the short form where it does not matter.
const BRIEF_WAIT: Duration = Duration::from_secs(2);

impl Work {
    /// At another rate, when it has one.
    pub fn at_rate(self, rate: u64) -> Self {
        match self {
            Self::Steady {
                setup,
                load,
                brief_wait,
            } => Self::Steady {
                setup,
                load: Load { rate, ..load },
                brief_wait,
            },
            Self::XrayCost { setup, load } => Self::XrayCost {
                setup,
                load: Load { rate, ..load },
            },
            Self::XrayThrottled { setup, load, storm } => Self::XrayThrottled {
                setup,
                load: Load { rate, ..load },
                storm,
            },
            Self::Metrics { setup, load } => Self::Metrics {
                setup,
                load: MetricsLoad { rate, ..load },
            },
            Self::Idle { .. } | Self::Ceiling { .. } | Self::Overload { .. } | Self::Script(_) => self,
        }
    }

    /// As it is run in this depth.
    pub fn at(self, depth: Depth) -> Self {
        match self {
            Self::Steady {
                setup,
                load,
                brief_wait: true,
            } if depth == Depth::Short => Self::Steady {
                setup: Setup {
                    decision_wait: BRIEF_WAIT,
                    ..setup
                },
                load,
                brief_wait: true,
            },
            Self::Ceiling { setup, load, search } => {
                let (decision_wait, factor) = match depth {
                    Depth::Short => (BRIEF_WAIT, 1),
                    Depth::Full => (setup.decision_wait, 5),
                };
                Self::Ceiling {
                    setup: Setup {
                        decision_wait,
                        ..setup
                    },
                    load,
                    search: search.map(|one| Search {
                        hold: one.hold * factor,
                        ..one
                    }),
                }
            }
            Self::Overload {
                setup,
                load,
                overload,
            } => {
                let factor = if depth == Depth::Full { 4 } else { 1 };
                let overload = overload.map(|one| Overload {
                    length: one.length * factor,
                    search: Search {
                        hold: one.search.hold * factor.min(2),
                        ..one.search
                    },
                });
                Self::Overload {
                    setup,
                    load,
                    overload,
                }
            }
            Self::Steady { .. }
            | Self::Idle { .. }
            | Self::Script(_)
            | Self::Metrics { .. }
            | Self::XrayCost { .. }
            | Self::XrayThrottled { .. } => self,
        }
    }
}

impl Depth {
    /// How long a steady run lasts.
    pub fn timing(self, setup: &Setup) -> Timing {
        let wait = setup.decision_wait;
        match self {
            Self::Short => Timing {
                warm_up: wait + Duration::from_secs(2),
                measure: Duration::from_secs(10),
            },
            Self::Full => Timing {
                warm_up: Duration::from_secs(30).max(wait + Duration::from_secs(2)),
                measure: Duration::from_secs(60).max(wait * 3),
            },
        }
    }

    /// How long each of the four runs lasts whose difference is the cost of the way to X-Ray.
    pub fn xray_timing(self, decision_wait: Duration) -> Timing {
        Timing {
            warm_up: decision_wait + Duration::from_secs(2),
            measure: Duration::from_secs(if self == Self::Full { 60 } else { 15 }),
        }
    }

    /// How long a run with data points lasts.
    pub fn metrics_timing(self) -> Timing {
        let (warm_up, measure) = match self {
            Self::Short => (4, 15),
            Self::Full => (30, 60),
        };
        Timing {
            warm_up: Duration::from_secs(warm_up),
            measure: Duration::from_secs(measure),
        }
    }

    /// How long an idle collector is watched.
    pub fn idle(self) -> Duration {
        match self {
            Self::Short => Duration::from_secs(5),
            Self::Full => Duration::from_secs(60),
        }
    }

    /// Pairs of runs.
    pub fn pairs(self, scenario: &Scenario) -> u32 {
        match self {
            Self::Short => scenario.pairs_short,
            Self::Full => scenario.pairs_full,
        }
    }
}

/// The scenarios that `names` ask for, in the table's order; all when there is no name.
///
/// # Errors
/// The first name that is none.
pub fn select(names: &[String]) -> Result<Vec<Scenario>, String> {
    let asked = |scenario: &Scenario, name: &str| {
        let rest = scenario.id.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    if let Some(unknown) = names
        .iter()
        .find(|name| !SCENARIOS.iter().any(|scenario| asked(scenario, name)))
    {
        let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.id).collect();
        return Err(format!("no scenario {unknown}: {}", known.join(" ")));
    }
    let wanted = |scenario: &&Scenario| names.is_empty() || names.iter().any(|name| asked(scenario, name));
    Ok(SCENARIOS.iter().filter(wanted).copied().collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Depth, SCENARIOS, Work, select};

    #[test]
    fn ids_are_unique_and_every_delta_has_its_base_before_it() {
        let mut seen = HashSet::new();
        for scenario in SCENARIOS {
            assert!(
                scenario.above.is_none_or(|base| seen.contains(base)),
                "{}",
                scenario.id
            );
            assert!(seen.insert(scenario.id), "{} twice", scenario.id);
            assert!(scenario.pairs_full >= 5, "{}", scenario.id);
        }
    }

    #[test]
    fn a_name_selects_itself_and_its_parts() {
        let ids = |names: &[&str]| -> Vec<&str> {
            let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
            select(&names).unwrap().iter().map(|one| one.id).collect()
        };
        assert_eq!(ids(&["B7"]), ["B7-gzip", "B7-zstd"]);
        assert_eq!(ids(&["B4", "B1"]), ["B1", "B4"]);
        assert_eq!(ids(&["B7-zstd"]), ["B7-zstd"]);
        assert_eq!(ids(&[]).len(), SCENARIOS.len());
        assert!(select(&["B99".into()]).is_err());
    }

    #[test]
    fn in_full_a_steady_run_lasts_three_decision_waits() {
        for scenario in SCENARIOS {
            if let Work::Steady { setup, .. } = scenario.work.at(Depth::Full) {
                let timing = Depth::Full.timing(&setup);
                assert!(timing.measure >= setup.decision_wait * 3, "{}", scenario.id);
                assert!(timing.warm_up > setup.decision_wait, "{}", scenario.id);
            }
        }
    }
}
