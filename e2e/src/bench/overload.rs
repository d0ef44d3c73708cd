//! Three times what a set-up takes: what it still serves, how much memory it needs for that, how it says no, and how
//! soon it is well again.
//!
//! Clients do not wait for ever: together they hold as many requests in flight as the collector at its best serves in
//! [`PATIENCE`]; what is due beyond that they drop themselves, as an SDK with a full queue does.

use std::path::Path;
use std::time::Duration;

use crate::bench::arm::{Arm, Bench, Books};
use crate::bench::ceiling::{self, Search};
use crate::bench::cgroup::CpuQuota;
use crate::bench::generator::{self, Record, Records, Requests};
use crate::bench::link::Answer;
use crate::bench::machine::Busy;
use crate::bench::outcome::{Answers, GENERATOR_SHARE_MAX, MIB, Outcome, delivery_losses};
use crate::bench::pace::Phase;
use crate::bench::setup::Setup;
use crate::bench::sink::Sink;
use crate::bench::steady::{Load, accepted, open_links, plain_lane, spans_per_request};
use crate::clock;

/// Requests in flight at a time: what the highest rate without refusal makes in this time.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much more is offered.
const FACTOR: u64 = 3;
/// Before and after, a half of what it takes.
const CALM: Duration = Duration::from_secs(4);
const CALM_DIVISOR: u64 = 2;
/// A request that takes longer is not normal.
const NORMAL_LATENCY_MICROS: u32 = 1_000_000;
const LEAD: Duration = Duration::from_millis(200);
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// How an overload is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overload {
    /// How the highest rate is found.
    pub search: Search,
    /// How long three times as much is offered, on top of one decision wait, in which buffers fill.
    pub length: Duration,
}

/// Finds what the set-up takes and offers three times as much.
///
/// # Errors
/// When something does not work.
pub async fn run(
    bench: &Bench,
    arm: Arm,
    (setup, load): (&Setup, &Load),
    overload: &Overload,
) -> anyhow::Result<Outcome> {
    let quota = setup.quota.map(CpuQuota::new).transpose()?;
    let cgroup = quota.as_ref().map(CpuQuota::path);
    let found = Box::pin(ceiling::search(
        bench,
        arm,
        (setup, load, cgroup),
        &overload.search,
    ))
    .await?;
    let Some(best) = found.best().map(|best| best.rate) else {
        return Ok(ceiling::outcome(&found));
    };
    let mut outcome = Box::pin(offer(bench, arm, (setup, load, cgroup), (best, overload.length))).await?;
    outcome.figures.insert("capacity_spans_per_s", best as f64);
    outcome.notes.extend(ceiling::outcome(&found).notes);
    Ok(outcome)
}

async fn offer(
    bench: &Bench,
    arm: Arm,
    (setup, load, cgroup): (&Setup, &Load, Option<&Path>),
    (best, length): (u64, Duration),
) -> anyhow::Result<Outcome> {
    let seed = clock::unix_nanos();
    let epoch = clock::now();
    let sink = Sink::start(seed, epoch).await?;
    let collector = bench.start(arm, setup, sink.address(), cgroup).await?;
    let links = open_links(&collector, load).await?;
    let start = clock::now().saturating_duration_since(epoch) + LEAD;
    let calm = Phase {
        rate: best / CALM_DIVISOR,
        length: CALM,
    };
    let storm = Phase {
        rate: best * FACTOR,
        length: setup.decision_wait + length,
    };
    let mut lane = plain_lane(load, seed, start, &[calm, storm, calm])?;
    let patient = best * PATIENCE.as_secs() / spans_per_request(load);
    lane.in_flight_bytes_max = lane.payload.bytes_per_request() * usize::try_from(patient.max(1))?;
    let records = Records::default();
    let busy = Busy::now()?;
    generator::run(&lane, &links, epoch, &records, |_| false).await?;
    let wall = clock::now()
        .saturating_duration_since(epoch)
        .saturating_sub(start);
    let generator = Busy::now()?
        .generator
        .saturating_sub(busy.generator)
        .as_secs_f64()
        / wall.as_secs_f64();
    let records = records.lock().clone();
    let settled = collector.settled(accepted(&records) * u64::from(load.traces_per_request));
    let settled = tokio::time::timeout(SETTLE_LIMIT + setup.decision_wait, settled).await;
    let books = collector.books().await?;
    let (_, peak) = collector.memory()?;

    let ledger = sink.ledger();
    let verdict = ledger.verdict(seed, &records, u64::from(load.traces_per_request));
    let mut outcome = Outcome {
        memory: collector.memory_series(),
        void: delivery_losses(&verdict, &ledger.counts(), &books),
        ..Outcome::default()
    };
    match settled {
        Ok(result) => result?,
        Err(_) => outcome
            .void
            .push("spans are still inside long after the last request".into()),
    }
    if generator > GENERATOR_SHARE_MAX {
        outcome.void.push(format!(
            "the generator used {:.0} % of its core",
            generator * 100.0
        ));
    }
    let limit = setup.limiter.limit as f64;
    outcome.figures.extend([
        ("generator_share", generator),
        ("rss_peak_mib", peak as f64 / MIB),
        ("peak_share", peak as f64 / MIB / limit),
    ]);
    let storm = Storm {
        begin: micros(start + CALM + setup.decision_wait),
        end: micros(start + CALM + setup.decision_wait + length),
    };
    judge(
        &mut outcome,
        &records,
        &storm,
        best as f64 / spans_per_request(load) as f64,
    );
    judge_refusals(&mut outcome, arm, (&records, spans_per_request(load)), &books);
    Ok(outcome)
}

