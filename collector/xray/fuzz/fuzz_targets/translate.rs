//! Spans: every document is one that X-Ray takes, and every span is in one or counted.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tracepipe_xray::fuzzing::translate(input));
