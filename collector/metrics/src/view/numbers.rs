//! Repeated numbers, packed or not: protobuf lets a sender mix both.

use tracepipe_otlp::wire::{Cursor, Payload, fields};

/// Repeated `fixed64` or `double`.
#[derive(Debug, Clone, Copy)]
pub struct Fixed64s<'a>(Numbers<'a>);

/// Repeated `uint64`.
#[derive(Debug, Clone, Copy)]
pub struct Varints<'a>(Numbers<'a>);

#[derive(Debug, Clone, Copy)]
enum Numbers<'a> {
    /// In one piece: what every known sender writes.
    Packed(&'a [u8]),
    /// Wherever they stand in this message.
    Scattered { message: &'a [u8], field: u32 },
}

impl<'a> Numbers<'a> {
    /// To be told of each occurrence of the field in turn.
    fn add(&mut self, message: &'a [u8], field: u32, payload: Payload<'a>) {
        *self = match (*self, payload) {
            (Numbers::Packed([]), Payload::Bytes(packed)) => Numbers::Packed(packed),
            (Numbers::Packed(_) | Numbers::Scattered { .. }, _) => Numbers::Scattered { message, field },
        }
    }
}

// === impl Fixed64s ===

impl<'a> Fixed64s<'a> {
    pub(super) const NONE: Self = Self(Numbers::Packed(&[]));

    pub(super) fn add(&mut self, message: &'a [u8], field: u32, payload: Payload<'a>) {
        self.0.add(message, field, payload);
    }

    /// The bits of each.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = u64> + Clone + use<'a> {
        let (packed, scattered) = match self.0 {
            Numbers::Packed(packed) => (packed, None),
            Numbers::Scattered { message, field } => (&[][..], Some((message, field))),
        };
        chunks(packed).chain(scattered.into_iter().flat_map(|(message, number)| {
            fields(message)
                .filter(move |(field, _)| *field == number)
                .flat_map(|(_, payload)| {
                    let (packed, single) = match payload {
                        Payload::Bytes(packed) => (packed, None),
                        Payload::Fixed64(bits) => (&[][..], Some(bits)),
                        Payload::Varint(_) | Payload::Fixed32(_) | Payload::Group => (&[][..], None),
                    };
                    chunks(packed).chain(single)
                })
        }))
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self.0 {
            Numbers::Packed(packed) => packed.len() / 8,
            Numbers::Scattered { .. } => self.iter().count(),
        }
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[inline]
fn chunks(packed: &[u8]) -> impl Iterator<Item = u64> + Clone + use<'_> {
    packed
        .as_chunks()
        .0
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

#[inline]
fn varints(packed: &[u8]) -> impl Iterator<Item = u64> + Clone + use<'_> {
    let mut cursor = Cursor::new(packed);
    std::iter::from_fn(move || {
        if cursor.is_empty() {
            return None;
        }
        cursor.varint().ok()
    })
}

// === impl Varints ===

impl<'a> Varints<'a> {
    pub(super) const NONE: Self = Self(Numbers::Packed(&[]));

    pub(super) fn add(&mut self, message: &'a [u8], field: u32, payload: Payload<'a>) {
        self.0.add(message, field, payload);
    }

    /// Each.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = u64> + Clone + use<'a> {
        let (packed, scattered) = match self.0 {
            Numbers::Packed(packed) => (packed, None),
            Numbers::Scattered { message, field } => (&[][..], Some((message, field))),
        };
        varints(packed).chain(scattered.into_iter().flat_map(|(message, number)| {
            fields(message)
                .filter(move |(field, _)| *field == number)
                .flat_map(|(_, payload)| {
                    let (packed, single) = match payload {
                        Payload::Bytes(packed) => (packed, None),
                        Payload::Varint(value) => (&[][..], Some(value)),
                        Payload::Fixed64(_) | Payload::Fixed32(_) | Payload::Group => (&[][..], None),
                    };
                    varints(packed).chain(single)
                })
        }))
    }
}
