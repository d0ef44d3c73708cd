//! What a walk shows to those who look for something in spans: attributes as they lie on the wire, nothing decoded.

/// Looks at spans while a request is walked. Each answer is a set of bits, whose meaning only the watch knows.
///
/// For each `ResourceSpans` the walk shows the resource's attributes, in wire order, between [`Watch::begin_resource`] and
/// [`Watch::end_resource`]; what that gives counts for each of its spans, those that came before the resource too. For
/// each span it shows attributes and trace state and then asks [`Watch::end_span`]. The resource may stand between or
/// after the spans: what is seen of a resource and what is seen of a span must be kept apart. When a walk fails midway
/// the next begins with [`Watch::reset`].
pub trait Watch {
    /// False when the walk need not show attributes: then it may skip them faster.
    fn wants_attributes(&self) -> bool;

    /// False when the walk need not show trace states.
    fn wants_trace_state(&self) -> bool;

    /// Forgets what was seen of a resource or a span that did not end.
    fn reset(&mut self);

    /// A resource begins.
    fn begin_resource(&mut self);

    /// An attribute of the resource. `value` is an encoded and checked `AnyValue`, empty when the attribute has none. Of
    /// several values in one attribute (protobuf allows it) all are in it, one after the other.
    fn resource_attribute(&mut self, key: &[u8], value: &[u8]);

    /// The resource is whole: what was found in it.
    fn end_resource(&mut self) -> u128;

    /// An attribute of the span, as [`Watch::resource_attribute`].
    fn span_attribute(&mut self, key: &[u8], value: &[u8]);

    /// The span's `trace_state`, perhaps not UTF-8; of several the last one stands.
    fn trace_state(&mut self, text: &[u8]);

    /// The span is whole: what was found in it, without its resource. The next span begins.
    fn end_span(&mut self) -> u128;
}

/// Looks for nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWatch;

impl Watch for NoWatch {
    #[inline(always)]
    fn wants_attributes(&self) -> bool {
        false
    }

    #[inline(always)]
    fn wants_trace_state(&self) -> bool {
        false
    }

    #[inline(always)]
    fn reset(&mut self) {}

    #[inline(always)]
    fn begin_resource(&mut self) {}

    #[inline(always)]
    fn resource_attribute(&mut self, _key: &[u8], _value: &[u8]) {}

    #[inline(always)]
    fn end_resource(&mut self) -> u128 {
        0
    }

    #[inline(always)]
    fn span_attribute(&mut self, _key: &[u8], _value: &[u8]) {}

    #[inline(always)]
    fn trace_state(&mut self, _text: &[u8]) {}

    #[inline(always)]
    fn end_span(&mut self) -> u128 {
        0
    }
}
