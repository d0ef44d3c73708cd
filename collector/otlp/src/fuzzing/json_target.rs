//! The transcoder against another reader of JSON.

use prost::Message;

use super::json_reader::{Opinion, read};
use crate::json::traces_json_to_protobuf;
use crate::proto::ExportTraceServiceRequest;
use crate::view::decode_traces;

/// Transcodes `input` as a request in JSON.
///
/// # Panics
/// When something does not hold that must hold for every input: the protobuf is no longer than the JSON and can be
/// decoded; a refusal leaves the output as it was; and a reader that knows JSON from serde alone makes the same of it.
pub fn json(input: &[u8]) {
    let before = b"before";
    let mut out = before.to_vec();
    let result = traces_json_to_protobuf(input, &mut out);
    assert!(out.starts_with(before));
    let written = &out[before.len()..];
    match &result {
        Ok(()) => {
            assert!(written.len() <= input.len());
            let decoded = decode_traces(written);
            assert!(decoded.is_ok(), "what it writes cannot be decoded: {decoded:?}");
        }
        Err(error) => {
            assert!(written.is_empty());
            assert!(error.offset <= input.len(), "{error}");
            assert!(error.path.starts_with('$') && !error.message.is_empty());
        }
    }
    match read(input) {
        Opinion::Is(expected) => {
            let request = ExportTraceServiceRequest::decode(written);
            assert!(result.is_ok(), "only the transcoder refuses it: {result:?}");
            // Through text, since a fraction that is no number equals nothing.
            assert_eq!(
                format!("{request:?}"),
                format!("{:?}", Ok::<_, prost::DecodeError>(*expected))
            );
        }
        Opinion::Refused(why) => assert!(result.is_err(), "only the transcoder takes it: {why}"),
        Opinion::None => {}
    }
}
