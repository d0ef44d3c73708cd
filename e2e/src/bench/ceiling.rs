//! The highest rate that a set-up takes: every request accepted in time, nothing lost.

use std::path::Path;
use std::time::Duration;

use crate::bench::arm::{Arm, Bench};
use crate::bench::generator::{self, Record, Records};
use crate::bench::link::Answer;
use crate::bench::machine::Busy;
use crate::bench::outcome::{Answers, GENERATOR_SHARE_MAX, Outcome, delivery_losses};
use crate::bench::pace::Phase;
use crate::bench::setup::Setup;
use crate::bench::sink::Sink;
use crate::bench::stats::percentile;
use crate::bench::steady::{Load, accepted, open_links, plain_lane, spans_per_request};
use crate::clock;

/// From a fresh collector's readiness to the first request.
const LEAD: Duration = Duration::from_millis(200);
/// A rate is not taken when, at its end, the usual answer is later than this share of the time it was held: then the
/// collector fell behind by about as much. A stall that it makes up for is no loss.
const BEHIND_MAX: f64 = 0.05;
/// A load is broken off when a request waits so long.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// The end of a load: its last fifth.
const END: usize = 5;
/// A search ends when the next rate would be less than this above the last that was taken.
const FINE_STEP: f64 = 0.05;
/// And after so many tries in any case.
const TRIES_MAX: usize = 14;
/// A trace is decided up to so long after its wait: upstream looks once a second.
const TICK: Duration = Duration::from_secs(1);
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// How the highest rate is looked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// The first rate, in spans a second.
    pub from: u64,
    /// `from` is only offered until something is refused; what was taken until then, by the decision wait, is the first
    /// rate. So a search that is about memory begins near its end.
    pub fill_first: bool,
    /// The factor between rates until one is not taken.
    pub step: f64,
    /// How long each rate is held.
    pub hold: Duration,
    /// The generator's own end, in spans a second.
    pub most: u64,
    /// Whether the traces of a rate that was taken must come out, too; else the answers decide alone.
    pub settle: bool,
}

/// One rate that was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Try {
    /// Spans a second that were offered.
    pub rate: u64,
    /// Why it was not taken; `None` when it was.
    pub failed: Option<String>,
    /// The generator's share of its core.
    pub generator_share: f64,
    /// Peak of the resident memory, in bytes.
    pub peak: u64,
    /// CPU of the collector for each span, in microseconds.
    pub cpu_micros: f64,
    /// Spans that were taken.
    pub spans: u64,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// All tries in order.
    pub tries: Vec<Try>,
}

impl Found {
    /// The highest rate that was taken.
    pub fn best(&self) -> Option<&Try> {
        let taken = self.tries.iter().filter(|one| one.failed.is_none());
        taken.max_by_key(|one| one.rate)
    }

    /// The lowest rate that was not.
    pub fn limit(&self) -> Option<u64> {
        let failed = self.tries.iter().filter(|one| one.failed.is_some());
        failed.map(|one| one.rate).min()
    }

    /// The rate to try next: up by `search.step` until one is not taken, then halfway between; `None` at the end.
    pub fn next(&self, search: &Search) -> Option<u64> {
        if self.tries.len() >= TRIES_MAX {
            return None;
        }
        let best = self.best().map(|one| one.rate);
        let next = match (best, self.limit()) {
            (None, None) => search.from as f64,
            (Some(best), None) => best as f64 * search.step,
            (None, Some(limit)) => limit as f64 / search.step,
            (Some(best), Some(limit)) => (best as f64 * limit as f64).sqrt(),
        };
        let next = (next as u64).min(search.most) / 100 * 100;
        let fine = |best: u64| next as f64 > best as f64 * (1.0 + FINE_STEP / 2.0);
        (next > 0 && best.is_none_or(fine)).then_some(next)
    }
}

/// Tries rates with a fresh collector each.
///
/// # Errors
/// When something does not work.
pub async fn search(
    bench: &Bench,
    arm: Arm,
    (setup, load, cgroup): (&Setup, &Load, Option<&Path>),
    search: &Search,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut search = *search;
    if search.fill_first {
        let load = Load {
            rate: search.from,
            ..*load
        };
        let hold = setup.decision_wait;
        let filled = try_rate(bench, arm, (setup, &load, cgroup), &Search { hold, ..search }).await?;
        search.from = (filled.spans as f64 / (setup.decision_wait + TICK).as_secs_f64()) as u64;
    }
    let search = &search;
    while let Some(rate) = found.next(search) {
        let load = Load { rate, ..*load };
        let tried = try_rate(bench, arm, (setup, &load, cgroup), search).await?;
        let bound = tried.generator_share > GENERATOR_SHARE_MAX;
        found.tries.push(tried);
        // A higher rate would be a lower one.
        if bound {
            break;
        }
    }
    Ok(found)
}

