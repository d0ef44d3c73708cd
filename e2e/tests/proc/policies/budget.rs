//! Policies with a budget: what they keep is at most rate x seconds + burst, and never a trace larger than the burst.
//!
//! Which traces a budget goes to depends on the moment of each decision, so kept sets cannot be compared with
//! upstream's. The bound holds for us in every stretch of time, not only over the run. Upstream's totals are printed
//! beside: its `composite` counts calendar seconds and each member against the whole rate.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};
use tracepipe_e2e::clock;
use tracepipe_e2e::collector::{CollectorProcess, Start};
use tracepipe_e2e::load::{self, Planned, Sender, Target};
use tracepipe_e2e::otlp_sink::OtlpSink;
use tracepipe_e2e::rng::Rng;
use tracepipe_e2e::workload::{Encoding, OtlpRequest};
use tracepipe_otlp::TraceId;
use tracepipe_otlp::walk::RequestWalk;
use tracepipe_sampling::{Effect, TraceTable};

use super::ours;
use super::sets::PolicySet;
use super::spans::{Attribute, ResourceSpans, ScopeSpans, Span, Value, encode, span_bytes};
use super::upstream::{KeptTraces, Upstream};
use crate::parity::peer_binary;
use crate::rig;

const BASE_UNIX_NANO: u64 = 1_795_219_200_000_000_000;
/// Traces arrive so far apart: 200 a second with about 2,000 spans.
const TRACE_INTERVAL: Duration = Duration::from_millis(5);
const SPANS_MAX: u64 = 20;
/// One trace in so many is larger than every burst.
const GIANT_EVERY: u64 = 40;
const GIANT_SPANS: u64 = 200;
const DECISION_WAIT: Duration = Duration::from_secs(1);

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Spans,
    /// Of a span with its tag and length in its `ScopeSpans`.
    Bytes,
}

/// A policy and the bound of what it, or one of its members, may keep.
struct Budget {
    name: &'static str,
    policy: Json,
    unit: Unit,
    rate: u64,
    burst: u64,
    /// The bounds of members: of traces that failed, and of the others.
    members: Option<[u64; 2]>,
}

/// All are offered several times what they may keep.
fn budgets() -> [Budget; 4] {
    let errors = json!({"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}});
    let rest = json!({"name": "rest", "type": "always_sample"});
    [
        Budget {
            name: "rate_limiting, 300 spans/s, burst 100",
            policy: json!({"name": "p", "type": "rate_limiting",
                "rate_limiting": {"spans_per_second": 300, "burst_capacity": 100}}),
            unit: Unit::Spans,
            rate: 300,
            burst: 100,
            members: None,
        },
        Budget {
            name: "rate_limiting, 90 spans/s, burst by default",
            policy: json!({"name": "p", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 90}}),
            unit: Unit::Spans,
            rate: 90,
            burst: 180,
            members: None,
        },
        Budget {
            name: "bytes_limiting, 50 kB/s, burst 15 kB",
            policy: json!({"name": "p", "type": "bytes_limiting",
                "bytes_limiting": {"bytes_per_second": 50_000, "burst_capacity": 15_000}}),
            unit: Unit::Bytes,
            rate: 50_000,
            burst: 15_000,
            members: None,
        },
        Budget {
            name: "composite, 150 spans/s, errors 40 %",
            policy: json!({"name": "p", "type": "composite", "composite": {"max_total_spans_per_second": 150,
                "policy_order": ["errors", "rest"], "composite_sub_policy": [errors, rest],
                "rate_allocation": [{"policy": "errors", "percent": 40}]}}),
            unit: Unit::Spans,
            rate: 150,
            // A second's worth.
            burst: 150,
            members: Some([60, 90]),
        },
    ]
}

/// A trace of the load, in a request of its own.
struct Offered {
    id: TraceId,
    spans: u64,
    bytes: u64,
    failed: bool,
    body: Vec<u8>,
}

impl Offered {
    fn new(seed: u64, number: u64) -> Self {
        let mut rng = Rng::for_item(seed, number);
        let id = rng.trace_id();
        let giant = number % GIANT_EVERY == GIANT_EVERY / 2;
        let count = if giant {
            GIANT_SPANS
        } else {
            rng.between(1, SPANS_MAX)
        };
        let failed = rng.chance(0.3);
        let spans: Vec<Span> = (0..count)
            .map(|index| Span {
                number: number * GIANT_SPANS + index + 1,
                start_unix_nano: BASE_UNIX_NANO,
                end_unix_nano: BASE_UNIX_NANO + 1_000_000,
                status: (failed && index == 0).then_some(2),
                attributes: vec![Attribute::new(
                    "padding",
                    Value::Text(vec![b'x'; rng.between(0, 400) as usize]),
                )],
                ..Span::default()
            })
            .collect();
        let bytes = spans.iter().map(|span| span_bytes(span, &[id]) as u64).sum();
        let scopes = vec![ScopeSpans {
            spans,
            ..ScopeSpans::default()
        }];
        let request = [ResourceSpans {
            resource: Some(vec![Attribute::new("service.name", "load")]),
            scopes,
            ..ResourceSpans::default()
        }];
        Self {
            id: TraceId(id),
            spans: count,
            bytes,
            failed,
            body: encode(&request, &[id]),
        }
    }

    fn amount(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Spans => self.spans,
            Unit::Bytes => self.bytes,
        }
    }
}

