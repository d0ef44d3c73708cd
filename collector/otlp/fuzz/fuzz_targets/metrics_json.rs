//! Requests with metrics in JSON: the transcoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tracepipe_otlp::fuzzing::metrics_json(input));
