//! What the sink got, span by span, and what that says about each trace that was sent.

use tracepipe_otlp::{SpanId, TraceId};

use crate::bench::generator::Record;
use crate::bench::ids::Ids;
use crate::bench::link::Answer;
use crate::bench::payload::{self, Checker, FIRST_GIANT};
use crate::wire::{Field, Malformed, Reader};
use crate::workload::{Mix, SPANS_PER_TRACE};

const WHOLE: u16 = (1 << SPANS_PER_TRACE) - 1;
/// 10^9 spans of 526 bytes do not come in one run; a number above is no trace of ours.
const TRACES_MAX: u64 = 100_000_000;

/// The sink's book: a bit for each span of each trace.
#[derive(Debug)]
pub struct Ledger {
    ids: Ids,
    traces: Vec<Entry>,
    giant: Vec<u64>,
    counts: Counts,
    checker: Option<Checker>,
}

/// Spans of a trace that came, and the microsecond in which the first did.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    first_micros: u32,
    mask: u16,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that were taken.
    pub messages: u64,
    /// Spans in them.
    pub spans: u64,
    /// Spans that had come before.
    pub repeated: u64,
    /// Spans that nobody sent.
    pub foreign: u64,
    /// Messages that are no request.
    pub malformed: u64,
    /// Different spans of the giant trace.
    pub giant_spans: u64,
    /// Spans that are not the bytes that were sent; only counted when asked for.
    pub altered: u64,
}

/// What became of the traces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Traces in accepted requests.
    pub accepted: u64,
    /// Of these, the ones that came whole.
    pub kept: u64,
    /// Of these, the ones that came in part.
    pub incomplete: u64,
    /// Of these, the ones that had to be kept and did not come.
    pub missing: u64,
    /// Of these, the ones that may be kept (the probabilistic policy decides).
    pub optional: u64,
    /// Of these, the ones that came whole.
    pub optional_kept: u64,
    /// Traces that came although their request was not accepted.
    pub unowed: u64,
}

