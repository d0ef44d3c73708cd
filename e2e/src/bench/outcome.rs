//! What a run showed: figures by name, and the reasons why it does not count.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bench::arm::{Books, Look};
use crate::bench::generator::Record;
use crate::bench::ledger::{Counts, Verdict};
use crate::bench::link::Answer;
use crate::bench::payload::GIANT_SPANS_PER_REQUEST;
use crate::bench::stats::percentile;

/// A generator that needs more of its core cannot be trusted to send in time.
pub const GENERATOR_SHARE_MAX: f64 = 0.9;
/// Others that use more of the two cores are worth a note.
const OTHERS_SHARE_MAX: f64 = 0.1;
/// The probabilistic policy's share of the traces that need not be kept.
const OPTIONAL_SHARE: f64 = 0.10;
/// A kept share further off than so many standard deviations is no chance.
const DEVIATIONS_MAX: f64 = 6.0;
pub(crate) const MIB: f64 = (1024 * 1024) as f64;

/// What one run showed.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Figures by the names of `scenario`.
    pub figures: BTreeMap<&'static str, f64>,
    /// Why the run does not count; empty when it does.
    pub void: Vec<String>,
    /// What else should be known.
    pub notes: Vec<String>,
    /// Resident memory once a second, in bytes.
    pub memory: Vec<u64>,
}

/// The measured part of a run.
pub(crate) struct Window {
    pub(crate) first: Look,
    pub(crate) last: Look,
    /// From the epoch.
    pub(crate) start: Duration,
    pub(crate) end: Duration,
}

impl Window {
    pub(crate) fn micros(&self) -> std::ops::Range<u32> {
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        micros(self.start)..micros(self.end)
    }
}

impl Outcome {
    pub(crate) fn cost(&mut self, window: &Window, spans_per_request: u64) -> anyhow::Result<()> {
        let (first, last) = (&window.first, &window.last);
        let spans = last.received.saturating_sub(first.received);
        anyhow::ensure!(spans > 0, "the collector received nothing while it was measured");
        let wall = last.at.saturating_duration_since(first.at).as_secs_f64();
        let cpu = last.cpu.saturating_sub(first.cpu).as_secs_f64();
        let generator = last
            .busy
            .generator
            .saturating_sub(first.busy.generator)
            .as_secs_f64();
        let all = last.busy.all.saturating_sub(first.busy.all).as_secs_f64();
        let others = (all - cpu - generator).max(0.0) / wall;
        let spans = spans as f64;
        self.figures.extend([
            ("cpu_us_per_span", cpu * 1e6 / spans),
            ("cpu_us_per_request", cpu * 1e6 / spans * spans_per_request as f64),
            ("spans_per_s", spans / wall),
            ("generator_share", generator / wall),
            ("generator_us_per_span", generator * 1e6 / spans),
            ("others_share", others),
        ]);
        if generator / wall > GENERATOR_SHARE_MAX {
            self.notes
                .push(format!("generator-bound at {:.0} spans/s", spans / wall));
        }
        if others > OTHERS_SHARE_MAX {
            self.notes
                .push(format!("others used {:.0} % of a core", others * 100.0));
        }
        Ok(())
    }

    pub(crate) fn memory(&mut self, idle: u64, peak: u64, ready_after: Duration) {
        self.figures.extend([
            ("rss_idle_mib", idle as f64 / MIB),
            ("rss_peak_mib", peak as f64 / MIB),
            ("ready_ms", ready_after.as_secs_f64() * 1e3),
        ]);
    }

