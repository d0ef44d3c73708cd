//! OTLP/HTTP's JSON to protobuf bytes, in one pass and without a tree in between, so that all that follows knows one
//! form.
//!
//! The rules are those of OTLP's JSON mapping and, where that is silent, of the Go collector, so that what it takes is
//! taken here: names in camelCase and snake_case, unknown fields skipped, `null` as an absent value, numbers quoted or
//! not, enums as numbers or names, ids in hex of either case, bytes in base64. An error anywhere refuses the whole
//! request. Stricter than the Go collector: nothing may follow the object, and there are limits of depth. More lenient:
//! `null` for ids and numbers, quoted enum numbers. Of a key that comes twice the last value stands; of the kinds of one
//! value too, where `null` does not count.

mod attribute;
mod lexer;
mod metrics_schema;
mod schema;
mod transcode;

use thiserror::Error;

pub use lexer::SKIP_DEPTH_MAX;
use lexer::{Fail, Segment};
use transcode::Transcoder;

/// Longest input in bytes: lengths are written with 28 bits at some places. Receivers have far smaller limits.
pub const JSON_BYTES_MAX: usize = (1 << 28) - 1;

/// The text is not an OTLP request of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("malformed OTLP JSON at byte {offset}, {path}: {message}")]
pub struct JsonError {
    /// Which value, for example `$.resourceSpans[0].scopeSpans[1].spans[20].traceId`.
    pub path: String,
    /// Where in the input.
    pub offset: usize,
    /// What is wrong, for the sender's developer. Holds no more than a few characters of the input.
    pub message: String,
}

/// Appends the encoded `ExportTraceServiceRequest` that `json` describes to `out`: never more bytes than `json` has, for
/// which `out` is made large enough.
///
/// Values may nest [`crate::check::VALUE_DEPTH_MAX`] levels, as in protobuf, and what is skipped
/// [`SKIP_DEPTH_MAX`] brackets.
///
/// # Errors
/// [`JsonError`]; `out` is as before then. An id must be of the right length or empty, but may be all zero: such a span
/// is for the walk to reject.
pub fn traces_json_to_protobuf(json: &[u8], out: &mut Vec<u8>) -> Result<(), JsonError> {
    to_protobuf(json, json.len(), &schema::REQUEST, out)
}

/// Appends the encoded `ExportMetricsServiceRequest` that `json` describes to `out`, which is made large enough:
/// [`metrics_bytes_max`]. All else is as with [`traces_json_to_protobuf`].
///
/// # Errors
/// [`JsonError`]; `out` is as before then. `NaN`, `Infinity` and their signs are numbers when they are in quotes. The ids
/// of an exemplar must be of the right length or empty.
pub fn metrics_json_to_protobuf(json: &[u8], out: &mut Vec<u8>) -> Result<(), JsonError> {
    to_protobuf(json, metrics_bytes_max(json), &metrics_schema::REQUEST, out)
}

/// Most bytes that [`metrics_json_to_protobuf`] writes: more than `json` has, since a number of one digit in a list may
/// take eight. All but one of such a list have a comma before them, and that one has the list's name.
pub fn metrics_bytes_max(json: &[u8]) -> usize {
    /// Eight bytes less a digit and the comma. A field like `"sum":1` takes two more bytes than characters.
    const MORE_AT_COMMA: usize = 6;
    let commas = json.iter().filter(|byte| **byte == b',').count();
    json.len() + MORE_AT_COMMA * commas
}

fn to_protobuf(
    json: &[u8],
    bytes_max: usize,
    schema: &'static schema::Schema,
    out: &mut Vec<u8>,
) -> Result<(), JsonError> {
    let before = out.len();
    let result = if json.len() > JSON_BYTES_MAX {
        Err(Fail::at(0, "the request is too long"))
    } else {
        // Grown by doubling it could take twice what it needs.
        out.reserve_exact(bytes_max);
        Transcoder::new(json, out).request(schema)
    };
    result.map_err(|fail| {
        out.truncate(before);
        JsonError {
            path: path(&fail.path),
            offset: fail.offset,
            message: fail.message.into_owned(),
        }
    })
}

/// `segments` come innermost first.
fn path(segments: &[Segment]) -> String {
    segments
        .iter()
        .rev()
        .fold(String::from("$"), |path, segment| match segment {
            Segment::Field(name) => path + "." + name,
            Segment::Index(index) => format!("{path}[{index}]"),
        })
}

#[cfg(test)]
mod tests;
