//! Times of OTLP and of Prometheus.

/// Milliseconds of nanoseconds, cut. (2^64 nanoseconds are 18 million million milliseconds.)
pub(crate) fn millis(nanos: u64) -> i64 {
    (nanos / 1_000_000).cast_signed()
}
