//! The table and the file: both collectors, the ratio by pairs, the floor, the bounds.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bench::arm::Arm;
use crate::bench::outcome::GENERATOR_SHARE_MAX;
use crate::bench::runner::{Block, Run, short};
use crate::bench::scenario::{Figure, Level, Limit};
use crate::bench::stats::Spread;

/// What the bounds of all blocks come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Gates that were missed.
    pub gates_missed: u32,
    /// Goals that were missed.
    pub goals_missed: u32,
    /// Runs that do not count.
    pub void: u32,
}

/// A figure of all runs that count.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Ours.
    pub ours: Option<Spread>,
    /// Upstream's.
    pub upstream: Option<Spread>,
    /// Ours by upstream's, by pairs.
    pub ratio: Option<Spread>,
    /// The generator had no more to give.
    pub generator_bound: bool,
}

impl Row {
    /// The runs of a block, the void ones left out.
    pub fn of(block: &Block, key: &str) -> Self {
        // What upstream does where it is expected to refuse is shown.
        let expected = |run: &Run| run.arm == Arm::Upstream && block.scenario.upstream_may_fail;
        let counts = |run: &&Run| run.outcome.void.is_empty() || expected(run);
        let values = |arm: Arm| {
            let runs = block.runs.iter().filter(counts).filter(move |run| run.arm == arm);
            runs.filter_map(|run| run.outcome.figures.get(key).copied())
        };
        let value = |arm: Arm, pair: u32| {
            let run = block
                .runs
                .iter()
                .filter(counts)
                .find(|run| run.arm == arm && run.pair == pair)?;
            run.outcome.figures.get(key).copied()
        };
        let pairs = block
            .runs
            .iter()
            .map(|run| run.pair)
            .max()
            .map_or(0, |last| last + 1);
        let ratios =
            (0..pairs).filter_map(|pair| Some(value(Arm::Ours, pair)? / value(Arm::Upstream, pair)?));
        let share = |run: &Run| run.outcome.figures.get("generator_share").copied().unwrap_or(0.0);
        Self {
            ours: Spread::of(values(Arm::Ours)),
            upstream: Spread::of(values(Arm::Upstream)),
            ratio: Spread::of(ratios.filter(|ratio| ratio.is_finite())),
            generator_bound: block
                .runs
                .iter()
                .any(|run| run.arm == Arm::Ours && share(run) > GENERATOR_SHARE_MAX),
        }
    }

    /// Whether the medians hold a bound; `None` when nothing can be said.
    pub fn holds(&self, limit: Limit) -> Option<bool> {
        match limit {
            Limit::AtMost(most) => Some(self.ours?.median <= most),
            Limit::AtLeast(least) => Some(self.ours?.median >= least || self.generator_bound),
            Limit::OneIn(divisor) => Some(self.ratio?.median <= 1.0 / divisor),
            Limit::Times(factor) => Some(self.ratio?.median >= factor || self.generator_bound),
        }
    }
}

/// Prints a block's table.
///
/// # Errors
/// When it cannot be written.
pub fn write_block(out: &mut impl Write, block: &Block, tally: &mut Tally) -> std::io::Result<()> {
    if let Some(why) = &block.left_out {
        return writeln!(out, "{:<10} left out: {why}", block.scenario.id);
    }
    for figure in block.scenario.figures {
        let row = Row::of(block, figure.key);
        write!(
            out,
            "{:<10} {:<27} {:<28} {:<28} {:<26} {:>9}  ",
            block.scenario.id,
            figure.label,
            cell(row.ours, ""),
            cell(row.upstream, ""),
            cell(row.ratio, "x "),
            figure.floor.map_or_else(|| "-".into(), short),
        )?;
        let mut verdicts = Vec::new();
        for bound in figure.bounds {
            let held = row.holds(bound.limit);
            verdicts.push(verdict(bound.level, bound.limit, held));
            let missed = u32::from(held == Some(false));
            match bound.level {
                Level::Gate => tally.gates_missed += missed,
                Level::Goal => tally.goals_missed += missed,
            }
        }
        writeln!(out, "{}", verdicts.join("; "))?;
    }
    if block.scenario.figures.is_empty() && block.runs.iter().all(|run| run.outcome.void.is_empty()) {
        writeln!(out, "{:<10} passed: {}", block.scenario.id, block.scenario.title)?;
    }
    for run in block.runs.iter().filter(|run| !run.outcome.void.is_empty()) {
        let expected = run.arm == Arm::Upstream && block.scenario.upstream_may_fail;
        tally.void += u32::from(!expected);
        writeln!(
            out,
            "{:<10} {} run {} of {}: {}",
            block.scenario.id,
            if expected { "expected:" } else { "VOID:" },
            run.pair + 1,
            run.arm.name(),
            run.outcome.void.join("; ")
        )?;
    }
    Ok(())
}