/// Offers one rate to a fresh collector.
async fn try_rate(
    bench: &Bench,
    arm: Arm,
    (setup, load, cgroup): (&Setup, &Load, Option<&Path>),
    search: &Search,
) -> anyhow::Result<Try> {
    let seed = clock::unix_nanos();
    let epoch = clock::now();
    let sink = Sink::start(seed, epoch).await?;
    let collector = bench.start(arm, setup, sink.address(), cgroup).await?;
    let links = open_links(&collector, load).await?;
    let start = clock::now().saturating_duration_since(epoch) + LEAD;
    let phase = Phase {
        rate: load.rate,
        length: search.hold,
    };
    let lane = plain_lane(load, seed, start, &[phase])?;
    let records = Records::default();
    let (cpu, busy) = (collector.cpu()?, Busy::now()?);
    generator::run(&lane, &links, epoch, &records, is_lost).await?;
    let wall = clock::now()
        .saturating_duration_since(epoch)
        .saturating_sub(start);
    let (cpu, busy_after) = (collector.cpu()?.saturating_sub(cpu), Busy::now()?);
    let (_, peak) = collector.memory()?;
    let records = records.lock().clone();
    let spans = accepted(&records) * spans_per_request(load);
    let mut failed = refusal(&records, search.hold);
    if failed.is_none() && search.settle {
        let settled = collector.settled(accepted(&records) * u64::from(load.traces_per_request));
        let settled = tokio::time::timeout(SETTLE_LIMIT + setup.decision_wait, settled).await;
        let books = collector.books().await?;
        let ledger = sink.ledger();
        let verdict = ledger.verdict(seed, &records, u64::from(load.traces_per_request));
        let losses = delivery_losses(&verdict, &ledger.counts(), &books);
        failed = match settled {
            Ok(result) => result.map(|()| losses.first().cloned())?,
            Err(_) => Some("spans are still inside long after the last request".into()),
        };
    }
    Ok(Try {
        rate: load.rate,
        failed,
        generator_share: busy_after.generator.saturating_sub(busy.generator).as_secs_f64()
            / wall.as_secs_f64(),
        peak,
        cpu_micros: cpu.as_secs_f64() * 1e6 / spans.max(1) as f64,
        spans,
    })
}

/// Stops a load that is not taken, so that a search does not wait for the rest of it. Asked before each request, so it
/// looks at the last few records and at the one that ought to be answered by now.
fn is_lost(records: &Records) -> bool {
    let records = records.lock();
    let late = WAIT_MAX.as_micros() as u32;
    let now = records.last().map_or(0, |record| record.sent);
    let overdue = records.partition_point(|record| record.due <= now.saturating_sub(late));
    let overdue = overdue.checked_sub(1).and_then(|index| records.get(index));
    overdue.is_some_and(|record| record.answer == Answer::Waiting || record.latency() > late)
        || records.iter().rev().take(16).any(|record| match record.answer {
            Answer::Waiting | Answer::Accepted => false,
            Answer::Retryable | Answer::Refused | Answer::Failed | Answer::Unsent => true,
        })
}

/// Why the rate was not taken, as far as the answers say.
fn refusal(records: &[Record], hold: Duration) -> Option<String> {
    let answers = Answers::of(records);
    for (count, what) in [
        (answers.retryable, "refused"),
        (answers.refused, "refused for good"),
        (answers.failed, "without an answer"),
        (answers.unsent, "not sent"),
    ] {
        if count > 0 {
            return Some(format!("{count} of {} requests {what}", records.len()));
        }
    }
    let end = records
        .get(records.len() - records.len() / END..)
        .unwrap_or_default();
    let mut latencies: Vec<u32> = end.iter().map(Record::latency).collect();
    latencies.sort_unstable();
    let usual = Duration::from_micros(u64::from(percentile(&latencies, 0.5).unwrap_or(0)));
    (usual > hold.mul_f64(BEHIND_MAX)).then(|| format!("{:.2} s behind at the end", usual.as_secs_f64()))
}

/// The outcome of a search on its own.
pub fn outcome(found: &Found) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(best) = found.best() else {
        outcome.void.push("no rate was taken".into());
        return outcome;
    };
    outcome.figures.extend([
        ("best_spans_per_s", best.rate as f64),
        ("generator_share", best.generator_share),
        ("cpu_us_per_span", best.cpu_micros),
        ("rss_peak_mib", best.peak as f64 / crate::bench::outcome::MIB),
    ]);
    let bound = found
        .tries
        .iter()
        .any(|one| one.generator_share > GENERATOR_SHARE_MAX);
    if bound {
        outcome.notes.push(format!("generator-bound at {}", best.rate));
    }
    for one in &found.tries {
        let said = one.failed.as_deref().unwrap_or("taken");
        outcome.notes.push(format!(
            "{} spans/s: {said} (generator {:.0} % of its core)",
            one.rate,
            one.generator_share * 100.0
        ));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Found, Search, Try};

    const SEARCH: Search = Search {
        from: 100_000,
        fill_first: false,
        step: 2.0,
        hold: Duration::from_secs(1),
        most: 3_000_000,
        settle: true,
    };

    /// Follows the search against a collector that takes `capacity`.
    fn search(capacity: u64) -> Found {
        let mut found = Found::default();
        while let Some(rate) = found.next(&SEARCH) {
            found.tries.push(Try {
                rate,
                failed: (rate > capacity).then(|| "refused".into()),
                generator_share: 0.5,
                peak: 0,
                cpu_micros: 1.0,
                spans: 0,
            });
        }
        found
    }

    #[test]
    fn a_search_ends_within_five_percent_of_the_capacity() {
        for capacity in [7_000, 99_000, 100_000, 437_000, 1_234_567] {
            let found = search(capacity);
            let best = found.best().unwrap().rate;
            assert!(
                best <= capacity && best as f64 > capacity as f64 * 0.93,
                "{capacity}: {found:?}"
            );
        }
    }

    #[test]
    fn a_search_stops_at_the_generators_end() {
        assert_eq!(search(u64::MAX).best().unwrap().rate, 3_000_000);
    }

    #[test]
    fn a_collector_that_takes_nothing_is_given_up() {
        assert_eq!(search(0).best(), None);
    }
}