    pub(crate) fn latency(&mut self, records: &[Record], window: &Window) {
        let within = window.micros();
        let measured = || {
            records
                .iter()
                .filter(|record| within.contains(&record.due) && record.answer == Answer::Accepted)
        };
        let mut latencies: Vec<u32> = measured().map(Record::latency).collect();
        latencies.sort_unstable();
        for (name, share) in [
            ("ack_p50_ms", 0.5),
            ("ack_p99_ms", 0.99),
            ("ack_p999_ms", 0.999),
            ("ack_max_ms", 1.0),
        ] {
            if let Some(micros) = percentile(&latencies, share) {
                self.figures.insert(name, f64::from(micros) / 1e3);
            }
        }
        let lag = measured()
            .map(|record| record.sent.saturating_sub(record.due))
            .max();
        self.figures
            .insert("send_lag_max_ms", f64::from(lag.unwrap_or(0)) / 1e3);
    }

    pub(crate) fn lateness(&mut self, late: &[i64]) {
        for (name, share) in [
            ("late_p50_ms", 0.5),
            ("late_p99_ms", 0.99),
            ("late_p999_ms", 0.999),
            ("late_max_ms", 1.0),
        ] {
            if let Some(micros) = percentile(late, share) {
                self.figures.insert(name, micros as f64 / 1e3);
            }
        }
    }

    pub(crate) fn giant(&mut self, records: &[Record], counts: &Counts) {
        let spans = |answer: Option<Answer>| {
            let of = records
                .iter()
                .filter(|record| answer.is_none_or(|answer| record.answer == answer));
            of.count() as f64 * f64::from(GIANT_SPANS_PER_REQUEST)
        };
        self.figures.extend([
            ("giant_sent", spans(None)),
            ("giant_accepted", spans(Some(Answer::Accepted))),
            ("giant_kept", counts.giant_spans as f64),
        ]);
    }
}

/// How many requests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// Taken.
    pub accepted: u64,
    /// Refused and retryable.
    pub retryable: u64,
    /// Refused for good or in part.
    pub refused: u64,
    /// Without an answer.
    pub failed: u64,
    /// Never sent.
    pub unsent: u64,
}

impl Answers {
    /// Counts them.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut answers = Self::default();
        for record in records {
            match record.answer {
                Answer::Accepted => answers.accepted += 1,
                Answer::Retryable => answers.retryable += 1,
                Answer::Refused => answers.refused += 1,
                Answer::Waiting | Answer::Failed => answers.failed += 1,
                Answer::Unsent => answers.unsent += 1,
            }
        }
        answers
    }
}

/// Every way in which something was refused or lost, as sentences: sent = kept + dropped by a policy, or they say why
/// not.
pub(crate) fn losses(records: &[Record], verdict: &Verdict, counts: &Counts, books: &Books) -> Vec<String> {
    let answers = Answers::of(records);
    let mut losses = delivery_losses(verdict, counts, books);
    for (count, what) in [
        (answers.retryable + answers.refused, "requests were refused"),
        (answers.failed, "requests had no answer"),
        (answers.unsent, "requests were not sent: too much was on the way"),
        (books.refused, "refusals in the collector's own count"),
        (verdict.unowed, "traces came of requests that were not accepted"),
    ] {
        if count > 0 {
            losses.push(format!("{count} {what}"));
        }
    }
    losses
}

