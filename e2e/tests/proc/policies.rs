//! The upstream collector as oracle of every policy: random policy sets keep the same of random traces.
//!
//! One upstream process has a pipeline for each of many sets, and all get the same requests. Ours go through the same
//! crates as in the collector, in this process. The differences that docs/sampling.md names are left out of the random
//! runs by the way they are drawn; `differences` shows each of them.

mod budget;
mod differences;
mod ours;
mod sets;
mod spans;
mod traffic;
mod upstream;
mod values;
mod words;

use std::collections::BTreeMap;
use std::path::Path;

use tracepipe_otlp::TraceId;

use crate::parity::peer_binary;
use sets::{LOOKS, PolicySet};
use traffic::Traffic;
use upstream::KeptTraces;

/// Sets that share one upstream process: what waits for decisions there takes about 50 MB a set in a full run.
const SETS_PER_PROCESS: usize = 50;
/// Differing traces that are shown.
const SHOWN_MAX: usize = 3;

/// How much is compared.
#[derive(Debug, Clone, Copy)]
struct Size {
    seed: u64,
    sets: usize,
    traces: usize,
    /// Sets that go through the collector's own process as well.
    collectors: usize,
    /// Of load for policies with a budget.
    budget_seconds: u64,
}

impl Size {
    /// The part that runs with every `make test`; `make peers` asks for more through the environment.
    fn of_this_run() -> Self {
        let number = |name: &str, default: usize| match std::env::var(name) {
            Ok(text) => text
                .parse()
                .unwrap_or_else(|_| panic!("{name} is no number: {text:?}")),
            Err(_) => default,
        };
        Self {
            seed: number("TRACEPIPE_POLICY_SEED", 161) as u64,
            sets: number("TRACEPIPE_POLICY_SETS", 120),
            traces: number("TRACEPIPE_POLICY_TRACES", 1_000),
            collectors: number("TRACEPIPE_POLICY_COLLECTORS", 3),
            budget_seconds: number("TRACEPIPE_POLICY_BUDGET_SECONDS", 10) as u64,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_policy_sets_keep_the_traces_that_the_upstream_collector_keeps() {
    let peer = peer_binary().await.unwrap();
    let size = Size::of_this_run();
    let mut seen = Seen::default();
    let mut failures = Vec::new();
    for (group, first) in (0..size.sets).step_by(SETS_PER_PROCESS).enumerate() {
        let ordered = group.is_multiple_of(2);
        let traffic = Traffic::new(size.seed.wrapping_add(group as u64), size.traces, ordered);
        let numbers = first..size.sets.min(first + SETS_PER_PROCESS);
        let sets: Vec<PolicySet> = numbers
            .map(|number| PolicySet::new(size.seed, number, ordered))
            .collect();
        failures.extend(compare(&peer, &traffic, &sets, &mut seen).await);
    }
    println!("{}", seen.report(size));
    assert!(
        failures.is_empty(),
        "{size:?}: {} sets differ:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
    seen.assert_every_type_decides();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_collector_keeps_what_its_crates_keep_in_this_process() {
    let size = Size::of_this_run();
    let traffic = Traffic::new(size.seed, size.traces, false);
    // Several policies each; a collector decides many traces at one moment, in which no budget fills.
    let sets = (1..)
        .step_by(2)
        .map(|number| PolicySet::new(size.seed, number, true));
    let sets = sets.filter(|set| !set.policies.contains("rate_limiting"));
    for set in sets.take(size.collectors) {
        let expected = ours::kept(&traffic, &set).unwrap();
        let found = ours::kept_by_collector(&traffic, &set).await.unwrap();
        let failure = difference(&traffic, &set, &found, &expected);
        assert_eq!(
            failure, None,
            "ours is the collector, theirs its crates; {size:?}"
        );
    }
}

/// What the run has put to the test.
#[derive(Debug, Default)]
struct Seen {
    comparisons: u64,
    kept: u64,
    /// Of sets that are one policy alone: traces kept and all.
    alone: BTreeMap<String, (u64, u64)>,
}

impl Seen {
    fn add(&mut self, traffic: &Traffic, set: &PolicySet, kept: &KeptTraces) {
        self.comparisons += traffic.traces.len() as u64;
        self.kept += kept.len() as u64;
        if let Some(look) = set.alone {
            let (of_look, all) = self.alone.entry(format!("{look:?}")).or_default();
            *of_look += kept.len() as u64;
            *all += traffic.traces.len() as u64;
        }
    }

    fn report(&self, size: Size) -> String {
        let share = |kept: u64, all: u64| format!("{:.1} %", 100.0 * kept as f64 / all as f64);
        let mut text = format!(
            "policy parity: seed {}, {} sets x {} traces: {} decisions, {} kept; one policy alone:",
            size.seed,
            size.sets,
            size.traces,
            self.comparisons,
            share(self.kept, self.comparisons)
        );
        for (look, (kept, all)) in &self.alone {
            text += &format!("\n  {look}: {} kept", share(*kept, *all));
        }
        text
    }

    /// A policy that keeps all or nothing proves nothing.
    fn assert_every_type_decides(&self) {
        for look in LOOKS {
            let (kept, all) = self.alone.get(&format!("{look:?}")).copied().unwrap_or_default();
            let share = kept as f64 / all as f64;
            let expected = if look == sets::Look::AlwaysSample {
                1.0..=1.0
            } else {
                0.01..=0.99
            };
            assert!(
                expected.contains(&share),
                "{look:?} alone keeps {kept} of {all} traces"
            );
        }
    }
}

/// The sets that differ, with their first traces.
async fn compare(peer: &Path, traffic: &Traffic, sets: &[PolicySet], seen: &mut Seen) -> Vec<String> {
    let theirs = upstream::kept(peer, traffic, sets).await.unwrap();
    let mut failures = Vec::new();
    for (set, theirs) in sets.iter().zip(&theirs) {
        let ours = ours::kept(traffic, set).unwrap();
        seen.add(traffic, set, theirs);
        if let Some(failure) = difference(traffic, set, &ours, theirs) {
            failures.push(failure);
        }
    }
    failures
}

fn difference(traffic: &Traffic, set: &PolicySet, ours: &KeptTraces, theirs: &KeptTraces) -> Option<String> {
    let differing: Vec<TraceId> = traffic
        .traces
        .keys()
        .copied()
        .filter(|id| ours.get(id) != theirs.get(id))
        .collect();
    if let Some((id, kept)) = theirs
        .iter()
        .find(|(id, kept)| traffic.traces.get(*id) != Some(&kept.spans))
    {
        return Some(format!(
            "the upstream collector did not keep trace {id} whole: {kept:?}"
        ));
    }
    if differing.is_empty() {
        return None;
    }
    let shown: Vec<String> = differing
        .iter()
        .take(SHOWN_MAX)
        .map(|id| {
            format!(
                "ours: {:?}, theirs: {:?}\n{}",
                ours.get(id),
                theirs.get(id),
                traffic.show(*id)
            )
        })
        .collect();
    Some(format!(
        "set {} with traffic of seed {} (ordered: {}): {} of {} traces differ, the first:\n{}\npolicies, {}: {}",
        set.number,
        traffic.seed,
        traffic.ordered,
        differing.len(),
        traffic.traces.len(),
        shown.join("\n"),
        if set.sample_on_first_match {
            "sample_on_first_match"
        } else {
            "all asked"
        },
        set.policies
    ))
}
