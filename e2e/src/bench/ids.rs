//! Ids that look random and say which trace and span they are of, so that the sink needs no table to know.

use tracepipe_otlp::{SpanId, TraceId};

/// Bits of a span's number within its trace: the largest trace has a million spans.
const SPAN_BITS: u32 = 20;
/// Keeps the two halves of a trace id apart.
const HIGH_HALF: u64 = 0x5bd1_e995_9e37_79b9;
/// Keeps span ids apart from trace ids.
const SPAN_HALF: u64 = 0x27d4_eb2f_1656_67c5;

/// The ids of one run.
#[derive(Debug, Clone, Copy)]
pub struct Ids {
    seed: u64,
}

impl Ids {
    /// Another seed gives other ids.
    pub fn new(seed: u64) -> Self {
        Self { seed: mix(seed) }
    }

    /// The id of trace `number`.
    pub fn trace(&self, number: u64) -> TraceId {
        let low = mix(number ^ self.seed);
        let high = mix(low ^ HIGH_HALF);
        TraceId((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }

    /// The number of a trace, `None` when the id is none of this run.
    pub fn trace_number(&self, id: TraceId) -> Option<u64> {
        let id = u128::from_be_bytes(id.0);
        let (high, low) = ((id >> 64) as u64, id as u64);
        (high == mix(low ^ HIGH_HALF)).then(|| unmix(low) ^ self.seed)
    }

    /// The id of span `span` of trace `number`.
    pub fn span(&self, number: u64, span: u32) -> SpanId {
        let both = number << SPAN_BITS | u64::from(span);
        SpanId(mix(both ^ self.seed ^ SPAN_HALF).to_be_bytes())
    }

    /// The span's number within trace `number`, `None` when the id is of no span of it.
    pub fn span_number(&self, number: u64, id: SpanId) -> Option<u32> {
        let both = unmix(u64::from_be_bytes(id.0)) ^ self.seed ^ SPAN_HALF;
        (both >> SPAN_BITS == number).then_some((both & ((1 << SPAN_BITS) - 1)) as u32)
    }
}

/// The last steps of `SplitMix64`: each 64-bit number has one image and each image one number.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What [`mix`] was given. The factors are the inverses of its factors modulo 2^64.
fn unmix(mut z: u64) -> u64 {
    z ^= z >> 31 ^ z >> 62;
    z = z.wrapping_mul(0x3196_42b2_d24d_8ec3);
    z ^= z >> 27 ^ z >> 54;
    z = z.wrapping_mul(0x96de_1b17_3f11_9089);
    z ^ z >> 30 ^ z >> 60
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tracepipe_otlp::TraceId;

    use super::{Ids, mix, unmix};

    #[test]
    fn an_id_says_its_number() {
        let ids = Ids::new(7);
        for number in (0..2000).chain([1 << 43, (1 << 43) + 5]) {
            assert_eq!(unmix(mix(number)), number);
            assert_eq!(ids.trace_number(ids.trace(number)), Some(number));
            for span in [0, 9, 60_000] {
                assert_eq!(ids.span_number(number, ids.span(number, span)), Some(span));
                assert_eq!(ids.span_number(number + 1, ids.span(number, span)), None);
            }
        }
    }

    #[test]
    fn ids_differ_and_foreign_ones_are_seen() {
        let (ids, others) = (Ids::new(1), Ids::new(2));
        let all: HashSet<TraceId> = (0..5000).flat_map(|n| [ids.trace(n), others.trace(n)]).collect();
        assert_eq!(all.len(), 10_000);
        assert_eq!(ids.trace_number(TraceId(1_u128.to_be_bytes())), None);
    }
}
