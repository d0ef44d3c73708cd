//! Encoded requests with metrics: the check, the edits, the parts.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tracepipe_otlp::fuzzing::metrics(input));