/// The heads of the table's columns.
///
/// # Errors
/// When it cannot be written.
pub fn write_head(out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "\nmedian (least - most)\n{:<10} {:<27} {:<28} {:<28} {:<26} {:>9}  gates and goals",
        "", "", "tracepipe", "upstream", "tracepipe / upstream", "floor"
    )
}

fn cell(spread: Option<Spread>, before: &str) -> String {
    spread.map_or_else(
        || "-".into(),
        |spread| {
            if spread.least == spread.most {
                format!("{before}{}", short(spread.median))
            } else {
                format!(
                    "{before}{} ({} - {})",
                    short(spread.median),
                    short(spread.least),
                    short(spread.most)
                )
            }
        },
    )
}

fn verdict(level: Level, limit: Limit, held: Option<bool>) -> String {
    let level = match level {
        Level::Gate => "gate",
        Level::Goal => "goal",
    };
    let limit = match limit {
        Limit::AtMost(most) => format!("<= {}", short(most)),
        Limit::AtLeast(least) => format!(">= {}", short(least)),
        Limit::OneIn(divisor) => format!("<= 1/{divisor}"),
        Limit::Times(factor) => format!(">= {factor} x"),
    };
    let held = match held {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "not measured",
    };
    format!("{level} {limit} {held}")
}

/// Everything as JSON.
pub fn json(setting: &Value, blocks: &[Block]) -> Value {
    let blocks: Vec<Value> = blocks.iter().map(block_json).collect();
    json!({ "setting": setting, "scenarios": blocks })
}

fn block_json(block: &Block) -> Value {
    let figures: Vec<Value> = block
        .scenario
        .figures
        .iter()
        .map(|figure| figure_json(block, figure))
        .collect();
    let runs: Vec<Value> = block
        .runs
        .iter()
        .map(|run| {
            json!({
                "arm": run.arm.name(), "pair": run.pair, "figures": run.outcome.figures, "void": run.outcome.void,
                "notes": run.outcome.notes, "rss_bytes_each_second": run.outcome.memory,
            })
        })
        .collect();
    json!({
        "id": block.scenario.id, "title": block.scenario.title, "work": format!("{:?}", block.work),
        "figures": figures, "runs": runs, "left_out": block.left_out,
    })
}

fn figure_json(block: &Block, figure: &Figure) -> Value {
    let row = Row::of(block, figure.key);
    let spread = |spread: Option<Spread>| spread.map(|spread| spread.json());
    let bounds: Vec<Value> = figure
        .bounds
        .iter()
        .map(|bound| {
            let held = row.holds(bound.limit);
            json!({ "bound": verdict(bound.level, bound.limit, held), "held": held })
        })
        .collect();
    json!({
        "name": figure.key, "label": figure.label, "tracepipe": spread(row.ours), "upstream": spread(row.upstream),
        "ratio": spread(row.ratio), "floor": figure.floor, "bounds": bounds,
    })
}

