//! Attributes.

use tracepipe_otlp::wire::{Payload, fields};

/// A named value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attribute<'a> {
    /// The name; UTF-8 if the sender kept to the protocol.
    pub key: &'a [u8],
    /// The value.
    pub value: Value<'a>,
}

/// A value of any type, or none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Empty,
    /// A text; UTF-8 if the sender kept to the protocol.
    Text(&'a [u8]),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A fraction.
    Double(f64),
    /// A list: the encoded `ArrayValue`, see [`Value::elements`].
    Array(&'a [u8]),
    /// Named values: the encoded `KeyValueList`, see [`Value::entries`].
    Map(&'a [u8]),
    /// Anything.
    Bytes(&'a [u8]),
}

/// The attributes that are one field of a message.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// At least from the first of them to the last.
    region: &'a [u8],
    field: u32,
}

// === impl Attributes ===

impl<'a> Attributes<'a> {
    /// Those in `message`, or in the part that has them, of field `field`.
    pub(crate) fn new(message: &'a [u8], field: u32) -> Self {
        Self {
            region: message,
            field,
        }
    }

    /// In the sender's order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        self.encoded().map(Attribute::read)
    }

    /// The encoded `KeyValue`s.
    #[inline]
    pub fn encoded(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        super::messages(self.region, self.field)
    }
}

// === impl Attribute ===

impl<'a> Attribute<'a> {
    /// Reads an encoded `KeyValue`.
    pub(crate) fn read(message: &'a [u8]) -> Self {
        let mut read = Self {
            key: &[],
            value: Value::Empty,
        };
        for field in fields(message) {
            match field {
                (1, Payload::Bytes(key)) => read.key = key,
                (2, Payload::Bytes(value)) => read.value = Value::read(value),
                _ => {}
            }
        }
        read
    }
}

// === impl Value ===

impl<'a> Value<'a> {
    /// Reads an encoded `AnyValue`.
    pub(crate) fn read(message: &'a [u8]) -> Self {
        let mut read = Self::Empty;
        for field in fields(message) {
            read = match field {
                (1, Payload::Bytes(text)) => Self::Text(text),
                (2, Payload::Varint(number)) => Self::Bool(number != 0),
                (3, Payload::Varint(number)) => Self::Int(number.cast_signed()),
                (4, Payload::Fixed64(bits)) => Self::Double(f64::from_bits(bits)),
                (5, Payload::Bytes(list)) => Self::Array(list),
                (6, Payload::Bytes(map)) => Self::Map(map),
                (7, Payload::Bytes(bytes)) => Self::Bytes(bytes),
                _ => read,
            };
        }
        read
    }

    /// The elements of an encoded `ArrayValue`.
    pub fn elements(list: &'a [u8]) -> impl Iterator<Item = Self> + use<'a> {
        fields(list).filter_map(|field| match field {
            (1, Payload::Bytes(value)) => Some(Self::read(value)),
            _ => None,
        })
    }

    /// The entries of an encoded `KeyValueList`.
    pub fn entries(map: &'a [u8]) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        Attributes::new(map, 1).iter()
    }
}
