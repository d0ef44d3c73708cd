//! `probabilistic`: a share of all traces, chosen by their ids.

use tracepipe_otlp::id::TraceId;

/// Wants traces whose hash of salt and id is at most a share of 2^64 - 1.
///
/// The choice depends on nothing but salt, percentage and id: every collector with the same settings makes it alike,
/// upstream's included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probabilistic {
    /// Largest hash that is kept.
    threshold: u64,
    /// The hash after the salt; ids go on from there.
    salted: u64,
}

/// Upstream takes this one where the configured salt is empty.
const DEFAULT_SALT: &str = "default-hash-seed";

impl Probabilistic {
    /// 100 percent and more keeps everything; 0 and less keeps only an id whose hash is exactly 0, as upstream.
    pub(super) fn new(hash_salt: &str, sampling_percentage: f64) -> Self {
        let salt = if hash_salt.is_empty() {
            DEFAULT_SALT
        } else {
            hash_salt
        };
        Self {
            threshold: threshold(sampling_percentage / 100.0),
            salted: fnv1a(FNV_OFFSET_BASIS, salt.as_bytes()),
        }
    }

    /// The same for each span of a trace, and for each process.
    // Apart: within the loop over policies its loads would be made for each trace, wanted or not.
    #[inline(never)]
    pub(super) fn wants(self, trace_id: TraceId) -> bool {
        fnv1a(self.salted, &trace_id.0) <= self.threshold
    }
}

// FNV-1a with 64 bits: draft-eastlake-fnv; upstream uses hash/fnv of Go, which is the same.
const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}

/// `ratio * (2^64 - 1)` without its fraction.
///
/// Upstream computes it with Go's `big.Float`, which first rounds the product to 64 significant bits. That never shows:
/// the product is `ratio * 2^64`, of 53 bits, less between a half and a whole unit of the 64th bit; rounding makes
/// it one whole unit less, and the whole part of either is the same. (Where `ratio` is a power of two nothing is
/// rounded.)
fn threshold(ratio: f64) -> u64 {
    const FRACTION_BITS: u32 = 52;

    if ratio >= 1.0 {
        return u64::MAX;
    }
    if ratio.is_nan() || ratio <= 0.0 {
        return 0;
    }
    // ratio = mantissa / 2^scale, exactly: IEEE 754 binary64, with subnormal numbers where the exponent is 0.
    let fraction = ratio.to_bits() & ((1 << FRACTION_BITS) - 1);
    let (mantissa, scale) = match (ratio.to_bits() >> FRACTION_BITS) as u32 {
        0 => (fraction, 1074),
        exponent => (fraction | (1 << FRACTION_BITS), 1075 - exponent),
    };
    let product = u128::from(mantissa) * u128::from(u64::MAX);
    u64::try_from(product.checked_shr(scale).unwrap_or(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// For the vectors in `policy/tests.rs`.
    pub(in crate::policy) fn parity_threshold(sampling_percentage: f64) -> u64 {
        Probabilistic::new("", sampling_percentage).threshold
    }

    /// For the vectors in `policy/tests.rs`.
    pub(in crate::policy) fn parity_hash(salt: &str, id: TraceId) -> u64 {
        fnv1a(Probabilistic::new(salt, 0.0).salted, &id.0)
    }

    #[test]
    fn a_hash_at_the_threshold_is_kept() {
        let id = TraceId(*b"0123456789abcdef");
        let at = parity_hash("", id);
        let with = |threshold| Probabilistic {
            threshold,
            ..Probabilistic::new("", 0.0)
        };
        assert!(with(at).wants(id));
        assert!(!with(at - 1).wants(id));
    }

    #[test]
    fn a_number_that_is_none_keeps_nothing() {
        assert_eq!(parity_threshold(f64::NAN), 0);
    }

    #[test]
    fn an_empty_salt_is_the_default_salt() {
        let id = TraceId(*b"0123456789abcdef");
        assert_eq!(parity_hash("", id), parity_hash("default-hash-seed", id));
        assert_ne!(parity_hash("", id), parity_hash("other", id));
    }
}