/// Writes the file, `{folder}/{seconds since 1970}.json`.
///
/// # Errors
/// When it cannot be written.
pub fn write_file(folder: &Path, unix_seconds: u64, report: &Value) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{unix_seconds}.json"));
    std::fs::write(&path, serde_json::to_vec_pretty(report)?)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::{Row, Tally, write_block};
    use crate::bench::arm::Arm;
    use crate::bench::outcome::Outcome;
    use crate::bench::runner::{Block, Run};
    use crate::bench::scenario::{Limit, SCENARIOS};

    const CPU: &str = "cpu_us_per_span";

    fn run(arm: Arm, pair: u32, cpu: f64) -> Run {
        let mut outcome = Outcome::default();
        outcome.figures.extend([(CPU, cpu), ("rss_peak_mib", cpu * 30.0)]);
        Run { arm, pair, outcome }
    }

    fn block(id: &str, runs: Vec<Run>) -> Block {
        let scenario = *SCENARIOS.iter().find(|scenario| scenario.id == id).unwrap();
        Block {
            scenario,
            work: scenario.work,
            runs,
            left_out: None,
        }
    }

    fn tally(block: &Block) -> (Tally, String) {
        let (mut tally, mut text) = (Tally::default(), Vec::new());
        write_block(&mut text, block, &mut tally).unwrap();
        (tally, String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_ratio_is_taken_pair_by_pair_and_void_runs_do_not_count() {
        let mut void = run(Arm::Ours, 2, 99.0);
        void.outcome.void.push("lost".into());
        let runs = vec![
            run(Arm::Ours, 0, 1.0),
            run(Arm::Upstream, 0, 10.0),
            run(Arm::Upstream, 1, 8.0),
            run(Arm::Ours, 1, 2.0),
            void,
            run(Arm::Upstream, 2, 9.0),
        ];
        let row = Row::of(&block("B4", runs), CPU);
        let (ours, ratio) = (row.ours.unwrap(), row.ratio.unwrap());
        assert_eq!((ours.least, ours.median, ours.most), (1.0, 1.5, 2.0));
        assert_eq!((ratio.least, ratio.most), (0.1, 0.25));
        assert_eq!(row.upstream.unwrap().median, 9.0);
    }

    #[test]
    fn bounds_are_held_by_medians() {
        let runs = vec![run(Arm::Ours, 0, 2.0), run(Arm::Upstream, 0, 10.0)];
        let row = Row::of(&block("B4", runs), CPU);
        for (limit, held) in [
            (Limit::AtMost(2.0), true),
            (Limit::AtMost(1.9), false),
            (Limit::AtLeast(2.0), true),
            (Limit::AtLeast(2.1), false),
            (Limit::OneIn(5.0), true),
            (Limit::OneIn(6.0), false),
            (Limit::Times(0.2), true),
            (Limit::Times(5.0), false),
        ] {
            assert_eq!(row.holds(limit), Some(held), "{limit:?}");
        }
        let alone = Row::of(&block("B4", vec![run(Arm::Ours, 0, 2.0)]), CPU);
        assert_eq!(alone.holds(Limit::OneIn(6.0)), None);
        assert_eq!(alone.holds(Limit::AtMost(2.0)), Some(true));
    }

    #[test]
    fn a_rate_that_the_generator_limits_misses_no_bound() {
        let mut bound = run(Arm::Ours, 0, 2.0);
        bound.outcome.figures.insert("generator_share", 0.95);
        let row = Row::of(&block("B8", vec![bound, run(Arm::Upstream, 0, 1.0)]), CPU);
        assert_eq!(row.holds(Limit::Times(5.0)), Some(true));
        assert_eq!(row.holds(Limit::AtLeast(100.0)), Some(true));
        assert_eq!(row.holds(Limit::AtMost(1.0)), Some(false));
    }

    #[test]
    fn missed_gates_and_void_runs_are_tallied() {
        // A fifth of upstream's CPU and of its memory, 2.0 us and 60 MiB: one gate and two goals of CPU are missed.
        let runs = vec![run(Arm::Ours, 0, 2.0), run(Arm::Upstream, 0, 10.0)];
        let (all, text) = tally(&block("B4", runs));
        assert_eq!(
            (all.gates_missed, all.goals_missed, all.void),
            (1, 2, 0),
            "{text}"
        );
        assert!(
            text.contains("gate <= 1/6 MISSED") && text.contains("goal <= 85.0 met"),
            "{text}"
        );

        let mut refused = run(Arm::Upstream, 0, 10.0);
        refused.outcome.void.push("3 requests were refused".into());
        let (all, text) = tally(&block("B4", vec![run(Arm::Ours, 0, 1.0), refused.clone()]));
        assert_eq!(all.void, 1);
        assert!(
            text.contains("VOID: run 1 of upstream: 3 requests were refused"),
            "{text}"
        );
        // Where upstream is expected to refuse, that is its result.
        let (all, _) = tally(&block("B9", vec![run(Arm::Ours, 0, 1.0), refused]));
        assert_eq!(all.void, 0);
    }
}
