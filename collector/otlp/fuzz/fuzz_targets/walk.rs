//! Encoded requests: the walk, the decoder and the store.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tracepipe_otlp::fuzzing::walk(input));