impl Ledger {
    /// An empty book for the ids of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            ids: Ids::new(seed),
            traces: Vec::new(),
            giant: Vec::new(),
            counts: Counts::default(),
            checker: None,
        }
    }

    /// Compares every span from now on with what was sent, which costs as much as making it.
    pub fn check_bytes(&mut self, checker: Checker) {
        self.checker = Some(checker);
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Reads one `ExportTraceServiceRequest` that came at `micros`.
    pub fn enter(&mut self, request: &[u8], micros: u32) {
        self.counts.messages += 1;
        if self.enter_spans(request, micros).is_err() {
            self.counts.malformed += 1;
        }
    }

    /// Fields: request 1 = resource spans, there 2 = scope spans, there 2 = span, there 1 = trace id and 2 = span id.
    fn enter_spans(&mut self, request: &[u8], micros: u32) -> Result<(), Malformed> {
        for resource_spans in messages(request, 1) {
            for scope_spans in messages(resource_spans?, 2) {
                for span in messages(scope_spans?, 2) {
                    self.enter_span(span?, micros)?;
                }
            }
        }
        Ok(())
    }

    fn enter_span(&mut self, bytes: &[u8], micros: u32) -> Result<(), Malformed> {
        let (mut trace_id, mut span_id) = (None, None);
        for field in Reader::new(bytes) {
            match field? {
                (1, Field::Bytes(id)) => trace_id = Some(TraceId(id.try_into().map_err(|_| Malformed)?)),
                (2, Field::Bytes(id)) => span_id = Some(SpanId(id.try_into().map_err(|_| Malformed)?)),
                _ => {}
            }
            if trace_id.is_some() && span_id.is_some() {
                break;
            }
        }
        let (trace_id, span_id) = trace_id.zip(span_id).ok_or(Malformed)?;
        if let Some((number, span)) = self.enter_ids(trace_id, span_id, micros) {
            let checker = self.checker.as_ref();
            let altered = checker.is_some_and(|checker| !checker.is_unchanged(number, span, bytes));
            self.counts.altered += u64::from(altered);
        }
        Ok(())
    }

    /// Enters a message that is no request.
    pub fn enter_malformed(&mut self) {
        self.counts.malformed += 1;
    }

    /// Enters a span by its ids. Gives its place when it is one of a plain trace: the trace's number and its own.
    pub fn enter_ids(&mut self, trace_id: TraceId, span_id: SpanId, micros: u32) -> Option<(u64, u32)> {
        self.counts.spans += 1;
        let number = self.ids.trace_number(trace_id);
        let place = number.and_then(|number| Some((number, self.ids.span_number(number, span_id)?)));
        match place {
            Some((number, span)) if number < TRACES_MAX && span < SPANS_PER_TRACE => {
                self.enter_plain(number as usize, 1 << span, micros);
                return place;
            }
            Some((FIRST_GIANT, span)) => self.enter_giant(span),
            Some(_) | None => self.counts.foreign += 1,
        }
        None
    }

    fn enter_plain(&mut self, number: usize, bit: u16, micros: u32) {
        if self.traces.len() <= number {
            self.traces.resize(number + 1, Entry::default());
        }
        if let Some(entry) = self.traces.get_mut(number) {
            if entry.mask == 0 {
                entry.first_micros = micros;
            }
            self.counts.repeated += u64::from(entry.mask & bit != 0);
            entry.mask |= bit;
        }
    }

    fn enter_giant(&mut self, span: u32) {
        let (word, bit) = (span as usize / 64, 1 << (span % 64));
        if self.giant.len() <= word {
            self.giant.resize(word + 1, 0);
        }
        if let Some(word) = self.giant.get_mut(word) {
            let known = *word & bit != 0;
            self.counts.repeated += u64::from(known);
            self.counts.giant_spans += u64::from(!known);
            *word |= bit;
        }
    }

    /// Judges the traces of all `records`, `traces_per_request` in each, by the policies of the first seed.
    pub fn verdict(&self, seed: u64, records: &[Record], traces_per_request: u64) -> Verdict {
        self.verdict_by(records, traces_per_request, |number| {
            payload::fate(seed, number)
                .must_be_kept(&Mix::default())
                .is_some()
        })
    }

    /// Judges them by policies that must keep the traces that `must_be_kept` says.
    pub fn verdict_by(
        &self,
        records: &[Record],
        traces_per_request: u64,
        must_be_kept: impl Fn(u64) -> bool,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        for (request, record) in (0..).zip(records) {
            for number in request * traces_per_request..(request + 1) * traces_per_request {
                let mask = self.entry(number).mask;
                if record.answer == Answer::Accepted {
                    verdict.add(mask, must_be_kept(number));
                } else {
                    verdict.unowed += u64::from(mask != 0);
                }
            }
        }
        verdict
    }

    /// Microseconds between the sending of a trace plus `wait_micros` and its arrival, of all traces that came and
    /// were sent in `window` (microseconds from the start), sorted. Early ones are negative.
    pub fn lateness(
        &self,
        records: &[Record],
        traces_per_request: u64,
        wait_micros: i64,
        window: std::ops::Range<u32>,
    ) -> Vec<i64> {
        let mut late: Vec<i64> = (0..)
            .zip(records)
            .filter(|(_, record)| window.contains(&record.sent))
            .flat_map(|(request, record)| {
                let traces = request * traces_per_request..(request + 1) * traces_per_request;
                traces.map(move |number| (number, record.sent))
            })
            .filter_map(|(number, sent)| {
                let entry = self.entry(number);
                (entry.mask != 0).then(|| i64::from(entry.first_micros) - i64::from(sent) - wait_micros)
            })
            .collect();
        late.sort_unstable();
        late
    }

    /// When the first span of each trace came, in microseconds, by the trace's number; nothing for one that did not.
    pub fn arrivals(&self) -> impl Iterator<Item = Option<u32>> {
        self.traces
            .iter()
            .map(|entry| (entry.mask != 0).then_some(entry.first_micros))
    }

    /// Different spans of plain traces that came.
    pub fn distinct(&self) -> u64 {
        self.traces
            .iter()
            .map(|entry| u64::from(entry.mask.count_ones()))
            .sum()
    }

    fn entry(&self, number: u64) -> Entry {
        self.traces.get(number as usize).copied().unwrap_or_default()
    }
}

impl Verdict {
    fn add(&mut self, mask: u16, must_be_kept: bool) {
        self.accepted += 1;
        self.optional += u64::from(!must_be_kept);
        match mask {
            0 => self.missing += u64::from(must_be_kept),
            WHOLE => {
                self.kept += 1;
                self.optional_kept += u64::from(!must_be_kept);
            }
            _ => self.incomplete += 1,
        }
    }
}

