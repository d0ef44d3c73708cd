//! One pass over a request's wire bytes: finds each span's few fields and what its context is, and checks the whole
//! structure, so that everything that is admitted can be decoded later.

mod span;

use std::ops::Range;

use crate::check::{Shape, VALUE_DEPTH_MAX, check_field};
use crate::head::SpanHead;
use crate::watch::{NoWatch, Watch};
use crate::wire::{Cursor, Fault, WireError, WireType, key_of, offset_of, split_key};
use span::{show_resource, span_head};

/// The bytes are not an `ExportTraceServiceRequest` that can be taken. Nothing of it is.
pub type WalkError = WireError;

/// Longest request in bytes: offsets have 32 bits in the store. Receivers have far smaller limits.
pub const REQUEST_BYTES_MAX: usize = 1 << 30;

/// A span with both ids needs this many bytes: its own key and length, and 18 and 10 bytes of ids.
const VALID_SPAN_BYTES_MIN: usize = 30;

/// A request may have this many spans more than fit in its bytes with both ids. A head is larger than an empty span (2
/// bytes): a hostile request must not choose how many heads there are.
const SPARE_SPANS: usize = 1024;

/// A message may have its fields before, between and after its spans, in this many pieces at most. Encoders need two.
const PIECES_MAX: usize = 4;

/// Bytes that are kept between requests: room for some eight thousand spans.
const BYTES_KEPT: usize = 1 << 20;

/// Walks requests. Keep one and use it again: it allocates only for requests larger than those before.
#[derive(Debug, Default)]
pub struct RequestWalk {
    spans: Vec<SpanHead>,
    contexts: Vec<ContextPieces>,
    resource_pieces: Vec<Range<usize>>,
    scope_pieces: Vec<Range<usize>>,
}

/// What stands around the spans of one `ScopeSpans`, as places in the request: bytes that can be copied as they are,
/// in this order. Only a `ScopeSpans` with spans has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextHead<'a> {
    /// All fields of its `ResourceSpans` but `scope_spans`, unknown ones included.
    pub resource: &'a [Range<usize>],
    /// All its fields but `spans`, unknown ones included.
    pub scope: &'a [Range<usize>],
}

impl ContextHead<'_> {
    /// Bytes of all of it.
    pub fn bytes(&self) -> usize {
        let pieces = self.resource.iter().chain(self.scope);
        pieces.map(|piece| piece.end - piece.start).sum()
    }
}

/// A [`ContextHead`] as indexes into the pieces.
#[derive(Debug, Clone)]
struct ContextPieces {
    resource: Range<usize>,
    scope: Range<usize>,
}

// === impl RequestWalk ===

impl RequestWalk {
    /// Without any room.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next request; what was known of the one before is gone.
    ///
    /// # Errors
    /// [`WalkError`] exactly when `decode_traces` fails on these bytes, and on three things that no client does: more
    /// than [`REQUEST_BYTES_MAX`] bytes, over a thousand spans too short to have ids, and more than four groups of
    /// fields scattered between spans. Then `spans` is empty. A span with a bad id is no error: see [`SpanHead::defect`]. A
    /// parent id that is not 8 bytes long can name no span and counts as absent.
    pub fn walk(&mut self, request: &[u8]) -> Result<(), WalkError> {
        self.walk_with(request, &mut NoWatch)
    }

    /// As [`RequestWalk::walk`], and shows everything to `watch`, whose findings are in [`SpanHead::matched`].
    ///
    /// # Errors
    /// As [`RequestWalk::walk`].
    pub fn walk_with<W: Watch>(&mut self, request: &[u8], watch: &mut W) -> Result<(), WalkError> {
        self.clear();
        // What a walk that failed has shown is not of this request.
        watch.reset();
        let result = self
            .request(request, watch)
            .map_err(|fault| fault.within(request));
        if result.is_err() {
            self.clear();
        }
        result
    }

    /// Bytes that [`RequestWalk::walk`] may allocate for this request, known from the number of its spans: to be asked
    /// for before. Malformed requests are counted as far as they can be read.
    pub fn room_for(request: &[u8]) -> usize {
        let (mut scopes, mut spans) = (0, 0);
        each_message(request, 1, |resource| {
            each_message(resource, 2, |scope| {
                scopes += 1;
                each_message(scope, 2, |_| spans += 1);
            });
        });
        let context = size_of::<ContextPieces>() + 2 * PIECES_MAX * size_of::<Range<usize>>();
        // A vector that grows doubles.
        (spans.min(spans_max(request)) * size_of::<SpanHead>() + scopes * context) * 2
    }

    /// The spans of the last request, in its order.
    pub fn spans(&self) -> &[SpanHead] {
        &self.spans
    }

    #[cfg(test)]
    fn context_count(&self) -> usize {
        self.contexts.len()
    }

