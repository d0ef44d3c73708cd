//! The page of the `prometheus` exporter: well-formed whatever comes in, and every data point is on it or counted.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tracepipe_metrics::scrape::fuzzing::page(input));