/// The losses behind the door, which no scenario may have.
pub(crate) fn delivery_losses(verdict: &Verdict, counts: &Counts, books: &Books) -> Vec<String> {
    let mut losses: Vec<String> = [
        (verdict.incomplete, "traces came in part"),
        (verdict.missing, "traces that had to be kept did not come"),
        (counts.repeated, "spans came twice"),
        (counts.foreign, "spans came that nobody sent"),
        (counts.altered, "spans came with other bytes than were sent"),
        (counts.malformed, "messages to the sink were malformed"),
        (books.lost, "losses in the collector's own count"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    losses.extend(share_loss(verdict, OPTIONAL_SHARE));
    losses
}

/// A sentence when the kept share of the traces that need not be kept cannot be `wanted`.
pub(crate) fn share_loss(verdict: &Verdict, wanted: f64) -> Option<String> {
    let share = odd_share(verdict, wanted)?;
    Some(format!(
        "{:.2} % of the traces that the probabilistic policy decides were kept, not {:.2} %",
        share * 100.0,
        wanted * 100.0
    ))
}

/// The kept share of the traces that need not be kept, when it is no chance that it is not the policy's. A trace that
/// is lost and need not be kept is seen by nothing else.
fn odd_share(verdict: &Verdict, wanted: f64) -> Option<f64> {
    if verdict.optional == 0 {
        return None;
    }
    let count = verdict.optional as f64;
    let share = verdict.optional_kept as f64 / count;
    let deviation = (wanted * (1.0 - wanted) / count).sqrt();
    ((share - wanted).abs() > DEVIATIONS_MAX * deviation).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::{Answers, OPTIONAL_SHARE, losses, odd_share};
    use crate::bench::arm::Books;
    use crate::bench::generator::Record;
    use crate::bench::ledger::{Counts, Verdict};
    use crate::bench::link::Answer;

    const ALL: [Answer; 6] = [
        Answer::Accepted,
        Answer::Retryable,
        Answer::Refused,
        Answer::Failed,
        Answer::Waiting,
        Answer::Unsent,
    ];

    fn record(answer: Answer) -> Record {
        Record {
            answer,
            ..Record::default()
        }
    }

    #[test]
    fn a_run_without_any_loss_counts() {
        let verdict = Verdict {
            accepted: 1000,
            kept: 240,
            optional: 850,
            optional_kept: 90,
            ..Verdict::default()
        };
        let records = [record(Answer::Accepted); 3];
        let counts = Counts {
            spans: 2400,
            messages: 3,
            giant_spans: 7,
            ..Counts::default()
        };
        let books = Books {
            received: 10_000,
            decided_or_inside: 1000,
            ..Books::default()
        };
        assert_eq!(losses(&records, &verdict, &counts, &books), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_loss_makes_a_run_void() {
        let none = (Verdict::default(), Counts::default(), Books::default());
        for answer in ALL {
            let said = losses(&[record(answer)], &none.0, &none.1, &none.2);
            assert_eq!(
                said.is_empty(),
                answer == Answer::Accepted,
                "{answer:?}: {said:?}"
            );
        }
        let verdicts: [fn(&mut Verdict); 3] = [|v| v.incomplete = 1, |v| v.missing = 1, |v| v.unowed = 1];
        for change in verdicts {
            let mut verdict = none.0;
            change(&mut verdict);
            assert_eq!(losses(&[], &verdict, &none.1, &none.2).len(), 1, "{verdict:?}");
        }
        let counts: [fn(&mut Counts); 4] = [
            |c| c.repeated = 1,
            |c| c.foreign = 1,
            |c| c.malformed = 1,
            |c| c.altered = 1,
        ];
        for change in counts {
            let mut counts = none.1;
            change(&mut counts);
            assert_eq!(losses(&[], &none.0, &counts, &none.2).len(), 1, "{counts:?}");
        }
        let books: [fn(&mut Books); 2] = [|b| b.refused = 1, |b| b.lost = 1];
        for change in books {
            let mut books = none.2;
            change(&mut books);
            assert_eq!(losses(&[], &none.0, &none.1, &books).len(), 1, "{books:?}");
        }
    }

    #[test]
    fn answers_are_counted_by_kind() {
        let records = ALL.map(record);
        let expected = Answers {
            accepted: 1,
            retryable: 1,
            refused: 1,
            failed: 2,
            unsent: 1,
        };
        assert_eq!(Answers::of(&records), expected);
    }

    #[test]
    fn a_share_that_is_no_chance_is_seen() {
        let share = |optional, optional_kept| {
            let verdict = Verdict {
                optional,
                optional_kept,
                ..Verdict::default()
            };
            odd_share(&verdict, OPTIONAL_SHARE)
        };
        assert_eq!(share(0, 0), None);
        assert_eq!(share(10_000, 1_100), None);
        assert_eq!(share(10_000, 800), Some(0.08));
        assert_eq!(share(10_000, 1_300), Some(0.13));
    }
}