fn offered(seed: u64, seconds: u64) -> Vec<Offered> {
    let count = seconds * 1_000 / TRACE_INTERVAL.as_millis() as u64;
    (0..count).map(|number| Offered::new(seed, number)).collect()
}

fn set(budget: &Budget, number: usize) -> PolicySet {
    PolicySet::of(number, &json!([budget.policy]))
}

/// A bound on what is kept in every stretch of time: leaks at the rate, must never hold more than the burst.
struct Leak {
    rate: f64,
    burst: f64,
    level: f64,
    at: Duration,
}

impl Leak {
    fn new(rate: u64, burst: u64) -> Self {
        Self {
            rate: rate as f64,
            burst: burst as f64,
            level: 0.0,
            at: Duration::ZERO,
        }
    }

    fn add(&mut self, at: Duration, amount: u64) -> anyhow::Result<()> {
        let leaked = self.rate * (at - self.at).as_secs_f64();
        self.level = (self.level - leaked).max(0.0) + amount as f64;
        self.at = at;
        // Sums of fractions are not exact.
        ensure!(
            self.level <= self.burst + 1e-6,
            "at {at:?} it kept {} more than its rate allows, its burst is {}",
            self.level,
            self.burst
        );
        Ok(())
    }
}

#[test]
fn in_no_stretch_of_time_is_more_kept_than_its_rate_and_the_burst() {
    for seed in 1..=3 {
        let offered = offered(seed, 30);
        for budget in budgets() {
            let kept = in_virtual_time(&budget, &offered, seed).unwrap();
            let whole = budget.rate * 30 + budget.burst;
            // A budget that is not used would be kept by keeping nothing.
            assert!(
                kept * 10 >= whole * 8,
                "{}: only {kept} of {whole} are kept",
                budget.name
            );
        }
    }
}

/// Runs the trace table, checks the bound at each decision and says how much was kept.
fn in_virtual_time(budget: &Budget, offered: &[Offered], seed: u64) -> anyhow::Result<u64> {
    let mut settings = ours::settings(&set(budget, 0))?;
    settings.decision_wait = DECISION_WAIT;
    let mut table: TraceTable<()> = TraceTable::new(&settings, seed)?;
    let mut watch = table.policies().watch();
    let mut walk = RequestWalk::new();
    let mut bounds = Bounds::new(budget, offered);
    let mut rng = Rng::new(seed);
    let end = TRACE_INTERVAL * offered.len() as u32 + 2 * DECISION_WAIT;
    let mut arriving = offered.iter();
    let mut now = Duration::ZERO;
    while now < end {
        now += TRACE_INTERVAL;
        if let Some(one) = arriving.next() {
            walk.walk_with(&one.body, &mut watch)?;
            for head in walk.spans() {
                table.on_span(now, head, head.record.len() as u32);
            }
        }
        // Decisions come late and many at a time when the machine is busy.
        if rng.chance(0.3) || now >= end {
            table.on_timeout(now);
        }
        while let Some(effect) = table.poll_effect() {
            if let Effect::Release(trace) = effect {
                bounds.add(now, trace.trace_id)?;
            }
        }
    }
    Ok(bounds.kept)
}

/// The bounds of a policy and of its members.
struct Bounds<'o> {
    offered: BTreeMap<TraceId, &'o Offered>,
    unit: Unit,
    all: Leak,
    /// Of traces that failed, and of the others.
    members: Option<[Leak; 2]>,
    kept: u64,
}

impl<'o> Bounds<'o> {
    fn new(budget: &Budget, offered: &'o [Offered]) -> Self {
        Self {
            offered: offered.iter().map(|one| (one.id, one)).collect(),
            unit: budget.unit,
            all: Leak::new(budget.rate, budget.burst),
            members: budget
                .members
                .map(|rates| rates.map(|rate| Leak::new(rate, rate))),
            kept: 0,
        }
    }

