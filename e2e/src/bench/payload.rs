//! What is sent: a request that is encoded once and then only stamped with ids and times.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::bench::generator::Requests;
use crate::bench::ids::Ids;
use crate::grpc;
use crate::rng::Rng;
use crate::spans;
use crate::wire::{Field, Reader};
use crate::workload::{self, Fate, Mix, Patch, SPANS_PER_TRACE, Template};

/// Bytes before a gRPC message: a flag and its length.
pub(crate) const GRPC_PREFIX: usize = 5;
/// Spans of a giant trace in each of its requests.
pub const GIANT_SPANS_PER_REQUEST: u32 = 200;
/// What our collector adds to a span that it keeps.
const POLICY_ATTRIBUTE: &[u8] = b"tailsampling.policy";
/// Giant traces are numbered from here.
pub const FIRST_GIANT: u64 = 1 << 43;
/// Buffers that are kept for the next request; more are in use only when a collector falls behind.
const IDLE_BUFFERS_MAX: usize = 256;

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Plain,
    /// gzip, the fastest level.
    Gzip,
    /// Zstandard, the default level.
    Zstd,
}

impl Coding {
    /// As `grpc-encoding` and `content-encoding` name it.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// The form of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Whole traces in each; 0 for parts of one giant trace.
    pub traces_per_request: u32,
    /// With gRPC's prefix.
    pub grpc: bool,
    /// Compression.
    pub coding: Coding,
}

/// What happens in trace `number` of a run with `seed`.
pub(crate) fn fate(seed: u64, number: u64) -> Fate {
    Fate::draw(&mut Rng::for_item(seed, number), &Mix::default())
}

/// A request of the standard spans (about 526 bytes each) in the making.
#[derive(Debug)]
pub struct Payload {
    form: Form,
    seed: u64,
    ids: Ids,
    template: Template,
    pool: Arc<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// A buffer that goes back when the request is sent.
struct Loan {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut buffers = self.pool.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < IDLE_BUFFERS_MAX {
            buffers.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl Payload {
    /// Encodes it.
    ///
    /// # Errors
    /// When the template cannot be read back, which is a mistake in this crate.
    pub fn new(form: Form, seed: u64) -> anyhow::Result<Self> {
        let request = match form.traces_per_request {
            0 => workload::placeholder_request(1, GIANT_SPANS_PER_REQUEST),
            traces => workload::placeholder_request(traces, SPANS_PER_TRACE),
        };
        Ok(Self {
            form,
            seed,
            ids: Ids::new(seed),
            template: Template::new(spans::to_protobuf(&request))?,
            pool: Arc::new(Pool::default()),
        })
    }

    /// Spans in each request.
    pub fn spans_per_request(&self) -> u64 {
        match self.form.traces_per_request {
            0 => u64::from(GIANT_SPANS_PER_REQUEST),
            traces => u64::from(traces * SPANS_PER_TRACE),
        }
    }

    /// A buffer of the template, patched before or new.
    fn lend(&self, prefix: usize) -> Loan {
        let used = {
            let mut buffers = self.pool.buffers.lock().unwrap_or_else(PoisonError::into_inner);
            buffers.pop()
        };
        let bytes = used.unwrap_or_else(|| {
            let message = self.template.bytes();
            let mut bytes = grpc_prefix(0, message.len())[..prefix].to_vec();
            bytes.extend_from_slice(message);
            bytes
        });
        Loan {
            bytes,
            pool: Arc::clone(&self.pool),
        }
    }

    fn stamp(&self, message: &mut [u8], number: u64, unix_nano: u64) {
        if self.form.traces_per_request == 0 {
            let first_span = u32::try_from(number).unwrap_or(u32::MAX) * GIANT_SPANS_PER_REQUEST;
            return self.template.patch(message, |_, span| {
                let span = first_span + span;
                Some(Patch {
                    trace_id: self.ids.trace(FIRST_GIANT),
                    span_id: self.ids.span(FIRST_GIANT, span),
                    parent: span
                        .checked_sub(1)
                        .map(|parent| self.ids.span(FIRST_GIANT, parent)),
                    start_unix_nano: unix_nano.saturating_sub(1_000_000),
                    end_unix_nano: unix_nano,
                    status_code: 0,
                })
            });
        }
        let traces = u64::from(self.form.traces_per_request);
        let fates: Vec<(u64, Fate)> = (number * traces..(number + 1) * traces)
            .map(|trace| (trace, fate(self.seed, trace)))
            .collect();
        self.template.patch(message, |trace, span| {
            let (trace, fate) = fates.get(trace as usize)?;
            Some(plain_patch(&self.ids, (*trace, span), fate, unix_nano))
        });
    }
}

impl Requests for Payload {
    fn bytes_per_request(&self) -> usize {
        self.template.bytes().len()
    }