fn messages(bytes: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Reader::new(bytes).filter_map(move |field| match field {
        Ok((found, Field::Bytes(inner))) if found == number => Some(Ok(inner)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

#[cfg(test)]
mod tests {
    use super::{Counts, Ledger, Verdict};
    use crate::bench::generator::{Record, Requests};
    use crate::bench::link::Answer;
    use crate::bench::payload::{Checker, Coding, Form, Payload, fate};
    use crate::wire::Reader;
    use crate::workload::Mix;

    const SEED: u64 = 9;
    const PER_REQUEST: u64 = 4;

    fn request(traces_per_request: u32, number: u64) -> Vec<u8> {
        let form = Form {
            traces_per_request,
            grpc: false,
            coding: Coding::Plain,
        };
        let payload = Payload::new(form, SEED).unwrap();
        payload
            .request(number, 1_795_236_000_000_000_000)
            .unwrap()
            .to_vec()
    }

    fn records(answers: &[Answer]) -> Vec<Record> {
        let record = |(second, answer): (u32, &Answer)| Record {
            due: second * 1_000_000,
            sent: second * 1_000_000,
            answered: second * 1_000_000 + 10,
            answer: *answer,
        };
        (0..).zip(answers).map(record).collect()
    }

    fn must(requests: std::ops::Range<u64>) -> u64 {
        let traces = requests.start * PER_REQUEST..requests.end * PER_REQUEST;
        traces
            .filter(|trace| fate(SEED, *trace).must_be_kept(&Mix::default()).is_some())
            .count() as u64
    }

    #[test]
    fn everything_that_came_whole_is_kept() {
        let mut ledger = Ledger::new(SEED);
        ledger.check_bytes(Checker::new(SEED).unwrap());
        for number in 0..20 {
            ledger.enter(&request(4, number), 0);
        }
        let verdict = ledger.verdict(SEED, &records(&[Answer::Accepted; 20]), PER_REQUEST);
        let optional = 80 - must(0..20);
        let expected = Verdict {
            accepted: 80,
            kept: 80,
            optional,
            optional_kept: optional,
            ..Verdict::default()
        };
        assert_eq!(verdict, expected);
        let counts = ledger.counts();
        assert_eq!(
            (counts.spans, counts.repeated, counts.foreign, counts.altered),
            (800, 0, 0, 0)
        );
    }

    #[test]
    fn what_did_not_come_is_missing_when_it_had_to() {
        let ledger = Ledger::new(SEED);
        let verdict = ledger.verdict(SEED, &records(&[Answer::Accepted; 20]), PER_REQUEST);
        assert!(must(0..20) > 0);
        assert_eq!(
            (verdict.missing, verdict.kept, verdict.incomplete),
            (must(0..20), 0, 0)
        );
        let verdict = ledger.verdict(SEED, &records(&[Answer::Retryable; 20]), PER_REQUEST);
        assert_eq!(verdict, Verdict::default());
    }

    #[test]
    fn parts_repetitions_strangers_and_rubbish_are_seen() {
        let mut ledger = Ledger::new(SEED);
        // The last of the four resources, with the spans 3 and 7 of each trace, is cut off.
        let whole = request(4, 0);
        let mut resources = Reader::new(&whole);
        assert_eq!(resources.by_ref().take(3).count(), 3);
        let cut = &whole[..resources.offset()];
        ledger.enter(cut, 0);
        let verdict = ledger.verdict(SEED, &records(&[Answer::Accepted]), PER_REQUEST);
        assert_eq!((verdict.incomplete, verdict.kept), (4, 0));
        ledger.enter(&whole, 0);
        assert_eq!(ledger.counts().repeated, 32);
        let verdict = ledger.verdict(SEED, &records(&[Answer::Failed]), PER_REQUEST);
        assert_eq!(verdict.unowed, 4);

        let mut other = Ledger::new(SEED + 1);
        other.enter(&whole, 0);
        assert_eq!(other.counts().foreign, 40);
        other.enter(&[0x0a, 5, 1], 0);
        assert_eq!(other.counts().malformed, 1);
    }

    #[test]
    fn spans_of_the_giant_are_counted_once() {
        let mut ledger = Ledger::new(SEED);
        for number in [0, 1, 1] {
            ledger.enter(&request(0, number), 0);
        }
        let expected = Counts {
            messages: 3,
            spans: 600,
            repeated: 200,
            giant_spans: 400,
            ..Counts::default()
        };
        assert_eq!(ledger.counts(), expected);
    }

    #[test]
    fn lateness_counts_from_the_end_of_the_wait() {
        let mut ledger = Ledger::new(SEED);
        // Sent in the seconds 0, 1 and 2; the wait is 10 s; the second came 30 ms after it, the third never.
        ledger.enter(&request(4, 0), 10_000_500);
        ledger.enter(&request(4, 1), 11_030_000);
        let records = records(&[Answer::Accepted; 3]);
        let late = |window| ledger.lateness(&records, PER_REQUEST, 10_000_000, window);
        assert_eq!(
            late(0..3_000_000),
            [500, 500, 500, 500, 30_000, 30_000, 30_000, 30_000]
        );
        assert_eq!(late(500_000..3_000_000), [30_000; 4]);
    }
}