    fn add(&mut self, now: Duration, id: TraceId) -> anyhow::Result<()> {
        let one = self.offered.get(&id).context("a trace that was not offered")?;
        let amount = one.amount(self.unit);
        self.kept += amount;
        self.all.add(now, amount)?;
        if let Some([failed, others]) = &mut self.members {
            if one.failed { failed } else { others }.add(now, amount)?;
        }
        Ok(())
    }
}

/// What came out of a run of real programs.
#[derive(Debug, Clone, Copy)]
struct Total {
    kept: u64,
    largest: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_keeps_at_most_rate_times_seconds_and_the_burst_and_no_larger_trace() {
    let peer = peer_binary().await.unwrap();
    let seconds = super::Size::of_this_run().budget_seconds;
    let offered = offered(161, seconds);
    let budgets = budgets();
    let sets: Vec<PolicySet> = budgets
        .iter()
        .enumerate()
        .map(|(number, budget)| set(budget, number))
        .collect();
    let first = run_upstream(&peer, &sets, &offered);
    let second = run_upstream(&peer, &sets, &offered);
    let ours = |index: usize| run_ours(&budgets[index], &sets[index], &offered);
    let (first, second, a, b, c, d) =
        tokio::try_join!(first, second, ours(0), ours(1), ours(2), ours(3)).unwrap();
    let ours = [a, b, c, d];
    println!("budgets: {} traces in {seconds} s", offered.len());
    for (index, budget) in budgets.iter().enumerate() {
        let amount = |one: &Offered| one.amount(budget.unit);
        let all: u64 = offered.iter().map(amount).sum();
        let (mine, took) = ours[index];
        let bound = budget.rate as f64 * took.as_secs_f64() + budget.burst as f64;
        let theirs = [&first, &second].map(|run| total(budget.unit, &offered, run[index].keys().copied()));
        println!(
            "  {}: offered {all}, kept {} in {:.1} s (at most {bound:.0}), upstream kept {} and {}; largest trace {}, \
             upstream {} and {}",
            budget.name,
            mine.kept,
            took.as_secs_f64(),
            theirs[0].kept,
            theirs[1].kept,
            mine.largest,
            theirs[0].largest,
            theirs[1].largest
        );
        assert!(mine.kept as f64 <= bound, "{}: {mine:?} in {took:?}", budget.name);
        assert!(mine.largest <= budget.burst, "{}: {mine:?}", budget.name);
        assert!(
            mine.kept >= budget.rate,
            "{}: {mine:?} is hardly anything",
            budget.name
        );
    }
}

fn total(unit: Unit, offered: &[Offered], kept: impl Iterator<Item = TraceId>) -> Total {
    let amounts: BTreeMap<TraceId, u64> = offered.iter().map(|one| (one.id, one.amount(unit))).collect();
    let kept: Vec<u64> = kept.map(|id| amounts[&id]).collect();
    Total {
        kept: kept.iter().sum(),
        largest: kept.iter().copied().max().unwrap_or(0),
    }
}

async fn run_upstream(
    peer: &Path,
    sets: &[PolicySet],
    offered: &[Offered],
) -> anyhow::Result<Vec<KeptTraces>> {
    let upstream = Upstream::start(peer, sets, DECISION_WAIT).await?;
    offer(offered, upstream.address()).await?;
    upstream.stop().await
}

/// What our collector kept, and the time from before the first request until everything was decided.
async fn run_ours(
    budget: &Budget,
    set: &PolicySet,
    offered: &[Offered],
) -> anyhow::Result<(Total, Duration)> {
    let sink = OtlpSink::start().await?;
    let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    let config = ours::config(set, &sink.address().to_string(), DECISION_WAIT);
    std::fs::write(file.path(), config)?;
    let collector = CollectorProcess::start(Start::new(file.path())).await?;
    let started = clock::now();
    offer(offered, collector.grpc()?).await?;
    rig::settled(&collector, offered.iter().map(|one| one.spans).sum()).await;
    let took = clock::now().saturating_duration_since(started);
    rig::stop(collector).await;
    Ok((total(budget.unit, offered, sink.traces().into_keys()), took))
}

async fn offer(offered: &[Offered], address: SocketAddr) -> anyhow::Result<()> {
    let planned = (1..).zip(offered).map(|(number, one)| Planned {
        due: TRACE_INTERVAL * number,
        sender: 0,
        request: OtlpRequest {
            body: one.body.clone().into(),
            encoding: Encoding::Protobuf,
            traces: vec![(one.id, one.spans as u32)],
        },
    });
    let senders = [Arc::new(Sender::new(Target::grpc(address))?)];
    let report = load::run(&senders, clock::now(), planned).await;
    ensure!(
        report.all_accepted(),
        "not every request was accepted: {:?}",
        report.answers
    );
    Ok(())
}
