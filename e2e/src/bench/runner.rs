//! Runs a scenario: pairs of runs in the order ABBA, so that a machine that gets slower on the way weighs on both alike.

use std::io::Write;

use crate::bench::arm::{Arm, Bench};
use crate::bench::cgroup::CpuQuota;
use crate::bench::outcome::Outcome;
use crate::bench::scenario::{Depth, Scenario, Work};
use crate::bench::{ceiling, idle, metrics, overload, steady, xray};

/// One run of one collector.
#[derive(Debug, Clone)]
pub struct Run {
    /// Whose.
    pub arm: Arm,
    /// Runs of one pair are compared with each other.
    pub pair: u32,
    /// What it showed.
    pub outcome: Outcome,
}

/// A scenario and its runs.
#[derive(Debug, Clone)]
pub struct Block {
    /// The line of the table.
    pub scenario: Scenario,
    /// What was run, in this depth.
    pub work: Work,
    /// In the order of time.
    pub runs: Vec<Run>,
    /// Why it was not run, when this machine cannot.
    pub left_out: Option<String>,
}

/// Runs `scenario`; `done` are the blocks before it, whose runs are taken over when they are the same work.
///
/// # Errors
/// When progress cannot be written. What goes wrong in a run makes that run void.
pub async fn run(
    bench: &Bench,
    scenario: &Scenario,
    depth: Depth,
    done: &[Block],
    out: &mut impl Write,
) -> std::io::Result<Block> {
    let work = scenario.work.at(depth);
    writeln!(out, "\n{}  {}", scenario.id, scenario.title)?;
    let mut block = Block {
        scenario: *scenario,
        work,
        runs: Vec::new(),
        left_out: left_out(scenario, &work, depth),
    };
    if let Some(why) = &block.left_out {
        writeln!(out, "  left out: {why}")?;
        return Ok(block);
    }
    if let Some(same) = done.iter().find(|block| block.work == work) {
        writeln!(out, "  the runs of {}", same.scenario.id)?;
        block.runs.clone_from(&same.runs);
        return Ok(block);
    }
    let upstream = match work {
        Work::XrayCost { .. } | Work::XrayThrottled { .. } => &bench.upstream_xray,
        Work::Steady { .. }
        | Work::Idle { .. }
        | Work::Ceiling { .. }
        | Work::Script(_)
        | Work::Metrics { .. }
        | Work::Overload { .. } => &bench.upstream,
    };
    let both = upstream.is_some() && !scenario.ours_alone;
    // Nothing varies from run to run in what is not compared.
    let pairs = if scenario.ours_alone {
        1
    } else {
        depth.pairs(scenario)
    };
    for pair in 0..pairs {
        for arm in order(pair, both) {
            let mut outcome = match one(bench, *arm, &work, depth).await {
                Ok(outcome) => outcome,
                Err(error) => Outcome {
                    void: vec![format!("{error:#}")],
                    ..Outcome::default()
                },
            };
            add_delta(&mut outcome, scenario, done, (*arm, pair));
            let run = Run {
                arm: *arm,
                pair,
                outcome,
            };
            write_run(out, &run)?;
            block.runs.push(run);
        }
    }
    Ok(block)
}

/// Why it is not run.
fn left_out(scenario: &Scenario, work: &Work, depth: Depth) -> Option<String> {
    if depth.pairs(scenario) == 0 {
        return Some("only in full, or with --pairs".into());
    }
    let quota = match work {
        Work::Overload { setup, .. } | Work::Steady { setup, .. } => setup.quota,
        Work::Idle { .. }
        | Work::Ceiling { .. }
        | Work::Script(_)
        | Work::Metrics { .. }
        | Work::XrayCost { .. }
        | Work::XrayThrottled { .. } => None,
    };
    let tried = quota.map(CpuQuota::new)?;
    tried.err().map(|error| format!("{error:#}"))
}

/// A B, B A, A B ...
fn order(pair: u32, both: bool) -> &'static [Arm] {
    match (both, pair % 2) {
        (false, _) => &[Arm::Ours],
        (true, 0) => &[Arm::Ours, Arm::Upstream],
        (true, _) => &[Arm::Upstream, Arm::Ours],
    }
}

