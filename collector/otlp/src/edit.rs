//! Changes to resource attributes on wire bytes: all else stays as it is.

use std::borrow::Cow;

use crate::wire::{
    Payload, bytes_field_len, fields, put_bytes, put_bytes_header, put_varint, records, varint_len,
};

/// One change to the attributes of every resource.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceEdit {
    /// The attribute's name; compared byte by byte.
    pub key: String,
    /// What is done with it.
    pub op: ResourceEditOp,
}

/// The actions of the Collector's `resource` processor, with its results. Where a resource has the key several times,
/// which OTLP forbids, one is left at most.
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceEditOp {
    /// Adds the attribute unless the key is there.
    Insert(Value),
    /// Replaces the value if the key is there.
    Update(Value),
    /// Replaces the value or adds the attribute.
    Upsert(Value),
    /// Removes the attribute.
    Delete,
}

/// A value that an edit sets.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    String(String),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A fraction.
    Double(f64),
}

/// `Resource.attributes`.
const ATTRIBUTES: u32 = 1;

/// One field of a resource.
struct Item<'a> {
    /// Key, length and body.
    record: Cow<'a, [u8]>,
    /// The name, if it is an attribute.
    key: Option<Cow<'a, [u8]>>,
}

/// Bytes that an edit may add to a resource beside an attribute: the lengths around it grow, or come with the resource.
const LENGTHS_MAX: usize = 32;

/// Bytes that [`edit_metrics`] may add to a request with so many resources.
pub fn growth_max(resources: u64, edits: &[ResourceEdit]) -> u64 {
    if edits.is_empty() {
        return 0;
    }
    let attributes: usize = edits.iter().filter_map(new_attribute).map(|it| it.len()).sum();
    resources.saturating_mul((attributes + LENGTHS_MAX) as u64)
}

/// Appends an `ExportMetricsServiceRequest` to `out`, the edits done one after the other on each of its resources. What
/// comes after bytes that are no field is left out: [`crate::metrics::check`] finds none.
pub fn edit_metrics(request: &[u8], edits: &[ResourceEdit], out: &mut Vec<u8>) {
    for (field, payload, record) in records(request) {
        match (field, payload) {
            (1, Payload::Bytes(resource_metrics)) => {
                let edited = Edited::of(resource_metrics, edits);
                put_bytes_header(1, edited.len(), out);
                edited.write(out);
            }
            (_, _) => out.extend_from_slice(record),
        }
    }
}

/// The fields of a `ResourceSpans` with the edits done one after the other on its resource, which is added where there is
/// none and an edit needs it. What comes after bytes that are no field is left out.
pub(crate) fn edit_resource(resource_spans: &[u8], edits: &[ResourceEdit]) -> Vec<u8> {
    let edited = Edited::of(resource_spans, edits);
    let mut out = Vec::with_capacity(edited.len());
    edited.write(&mut out);
    out
}

/// A `ResourceSpans` or a `ResourceMetrics` with another resource. The two have their resource in the same field.
struct Edited<'a> {
    message: &'a [u8],
    /// The fields of the resource.
    items: Vec<Item<'a>>,
    /// Bytes of the items.
    resource_len: usize,
    /// Bytes of the resource's whole field; none: there is no resource.
    resource_field_len: usize,
    /// Bytes of all other fields.
    others: usize,
}

impl<'a> Edited<'a> {
    fn of(message: &'a [u8], edits: &'a [ResourceEdit]) -> Self {
        let mut items = Vec::new();
        let mut had_resource = false;
        let mut others = 0;
        for (field, payload, record) in records(message) {
            if let (1, Payload::Bytes(resource)) = (field, payload) {
                // A message that comes several times is merged: lists are joined, the last of other fields stands.
                items.extend(records(resource).map(item));
                had_resource = true;
            } else {
                others += record.len();
            }
        }
        for edit in edits {
            apply(edit, &mut items);
        }
        let resource_len: usize = items.iter().map(|item| item.record.len()).sum();
        let resource_field_len = if had_resource || resource_len > 0 {
            bytes_field_len(1, resource_len)
        } else {
            0
        };
        Self {
            message,
            items,
            resource_len,
            resource_field_len,
            others,
        }
    }

