//! What X-Ray takes, as named numbers, and the cutting of text.
//!
//! "Guide" is the X-Ray Developer Guide, page "X-Ray segment documents"; "schema" is the JSON schema that AWS
//! publishes with it (`xray-segmentdocument-schema-v1.0.0.json`).
//!
//! Texts are measured in UTF-16 units. Neither source says what a character is; the schema carries a pattern for
//! Java, whose strings are measured so, and a text within such a limit is also within it in code points.

/// Largest document in bytes. The guide says 64 kB; 64,000 is right in both readings of that.
pub const DOCUMENT_BYTES_MAX: usize = 64_000;

/// Longest `name` (guide, schema).
pub const NAME_MAX: usize = 200;

/// Longest `user` and longest text in `http.request` (schema, `maxLength`).
pub const SHORT_TEXT_MAX: usize = 250;

/// Longest annotation key (guide, schema).
pub const ANNOTATION_KEY_MAX: usize = 500;

/// Longest annotation text (guide, schema).
pub const ANNOTATION_TEXT_MAX: usize = 1_000;

/// Most annotations in one document. The guide says that X-Ray indexes up to 50 in a trace; more in one document
/// are never of use.
pub const ANNOTATIONS_MAX: usize = 50;

/// Most links of one segment (guide).
pub const LINKS_MAX: usize = 20;

/// How deep attribute values may be nested in metadata. Deeper parts are left out: no reader shows them, and a
/// JSON parser on the way may refuse the whole document.
pub const METADATA_DEPTH_MAX: usize = 32;

/// Most namespaces of metadata that the attributes of a span can open. X-Ray names no limit; each is searched for by
/// name among the others, so a span must not have any number of them. Further ones stay text in the default namespace.
pub const METADATA_SPACES_MAX: usize = 50;

/// Most events of a span in its metadata; others are counted. X-Ray names no limit; they take room that the trace needs.
pub const EVENTS_MAX: usize = 20;

/// Most frames of one exception; the number of the others is written (`truncated`). X-Ray names no limit; its own SDKs
/// write up to 50.
pub const FRAMES_MAX: usize = 50;

/// Most of a stack trace that is read. One of fifty frames has some five thousand bytes.
pub const STACK_BYTES_MAX: usize = 128 * 1024;

/// Longest text of an attribute that is read as the JSON of a metadata namespace; a longer one stays text.
pub const METADATA_JSON_BYTES_MAX: usize = DOCUMENT_BYTES_MAX;

/// Most attributes of a resource that its documents look at, and ...
pub const RESOURCE_ATTRIBUTES_MAX: usize = 256;

/// ... most bytes of them that are written to each segment. What is left out is counted.
pub const RESOURCE_BYTES_MAX: usize = 32 * 1024;

/// Longest chain of causes of one exception; the number of the others is written (`skipped`).
pub const CAUSES_MAX: usize = 10;

/// Subsegments of a trace leave so much of [`TRACE_BYTES_MAX`] to its segments, which tell what it is about.
pub const TRACE_BYTES_OF_SEGMENTS: usize = TRACE_BYTES_MAX / 5;

/// Documents of one trace may have this many bytes together: X-Ray takes up to 500 kB when they come together (AWS
/// re:Post, "x-ray-trace-quota-error"), and guarantees 100 kB. Those beyond it say the essential only.
pub const TRACE_BYTES_MAX: usize = 500_000;

/// What a document beyond [`TRACE_BYTES_MAX`] may still have.
pub const DOCUMENT_BYTES_BEYOND: usize = 2_000;

/// What is left of an exception message or a query text in a document that is too large, in UTF-16 units.
pub(crate) const SHRUNK_TEXT_MAX: usize = 1_000;

/// The longest beginning of `text` with at most `max` UTF-16 units.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    // A character has at most as many UTF-16 units as bytes: no need to count in the common case.
    if text.len() <= max {
        return text;
    }
    let mut units = 0;
    for (at, character) in text.char_indices() {
        units += character.len_utf16();
        if units > max {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc");
        assert_eq!(cut("\u{e9}\u{e9}\u{e9}", 3), "\u{e9}\u{e9}\u{e9}");
        assert_eq!(cut("\u{e9}\u{e9}\u{e9}\u{e9}", 3), "\u{e9}\u{e9}\u{e9}");
        // Two units each: the second does not fit any more.
        assert_eq!(cut("\u{1f600}\u{1f600}", 3), "\u{1f600}");
        assert_eq!(cut("abc", 0), "");
    }
}
