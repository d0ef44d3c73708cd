//! Metrics: every series is one that Prometheus takes, and every data point is in one or counted.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tracepipe_metrics::fuzzing::translate(input));