/// The time of the overload that counts, in microseconds from the epoch: the buffers are full.
struct Storm {
    begin: u32,
    end: u32,
}

/// Goodput within the storm, by the highest rate of requests without refusal, and the time until all is normal after.
fn judge(outcome: &mut Outcome, records: &[Record], storm: &Storm, requests_per_second: f64) {
    // By the time of the answer: what is served while the storm lasts.
    let served = records.iter().filter(|record| {
        record.answer == Answer::Accepted && (storm.begin..storm.end).contains(&record.answered)
    });
    let seconds = f64::from(storm.end - storm.begin) / 1e6;
    let goodput = served.count() as f64 / seconds;
    let within = records
        .iter()
        .filter(|record| (storm.begin..storm.end).contains(&record.due));
    let answers = Answers::of(within);
    let offered = answers.accepted + answers.retryable + answers.refused + answers.failed + answers.unsent;
    let normal =
        |record: &Record| record.answer == Answer::Accepted && record.latency() <= NORMAL_LATENCY_MICROS;
    let recovered = records
        .iter()
        .filter(|record| record.due >= storm.end && !normal(record))
        .map(|record| record.due - storm.end)
        .max();
    outcome.figures.extend([
        ("goodput_share", goodput / requests_per_second),
        ("recovery_s", f64::from(recovered.unwrap_or(0)) / 1e6),
        ("refused_share", answers.retryable as f64 / offered.max(1) as f64),
        ("held_back_share", answers.unsent as f64 / offered.max(1) as f64),
    ]);
}

/// Refusals that are not retryable or have no answer, and the difference between both sides' counts, in requests.
fn judge_refusals(
    outcome: &mut Outcome,
    arm: Arm,
    (records, spans_per_request): (&[Record], u64),
    books: &Books,
) {
    let answers = Answers::of(records);
    let counted = match arm {
        Arm::Ours => books.refused,
        Arm::Upstream => books.refused / spans_per_request.max(1),
    };
    outcome.figures.extend([
        ("refused", (answers.retryable + answers.refused) as f64),
        ("not_retryable", (answers.refused + answers.failed) as f64),
        (
            "uncounted",
            counted.abs_diff(answers.retryable + answers.refused) as f64,
        ),
    ]);
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Storm, judge};
    use crate::bench::generator::Record;
    use crate::bench::link::Answer;
    use crate::bench::outcome::Outcome;

    /// Ten requests a second for ten seconds, the storm from second 2 to 6; each answered after `latency`.
    fn records(answer: impl Fn(u32) -> Answer, latency: u32) -> Vec<Record> {
        let record = |number: u32| Record {
            due: number * 100_000,
            sent: number * 100_000,
            answered: number * 100_000 + latency,
            answer: answer(number),
        };
        (0..100).map(record).collect()
    }

    fn figures(records: &[Record]) -> Outcome {
        let mut outcome = Outcome::default();
        let storm = Storm {
            begin: 2_000_000,
            end: 6_000_000,
        };
        judge(&mut outcome, records, &storm, 5.0);
        outcome
    }

    #[test]
    fn goodput_is_what_was_served_by_what_could_be() {
        let outcome = figures(&records(
            |number| {
                if number % 2 == 0 {
                    Answer::Accepted
                } else {
                    Answer::Retryable
                }
            },
            0,
        ));
        assert_eq!(outcome.figures["goodput_share"], 1.0);
        assert_eq!(outcome.figures["refused_share"], 0.5);
        assert_eq!(outcome.figures["held_back_share"], 0.0);
    }

    #[test]
    fn recovery_lasts_until_the_last_request_that_is_not_normal() {
        let refused_until = |last: u32| {
            move |number: u32| {
                if (20..=last).contains(&number) {
                    Answer::Retryable
                } else {
                    Answer::Accepted
                }
            }
        };
        assert_eq!(figures(&records(refused_until(59), 0)).figures["recovery_s"], 0.0);
        assert_eq!(figures(&records(refused_until(75), 0)).figures["recovery_s"], 1.5);
        let slow = figures(&records(|_| Answer::Accepted, 1_000_001));
        assert_eq!(slow.figures["recovery_s"], 3.9);
    }
}
