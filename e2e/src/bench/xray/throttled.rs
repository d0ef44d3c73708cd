//! X-Ray refuses everything for a while: what is lost, how many calls it costs, how soon all is made up for.

use std::time::Duration;

use crate::bench::arm::{Arm, Bench};
use crate::bench::generator::Record;
use crate::bench::link::Answer;
use crate::bench::outcome::{Answers, Outcome};
use crate::bench::steady::{Load, SETTLE_LIMIT, Timing, accepted, drive, open_links, spans_per_request};
use crate::bench::xray::setup::{Way, XraySetup};
use crate::bench::xray::sink::XraySink;
use crate::clock;
use crate::fake_xray::DOCUMENTS_PER_CALL_MAX;

/// Between the start of the process and the first request.
const LEAD: Duration = Duration::from_millis(1200);
/// A trace that comes so long after its decision is part of the backlog.
const LATE: Duration = Duration::from_secs(1);
/// Longer than a batch waits and a request takes with the attempts of upstream's SDK.
const FLUSH: Duration = Duration::from_secs(5);

/// How long everything is refused, with load before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storm {
    /// Before.
    pub before: Duration,
    /// Refused.
    pub length: Duration,
    /// After.
    pub after: Duration,
}

/// Runs one collector through `storm`.
///
/// # Errors
/// When something does not work.
pub async fn run(
    bench: &Bench,
    arm: Arm,
    setup: &XraySetup,
    load: &Load,
    storm: Storm,
) -> anyhow::Result<Outcome> {
    let seed = clock::unix_nanos();
    let epoch = clock::now();
    let sink = XraySink::start(seed, epoch).await?;
    let collector = setup.start(bench, arm, &sink, Way::Xray).await?;
    let links = open_links(&collector, load).await?;
    let start = clock::now().saturating_duration_since(epoch) + LEAD;
    let end = start + storm.before + storm.length;
    let refusing = async {
        tokio::time::sleep_until((epoch + start + storm.before).into()).await;
        sink.throttle(true);
        tokio::time::sleep_until((epoch + end).into()).await;
        sink.throttle(false);
        anyhow::Ok(())
    };
    let timing = Timing {
        warm_up: storm.before,
        measure: storm.length + storm.after,
    };
    let load_time = (epoch, start, timing);
    let ((sent, window), ()) =
        tokio::try_join!(drive(&collector, &links, (load, seed), load_time), refusing)?;
    drop(links);

    let traces_per_request = u64::from(load.traces_per_request);
    let taken_in = accepted(&sent.plain) * spans_per_request(load);
    let settled = collector.settled(accepted(&sent.plain) * traces_per_request);
    let settled = tokio::time::timeout(SETTLE_LIMIT + setup.decision_wait, settled).await;
    tokio::time::sleep(FLUSH).await;
    let books = collector.books().await?;
    let mut outcome = Outcome {
        memory: collector.memory_series(),
        ..Outcome::default()
    };
    outcome.memory(0, collector.memory()?.1, collector.ready_after);
    outcome.figures.remove("rss_idle_mib");
    collector.stop().await?;

    match settled {
        Ok(result) => result?,
        Err(_) => outcome
            .void
            .push("spans are still inside long after the last request".into()),
    }
    outcome.cost(&window, spans_per_request(load))?;
    let (ledger, tally) = (sink.ledger(), sink.tally());
    let lost = taken_in.saturating_sub(ledger.distinct());
    // A call holds so many documents at most.
    let needed = taken_in.div_ceil(DOCUMENTS_PER_CALL_MAX as u64);
    let arrivals: Vec<Option<u32>> = ledger.arrivals().collect();
    let clear = clear_at(&sent.plain, traces_per_request, &arrivals, setup.decision_wait);
    let answers = Answers::of(&sent.plain);
    outcome.figures.extend([
        ("documents_lost", lost as f64),
        ("lost_share", lost as f64 / taken_in as f64),
        ("documents_repeated", ledger.counts().repeated as f64),
        ("requests_refused", (answers.retryable + answers.refused) as f64),
        ("calls_by_needed", tally.calls as f64 / needed as f64),
        ("calls_throttled", tally.throttled as f64),
        ("clear_after_s", clear.saturating_sub(end).as_secs_f64()),
        (
            "documents_per_call",
            tally.documents as f64 / (tally.calls - tally.throttled) as f64,
        ),
    ]);
    outcome.notes.push(format!(
        "{taken_in} spans, {} calls of which {} were throttled, {needed} needed; {} spans counted as lost",
        tally.calls, tally.throttled, books.lost
    ));
    for (count, what) in [
        (ledger.counts().foreign, "documents that nobody sent"),
        (ledger.counts().malformed, "malformed calls or documents"),
        (answers.failed, "requests had no answer"),
        (answers.unsent, "requests were not sent: too much was on the way"),
    ] {
        if count > 0 {
            outcome.void.push(format!("{count} {what}"));
        }
    }
    if lost != books.lost {
        outcome.void.push(format!(
            "{lost} documents are missing, {} counted as lost",
            books.lost
        ));
    }
    Ok(outcome)
}

/// When the last trace came that was late, from the epoch; zero when none was.
fn clear_at(
    records: &[Record],
    traces_per_request: u64,
    arrivals: &[Option<u32>],
    decision_wait: Duration,
) -> Duration {
    let late = (decision_wait + LATE).as_micros() as u64;
    let of = |request: usize| {
        let first = request * traces_per_request as usize;
        arrivals.iter().skip(first).take(traces_per_request as usize)
    };
    let micros = records
        .iter()
        .enumerate()
        .filter(|(_, record)| record.answer == Answer::Accepted)
        .flat_map(|(request, record)| of(request).flatten().map(move |came| (record.sent, *came)))
        .filter(|(sent, came)| u64::from(*came) > u64::from(*sent) + late)
        .map(|(_, came)| came)
        .max();
    Duration::from_micros(u64::from(micros.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::clear_at;
    use crate::bench::generator::Record;
    use crate::bench::link::Answer;

    #[test]
    fn the_backlog_is_clear_when_the_last_late_trace_has_come() {
        let record = |seconds: u32| Record {
            sent: seconds * 1_000_000,
            answer: Answer::Accepted,
            ..Record::default()
        };
        let records = [record(1), record(2), record(9)];
        let wait = Duration::from_secs(2);
        let clear = |arrivals: &[Option<u32>]| clear_at(&records, 1, arrivals, wait);
        assert_eq!(
            clear(&[Some(3_100_000), Some(4_900_000), Some(11_200_000)]),
            Duration::ZERO
        );
        assert_eq!(
            clear(&[Some(8_000_000), Some(7_000_000), Some(11_200_000)]),
            Duration::from_secs(8)
        );
        assert_eq!(clear(&[Some(8_000_000), None]), Duration::from_secs(8));
    }
}