    /// What stands around the spans whose `context` this is; empty if none has it.
    pub fn context(&self, index: u32) -> ContextHead<'_> {
        match self.contexts.get(index as usize) {
            Some(pieces) => ContextHead {
                resource: &self.resource_pieces[pieces.resource.clone()],
                scope: &self.scope_pieces[pieces.scope.clone()],
            },
            None => ContextHead {
                resource: &[],
                scope: &[],
            },
        }
    }

    /// Bytes that are held: while a request is looked at about as much as [`RequestWalk::room_for`] said, after
    /// [`RequestWalk::clear`] at most a mebibyte.
    pub fn memory_bytes(&self) -> usize {
        self.spans.capacity() * size_of::<SpanHead>()
            + self.contexts.capacity() * size_of::<ContextPieces>()
            + (self.resource_pieces.capacity() + self.scope_pieces.capacity()) * size_of::<Range<usize>>()
    }

    /// Forgets the last request and gives back what only a large one needed. To be called when its spans have been
    /// placed: whoever refuses requests because of this memory would never come to the next walk.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.contexts.clear();
        self.resource_pieces.clear();
        self.scope_pieces.clear();
        if self.memory_bytes() > BYTES_KEPT {
            // The rare large request must not be paid for ever after.
            *self = Self::default();
        }
    }

    fn request<W: Watch>(&mut self, request: &[u8], watch: &mut W) -> Result<(), Fault> {
        if request.len() > REQUEST_BYTES_MAX {
            return Err(Fault::at(request, "the request is too long"));
        }
        let mut cursor = Cursor::new(request);
        while !cursor.is_empty() {
            let place = cursor.rest();
            match cursor.key()? {
                (1, WireType::Bytes) => self.resource_spans(request, cursor.bytes()?, watch)?,
                key => check_field(Shape::Request, key, &mut cursor, VALUE_DEPTH_MAX, place)?,
            }
        }
        Ok(())
    }

    fn resource_spans<W: Watch>(
        &mut self,
        request: &[u8],
        message: &[u8],
        watch: &mut W,
    ) -> Result<(), Fault> {
        let first_context = self.contexts.len();
        let first_piece = self.resource_pieces.len();
        let first_span = self.spans.len();
        watch.begin_resource();
        let mut cursor = Cursor::new(message);
        while !cursor.is_empty() {
            let place = cursor.rest();
            match cursor.key()? {
                (2, WireType::Bytes) => self.scope_spans(request, cursor.bytes()?, watch)?,
                key => {
                    if key == (1, WireType::Bytes) && watch.wants_attributes() {
                        show_resource(cursor.bytes()?, watch)?;
                    } else {
                        check_field(Shape::ResourceSpans, key, &mut cursor, VALUE_DEPTH_MAX, place)?;
                    }
                    let piece = range_before(request, place, &cursor);
                    push_piece(&mut self.resource_pieces, first_piece, piece, place)?;
                }
            }
        }
        if self.contexts.len() == first_context {
            self.resource_pieces.truncate(first_piece);
        }
        for context in &mut self.contexts[first_context..] {
            context.resource = first_piece..self.resource_pieces.len();
        }
        let of_resource = watch.end_resource();
        if of_resource != 0 {
            for head in &mut self.spans[first_span..] {
                head.matched |= of_resource;
            }
        }
        Ok(())
    }

    fn scope_spans<W: Watch>(&mut self, request: &[u8], message: &[u8], watch: &mut W) -> Result<(), Fault> {
        let spans_max = spans_max(request);
        let context = self.contexts.len() as u32;
        let first_span = self.spans.len();
        let first_piece = self.scope_pieces.len();
        let mut cursor = Cursor::new(message);
        while !cursor.is_empty() {
            let place = cursor.rest();
            match cursor.key()? {
                (2, WireType::Bytes) => {
                    let mut head = span_head(cursor.bytes()?, watch)?;
                    head.record = range_before(request, place, &cursor);
                    head.context = context;
                    if self.spans.len() == spans_max {
                        return Err(Fault::at(place, "too many spans are too short to have ids"));
                    }
                    self.spans.push(head);
                }
                key => {
                    check_field(Shape::ScopeSpans, key, &mut cursor, VALUE_DEPTH_MAX, place)?;
                    let piece = range_before(request, place, &cursor);
                    push_piece(&mut self.scope_pieces, first_piece, piece, place)?;
                }
            }
        }
        if self.spans.len() == first_span {
            self.scope_pieces.truncate(first_piece);
        } else {
            let scope = first_piece..self.scope_pieces.len();
            // The resource's pieces are known when its message ends.
            self.contexts.push(ContextPieces {
                resource: 0..0,
                scope,
            });
        }
        Ok(())
    }
}

/// Most spans of one request.
fn spans_max(request: &[u8]) -> usize {
    request.len() / VALID_SPAN_BYTES_MIN + SPARE_SPANS
}

/// The embedded messages of one field, as far as the message can be read.
#[inline(always)]
fn each_message<'a>(message: &'a [u8], number: u32, mut then: impl FnMut(&'a [u8])) {
    let key_of_it = key_of(number, WireType::Bytes);
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let Ok(key) = cursor.raw_key() else { return };
        if key != key_of_it {
            if !skip_field(key, &mut cursor) {
                return;
            }
        } else if let Ok(inner) = cursor.bytes() {
            then(inner);
        } else {
            return;
        }
    }
}

/// False when the message cannot be read any further.
#[inline(never)]
fn skip_field(key: u32, cursor: &mut Cursor<'_>) -> bool {
    split_key(key, cursor.rest()).is_ok_and(|(field, wire)| cursor.payload(field, wire).is_ok())
}

/// From where `place` begins to what `cursor` has not read.
#[inline]
fn range_before(request: &[u8], place: &[u8], cursor: &Cursor<'_>) -> Range<usize> {
    let start = offset_of(request, place);
    start..start + place.len() - cursor.rest().len()
}

fn push_piece(
    pieces: &mut Vec<Range<usize>>,
    first: usize,
    piece: Range<usize>,
    place: &[u8],
) -> Result<(), Fault> {
    let count = pieces.len() - first;
    match pieces[first..].last_mut() {
        Some(last) if last.end == piece.start => last.end = piece.end,
        _ if count == PIECES_MAX => {
            return Err(Fault::at(place, "too many fields are scattered between spans"));
        }
        _ => pieces.push(piece),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