    /// Its traces end just then.
    fn request(&self, number: u64, unix_nano: u64) -> std::io::Result<Bytes> {
        let prefix = if self.form.grpc { GRPC_PREFIX } else { 0 };
        let mut loan = self.lend(prefix);
        if let Some(message) = loan.bytes.get_mut(prefix..) {
            self.stamp(message, number, unix_nano);
        }
        let plain = loan.bytes.get(prefix..).unwrap_or_default();
        let coded = match self.form.coding {
            Coding::Plain => return Ok(Bytes::from_owner(loan)),
            Coding::Gzip => grpc::gzip(plain)?,
            Coding::Zstd => zstd::bulk::compress(plain, zstd::DEFAULT_COMPRESSION_LEVEL)?,
        };
        Ok(if self.form.grpc {
            let mut framed = grpc_prefix(1, coded.len()).to_vec();
            framed.extend_from_slice(&coded);
            framed.into()
        } else {
            coded.into()
        })
    }
}

/// Span `span` of a trace that ends at `unix_nano`. Each span lies within its parent, a fortieth of the trace in from
/// both ends; the root has its full length.
fn plain_patch(ids: &Ids, (trace, span): (u64, u32), fate: &Fate, unix_nano: u64) -> Patch {
    let inset = inset(fate, span);
    Patch {
        trace_id: ids.trace(trace),
        span_id: ids.span(trace, span),
        parent: span.checked_sub(1).map(|parent| ids.span(trace, parent)),
        start_unix_nano: unix_nano.saturating_sub(fate.duration_nano) + inset,
        end_unix_nano: unix_nano - inset,
        status_code: if fate.error_span == Some(span) { 2 } else { 0 },
    }
}

fn inset(fate: &Fate, span: u32) -> u64 {
    fate.duration_nano / 40 * u64::from(span)
}

/// Says whether a span that came is the span that was sent, byte by byte.
#[derive(Debug)]
pub struct Checker {
    seed: u64,
    ids: Ids,
    template: Template,
}

impl Checker {
    /// For the plain traces of `seed`.
    ///
    /// # Errors
    /// When the template cannot be read back, which is a mistake in this crate.
    pub fn new(seed: u64) -> anyhow::Result<Self> {
        let request = workload::placeholder_request(1, SPANS_PER_TRACE);
        Ok(Self {
            seed,
            ids: Ids::new(seed),
            template: Template::new(spans::to_protobuf(&request))?,
        })
    }