async fn one(bench: &Bench, arm: Arm, work: &Work, depth: Depth) -> anyhow::Result<Outcome> {
    match work {
        Work::Steady { setup, load, .. } => {
            Box::pin(steady::run(bench, arm, setup, load, depth.timing(setup))).await
        }
        Work::Idle { setup, load } => idle::run(bench, arm, setup, load, depth.idle()).await,
        Work::Ceiling { setup, load, search } => {
            let [ours, upstream] = search;
            let search = match arm {
                Arm::Ours => ours,
                Arm::Upstream => upstream,
            };
            let found = Box::pin(ceiling::search(bench, arm, (setup, load, None), search)).await?;
            Ok(ceiling::outcome(&found))
        }
        Work::Script(program) => script(program).await,
        Work::XrayCost { setup, load } => {
            let timing = depth.xray_timing(setup.decision_wait);
            Box::pin(xray::cost::run(bench, arm, setup, load, timing)).await
        }
        Work::Metrics { setup, load } => {
            Box::pin(metrics::cost::run(
                bench,
                arm,
                *setup,
                load,
                depth.metrics_timing(),
            ))
            .await
        }
        Work::XrayThrottled { setup, load, storm } => {
            Box::pin(xray::throttled::run(bench, arm, setup, load, *storm)).await
        }
        Work::Overload {
            setup,
            load,
            overload: [ours, upstream],
        } => {
            let how = match arm {
                Arm::Ours => ours,
                Arm::Upstream => upstream,
            };
            Box::pin(overload::run(bench, arm, (setup, load), how)).await
        }
    }
}

/// Its output goes where ours goes.
async fn script(program: &str) -> anyhow::Result<Outcome> {
    let status = tokio::process::Command::new(program).status().await?;
    let mut outcome = Outcome::default();
    if !status.success() {
        outcome.void.push(format!("{program} ended with {status}"));
    }
    Ok(outcome)
}

/// The CPU above the run of the same collector and pair in the scenario that this one is compared with.
fn add_delta(outcome: &mut Outcome, scenario: &Scenario, done: &[Block], (arm, pair): (Arm, u32)) {
    const CPU: &str = "cpu_us_per_span";
    let base = scenario.above.and_then(|base| {
        let block = done.iter().find(|block| block.scenario.id == base)?;
        let run = block.runs.iter().find(|run| run.arm == arm && run.pair == pair)?;
        run.outcome.figures.get(CPU).copied()
    });
    if let (Some(base), Some(cpu)) = (base, outcome.figures.get(CPU).copied()) {
        outcome.figures.insert("delta_us_per_span", cpu - base);
    }
}

fn write_run(out: &mut impl Write, run: &Run) -> std::io::Result<()> {
    write!(out, "  run {} {:<10}", run.pair + 1, run.arm.name())?;
    let figures = &run.outcome.figures;
    for (key, before, after) in [
        ("best_spans_per_s", "", " spans/s at most"),
        ("capacity_spans_per_s", "", " spans/s without refusal"),
        ("goodput_share", "goodput ", ""),
        ("recovery_s", "normal after ", " s"),
        ("xray_us_per_kept", "", " us/kept span"),
        ("documents_per_call", "", " documents a call"),
        ("documents_lost", "", " documents lost"),
        ("clear_after_s", "clear after ", " s"),
        ("cpu_us_per_span", "", " us/span"),
        ("cpu_us_per_point", "", " us/point"),
        ("points_per_s", "", " points/s"),
        ("samples_per_request", "", " samples/request"),
        ("bytes_per_sample", "", " bytes/sample"),
        ("spans_per_s", "", " spans/s"),
        ("rss_peak_mib", "peak ", " MiB"),
        ("rss_idle_mib", "idle ", " MiB"),
        ("ack_p99_ms", "ack p99 ", " ms"),
        ("late_p99_ms", "late p99 ", " ms"),
    ] {
        if let Some(value) = figures.get(key) {
            write!(out, "  {before}{}{after}", short(*value))?;
        }
    }
    for (key, name) in [("generator_share", "generator"), ("others_share", "others")] {
        if let Some(share) = figures.get(key) {
            write!(out, "  {name} {:.0} %", share * 100.0)?;
        }
    }
    writeln!(out)?;
    for note in &run.outcome.notes {
        writeln!(out, "        {note}")?;
    }
    for reason in &run.outcome.void {
        writeln!(out, "        VOID: {reason}")?;
    }
    out.flush()
}

/// Three digits that matter.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{order, short};
    use crate::bench::arm::Arm::{Ours, Upstream};

    #[test]
    fn runs_go_abba() {
        let all: Vec<_> = (0..2).flat_map(|pair| order(pair, true)).copied().collect();
        assert_eq!(all, [Ours, Upstream, Upstream, Ours]);
        assert_eq!(order(1, false), [Ours]);
    }

    #[test]
    fn figures_show_three_digits() {
        assert_eq!(
            [1234.5, 56.78, 1.234, 0.0123, 0.0].map(short),
            ["1234", "56.8", "1.23", "0.012", "0.00"]
        );
    }
}
