//! What a data point costs from OTLP to remote write.

use std::time::{Duration, Instant};

use crate::bench::arm::{Arm, Bench, Books, Collector};
use crate::bench::generator::{self, IN_FLIGHT_BYTES_MAX, Lane, Record, Records};
use crate::bench::link::Link;
use crate::bench::metrics::payload::{MetricsPayload, Owed};
use crate::bench::metrics::setup::{MetricsLoad, MetricsSetup};
use crate::bench::metrics::sink::{MetricsSink, Tally};
use crate::bench::outcome::{Answers, Outcome, Window};
use crate::bench::pace::{Phase, Plan};
use crate::bench::steady::Timing;
use crate::clock;

/// Between the start of the process and the first request.
const LEAD: Duration = Duration::from_millis(1200);
/// The load goes on for so long after the measured time.
const TAIL: Duration = Duration::from_millis(500);
/// What was taken is written within this time: above the longest that a sample waits for others.
const FLUSH_LIMIT: Duration = Duration::from_secs(20);
const FLUSH_POLL: Duration = Duration::from_millis(200);

/// Runs one collector under one load.
///
/// # Errors
/// When something does not work; a collector that refuses or loses makes the outcome void instead.
pub async fn run(
    bench: &Bench,
    arm: Arm,
    setup: MetricsSetup,
    load: &MetricsLoad,
    timing: Timing,
) -> anyhow::Result<Outcome> {
    let epoch = clock::now();
    let sink = MetricsSink::start().await?;
    let collector = setup.start(bench, arm, &sink).await?;
    let mut links = Vec::new();
    for _ in 0..load.connections.max(1) {
        let link = Link::of_metrics(collector.grpc()).await?;
        link.ready().await?;
        links.push(link);
    }
    let start = clock::now().saturating_duration_since(epoch) + LEAD;
    let length = timing.warm_up + timing.measure + TAIL;
    let phase = Phase {
        rate: load.rate,
        length,
    };
    let lane = Lane {
        payload: MetricsPayload::new(load.kinds, setup.is_delta, load.apps, clock::unix_nanos()),
        plan: Plan::new(load.kinds.points(), &[phase]),
        start,
        in_flight_bytes_max: IN_FLIGHT_BYTES_MAX,
    };
    let records = Records::default();
    let sending = generator::run(&lane, &links, epoch, &records, |_| false);
    let watching = watch(&collector, &sink, (epoch, start, timing));
    let ((), (window, tallies)) = tokio::try_join!(sending, watching)?;
    drop(links);

    let owed = lane.payload.owed();
    let books = flushed(&collector, &sink, owed).await?;
    let mut outcome = Outcome {
        memory: collector.memory_series(),
        void: losses(&records.lock(), (owed, &sink.tally()), &books),
        ..Outcome::default()
    };
    outcome.memory(0, collector.memory()?.1, collector.ready_after);
    outcome.figures.remove("rss_idle_mib");
    collector.stop().await?;
    outcome.cost(&window, load.kinds.points())?;
    outcome.latency(&records.lock(), &window);
    written(&mut outcome, &window, &tallies);
    Ok(outcome)
}

/// Looks at the collector and the sink at both ends of the measured time.
async fn watch(
    collector: &Collector,
    sink: &MetricsSink,
    (epoch, start, timing): (Instant, Duration, Timing),
) -> anyhow::Result<(Window, [Tally; 2])> {
    let (begin, end) = (start + timing.warm_up, start + timing.warm_up + timing.measure);
    tokio::time::sleep_until((epoch + begin).into()).await;
    let (first, tally) = (collector.look().await?, sink.tally());
    tokio::time::sleep_until((epoch + end).into()).await;
    let window = Window {
        first,
        last: collector.look().await?,
        start: begin,
        end,
    };
    Ok((window, [tally, sink.tally()]))
}

/// The books once everything has come, or after a while.
async fn flushed(collector: &Collector, sink: &MetricsSink, owed: Owed) -> anyhow::Result<Books> {
    let limit = clock::now() + FLUSH_LIMIT;
    loop {
        let books = collector.books().await?;
        let all_came = sink.tally().came == owed && books.decided_or_inside == 0;
        if all_came || clock::now() > limit {
            return Ok(books);
        }
        tokio::time::sleep(FLUSH_POLL).await;
    }
}