    fn len(&self) -> usize {
        self.resource_field_len + self.others
    }

    fn write(&self, out: &mut Vec<u8>) {
        if self.resource_field_len > 0 {
            put_bytes_header(1, self.resource_len, out);
            for item in &self.items {
                out.extend_from_slice(&item.record);
            }
        }
        for (field, payload, record) in records(self.message) {
            if !matches!((field, payload), (1, Payload::Bytes(_))) {
                out.extend_from_slice(record);
            }
        }
    }
}

/// The attribute that an edit may add, as a field of a resource.
fn new_attribute(edit: &ResourceEdit) -> Option<Vec<u8>> {
    match &edit.op {
        ResourceEditOp::Insert(value) | ResourceEditOp::Update(value) | ResourceEditOp::Upsert(value) => {
            Some(encode_attribute(&edit.key, value))
        }
        ResourceEditOp::Delete => None,
    }
}

fn item<'a>((field, payload, record): (u32, Payload<'a>, &'a [u8])) -> Item<'a> {
    let key = match (field, payload) {
        (ATTRIBUTES, Payload::Bytes(attribute)) => Some(attribute_key(attribute)),
        _ => None,
    };
    Item {
        record: Cow::Borrowed(record),
        key: key.map(Cow::Borrowed),
    }
}

fn attribute_key(attribute: &[u8]) -> &[u8] {
    let mut key = &[][..];
    for field in fields(attribute) {
        if let (1, Payload::Bytes(bytes)) = field {
            key = bytes;
        }
    }
    key
}

fn apply<'a>(edit: &'a ResourceEdit, items: &mut Vec<Item<'a>>) {
    let is_it = |item: &Item<'_>| item.key.as_deref() == Some(edit.key.as_bytes());
    let first = items.iter().position(is_it);
    let value = match (&edit.op, first) {
        (ResourceEditOp::Insert(value), None)
        | (ResourceEditOp::Update(value), Some(_))
        | (ResourceEditOp::Upsert(value), _) => value,
        (ResourceEditOp::Insert(_), Some(_)) | (ResourceEditOp::Update(_) | ResourceEditOp::Delete, None) => {
            return;
        }
        (ResourceEditOp::Delete, Some(_)) => {
            items.retain(|item| !is_it(item));
            return;
        }
    };
    let new = Item {
        record: Cow::Owned(encode_attribute(&edit.key, value)),
        key: Some(Cow::Borrowed(edit.key.as_bytes())),
    };
    let Some(first) = first else {
        items.push(new);
        return;
    };
    let mut index = 0;
    items.retain(|item| {
        index += 1;
        index - 1 <= first || !is_it(item)
    });
    items[first] = new;
}

fn encode_attribute(key: &str, value: &Value) -> Vec<u8> {
    let mut any_value = Vec::new();
    match value {
        Value::String(text) => put_bytes(1, text.as_bytes(), &mut any_value),
        Value::Bool(truth) => any_value.extend([0x10, u8::from(*truth)]),
        Value::Int(number) => {
            any_value.push(0x18);
            put_varint(number.cast_unsigned(), &mut any_value);
        }
        Value::Double(number) => {
            any_value.push(0x21);
            any_value.extend(number.to_le_bytes());
        }
    }
    let length = bytes_field_len(1, key.len()) + bytes_field_len(2, any_value.len());
    let mut out = Vec::with_capacity(1 + varint_len(length as u64) + length);
    put_bytes_header(ATTRIBUTES, length, &mut out);
    put_bytes(1, key.as_bytes(), &mut out);
    put_bytes(2, &any_value, &mut out);
    out
}

#[cfg(test)]
mod tests;