    /// `came` is span `span` of trace `number` as it was sent, or with the policy's name as one more attribute behind.
    pub fn is_unchanged(&self, number: u64, span: u32, came: &[u8]) -> bool {
        let fate = fate(self.seed, number);
        let start = Reader::new(came)
            .map_while(Result::ok)
            .find_map(|field| match field {
                (7, Field::Fixed64(nanos)) => Some(nanos),
                _ => None,
            });
        let Some(start) = start else {
            return false;
        };
        let end_of_trace = (start + fate.duration_nano).saturating_sub(inset(&fate, span));
        let patch = plain_patch(&self.ids, (number, span), &fate, end_of_trace);
        let sent = self.template.span(span, &patch).unwrap_or_default();
        came.strip_prefix(sent.as_slice())
            .is_some_and(|more| more.is_empty() || is_policy(more))
    }
}

/// One field 9, an attribute, whose field 1, the key, is the one that the collector adds.
fn is_policy(more: &[u8]) -> bool {
    let mut fields = Reader::new(more);
    let Some(Ok((9, Field::Bytes(attribute)))) = fields.next() else {
        return false;
    };
    let key = Reader::new(attribute).next();
    fields.next().is_none() && key == Some(Ok((1, Field::Bytes(POLICY_ATTRIBUTE))))
}

pub(crate) fn grpc_prefix(flag: u8, length: usize) -> [u8; GRPC_PREFIX] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [flag, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::{Checker, Coding, Form, GRPC_PREFIX, POLICY_ATTRIBUTE, Payload, fate, grpc_prefix};
    use crate::bench::generator::Requests;
    use crate::wire::{Field, Reader, Writer};

    const NOW: u64 = 1_795_236_000_000_000_000;

    fn payload(traces_per_request: u32, grpc: bool, coding: Coding) -> Payload {
        let form = Form {
            traces_per_request,
            grpc,
            coding,
        };
        Payload::new(form, 5).unwrap()
    }

    /// The values of the message fields 1, 2, 2: the spans.
    fn spans(request: &[u8]) -> Vec<Vec<u8>> {
        let inner = |bytes: &[u8], wanted: u32| -> Vec<Vec<u8>> {
            let fields = Reader::new(bytes).map(Result::unwrap);
            let of = fields.filter_map(|(number, field)| match field {
                Field::Bytes(bytes) if number == wanted => Some(bytes.to_vec()),
                Field::Varint(_) | Field::Fixed64(_) | Field::Fixed32(_) | Field::Bytes(_) => None,
            });
            of.collect()
        };
        let scopes = inner(request, 1).into_iter().flat_map(|one| inner(&one, 2));
        scopes.flat_map(|one| inner(&one, 2)).collect()
    }

    #[test]
    fn a_buffer_that_is_used_again_holds_nothing_of_the_request_before() {
        let used = payload(20, true, Coding::Plain);
        drop(used.request(1, NOW - 5).unwrap());
        drop(used.request(2, NOW - 5).unwrap());
        let fresh = payload(20, true, Coding::Plain);
        assert!(used.request(3, NOW).unwrap() == fresh.request(3, NOW).unwrap());
    }

    #[test]
    fn forms_differ_in_framing_and_compression_only() {
        let plain = payload(20, false, Coding::Plain).request(4, NOW).unwrap();
        let framed = payload(20, true, Coding::Plain).request(4, NOW).unwrap();
        assert_eq!(framed[..GRPC_PREFIX], grpc_prefix(0, plain.len()));
        assert!(framed[GRPC_PREFIX..] == plain);
        let zstd = payload(20, true, Coding::Zstd).request(4, NOW).unwrap();
        assert_eq!(zstd[..GRPC_PREFIX], grpc_prefix(1, zstd.len() - GRPC_PREFIX));
        assert!(zstd::bulk::decompress(&zstd[GRPC_PREFIX..], plain.len()).unwrap() == plain);
        let gzip = payload(20, true, Coding::Gzip).request(4, NOW).unwrap();
        let inflated = crate::grpc::gunzip(&gzip[GRPC_PREFIX..], plain.len()).unwrap();
        assert!(inflated == plain);
    }

    #[test]
    fn a_span_is_about_526_bytes() {
        let payload = payload(20, false, Coding::Plain);
        let mean = payload.bytes_per_request() as u64 / payload.spans_per_request();
        assert!((516..=536).contains(&mean), "{mean} bytes a span");
    }

    #[test]
    fn a_changed_byte_is_seen_and_the_policy_is_no_change() {
        let checker = Checker::new(5).unwrap();
        let request = payload(1, false, Coding::Plain).request(7, NOW).unwrap();
        let all = spans(&request);
        assert_eq!(all.len(), 10);
        let number_of = |span: &[u8]| (0..10).find(|index| checker.is_unchanged(7, *index, span));
        let mut found: Vec<_> = all.iter().map(|span| number_of(span).unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, (0..10).collect::<Vec<u32>>());
        let span = &all[0];
        for at in 0..span.len() {
            let mut changed = span.clone();
            changed[at] ^= 1;
            assert_eq!(number_of(&changed), None, "byte {at}");
        }
        let with = |key: &[u8]| {
            let mut more = Writer::default();
            more.message(9, |attribute| attribute.bytes(1, key));
            [span.clone(), more.into_bytes()].concat()
        };
        assert_eq!(number_of(&with(POLICY_ATTRIBUTE)), Some(0));
        assert_eq!(number_of(&with(b"other")), None);
    }

    #[test]
    fn a_trace_ends_when_it_is_sent() {
        let request = payload(1, false, Coding::Plain).request(3, NOW).unwrap();
        let times = |number: u32| -> Vec<u64> {
            let all = spans(&request);
            let of = |span: &Vec<u8>| {
                Reader::new(span)
                    .map(Result::unwrap)
                    .find_map(|(found, field)| match field {
                        Field::Fixed64(nanos) if found == number => Some(nanos),
                        Field::Varint(_) | Field::Fixed64(_) | Field::Fixed32(_) | Field::Bytes(_) => None,
                    })
            };
            all.iter().filter_map(of).collect()
        };
        assert_eq!(times(8).into_iter().max(), Some(NOW));
        assert_eq!(times(7).into_iter().min(), Some(NOW - fate(5, 3).duration_nano));
    }
}