/// Whatever makes a run void: each sample must have come, once.
fn losses(records: &[Record], (owed, tally): (Owed, &Tally), books: &Books) -> Vec<String> {
    let answers = Answers::of(records);
    let mut losses: Vec<String> = [
        (answers.retryable + answers.refused, "requests were refused"),
        (answers.failed, "requests had no answer"),
        (answers.unsent, "requests were not sent: too much was on the way"),
        (books.refused, "refusals in the collector's own count"),
        (books.lost, "losses in the collector's own count"),
        (
            books.decided_or_inside,
            "data points and samples are still inside",
        ),
        (tally.unsigned, "requests to the sink had no signature"),
        (tally.malformed, "requests to the sink were malformed"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    let came = tally.came;
    if came.samples != owed.samples {
        losses.push(format!("{:?} came, {:?} were owed", came.samples, owed.samples));
    } else if came.times != owed.times {
        losses.push("as many samples came as were owed, but others: their times differ".to_owned());
    }
    losses
}

/// "Spans" are data points here.
fn written(outcome: &mut Outcome, window: &Window, [first, last]: &[Tally; 2]) {
    let figures = &mut outcome.figures;
    for (of_spans, of_points) in [
        ("cpu_us_per_span", "cpu_us_per_point"),
        ("spans_per_s", "points_per_s"),
        ("generator_us_per_span", "generator_us_per_point"),
    ] {
        if let Some(value) = figures.remove(of_spans) {
            figures.insert(of_points, value);
        }
    }
    let per = |whole: u64, parts: u64| whole as f64 / parts as f64;
    let samples = last.samples() - first.samples();
    let requests = last.requests - first.requests;
    let cpu = window.last.cpu.saturating_sub(window.first.cpu).as_secs_f64();
    let wall = window
        .last
        .at
        .saturating_duration_since(window.first.at)
        .as_secs_f64();
    figures.extend([
        ("cpu_us_per_sample", cpu * 1e6 / samples as f64),
        ("samples_per_request", per(samples, requests)),
        ("samples_per_series", per(samples, last.series - first.series)),
        ("bytes_per_sample", per(last.bytes - first.bytes, samples)),
        ("writes_per_s", requests as f64 / wall),
    ]);
}

#[cfg(test)]
mod tests {
    use super::losses;
    use crate::bench::arm::Books;
    use crate::bench::generator::Record;
    use crate::bench::link::Answer;
    use crate::bench::metrics::payload::{Owed, Samples};
    use crate::bench::metrics::sink::Tally;

    const OWED: Owed = Owed {
        samples: Samples {
            floats: 900,
            natives: 20,
        },
        times: 77,
    };

    #[test]
    fn each_kind_of_loss_makes_a_run_void() {
        let whole = Tally {
            came: OWED,
            ..Tally::default()
        };
        let none = Books::default();
        assert_eq!(losses(&[], (OWED, &whole), &none), Vec::<String>::new());
        let tallies: [fn(&mut Tally); 5] = [
            |it| it.came.samples.floats -= 1,
            |it| it.came.samples.natives += 1,
            |it| it.came.times += 1,
            |it| it.unsigned = 1,
            |it| it.malformed = 1,
        ];
        for change in tallies {
            let mut tally = whole;
            change(&mut tally);
            assert_eq!(losses(&[], (OWED, &tally), &none).len(), 1, "{tally:?}");
        }
        let books: [fn(&mut Books); 3] = [
            |it| it.refused = 1,
            |it| it.lost = 1,
            |it| it.decided_or_inside = 1,
        ];
        for change in books {
            let mut books = none;
            change(&mut books);
            assert_eq!(losses(&[], (OWED, &whole), &books).len(), 1, "{books:?}");
        }
        for answer in [Answer::Retryable, Answer::Refused, Answer::Failed, Answer::Unsent] {
            let record = Record {
                answer,
                ..Record::default()
            };
            assert_eq!(losses(&[record], (OWED, &whole), &none).len(), 1, "{answer:?}");
        }
    }
}
