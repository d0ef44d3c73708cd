//! OTLP's JSON read with serde's parser, straight into prost's types: slow and plain, to compare with.
//!
//! It follows the rules in the head of [`crate::json`], and says nothing about what serde takes otherwise: text that is
//! not UTF-8, halves of surrogate pairs, deep nesting.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::proto::any_value::Value;
use crate::proto::{
    AnyValue, ArrayValue, Event, ExportTraceServiceRequest, InstrumentationScope, KeyValue, KeyValueList,
    Link, Resource, ResourceSpans, ScopeSpans, Span, SpanStatus,
};

/// What this reader makes of an input.
pub(super) enum Opinion {
    Is(Box<ExportTraceServiceRequest>),
    Refused(&'static str),
    None,
}

/// Most opening brackets of an input that it has an opinion on: prost decodes a hundred messages in each other.
const BRACKETS_MAX: usize = 100;

pub(super) fn read(input: &[u8]) -> Opinion {
    let brackets = input.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    let Ok(text) = str::from_utf8(input) else {
        return Opinion::None;
    };
    // Written out, since escapes may hide in keys too.
    if brackets > BRACKETS_MAX || has_surrogates(text) {
        return Opinion::None;
    }
    let request = match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => request(Json(raw.get())),
        Err(_) => Err("no JSON"),
    };
    match request {
        Ok(request) => Opinion::Is(Box::new(request)),
        Err(why) => Opinion::Refused(why),
    }
}

type Result<T> = std::result::Result<T, &'static str>;

/// A value as it is written: well-formed, without white space around it.
#[derive(Clone, Copy)]
struct Json<'j>(&'j str);

/// An object's fields in their order.
struct Fields<'j>(Vec<(String, Json<'j>)>);

/// `\ud800` to `\udfff`, in either case.
fn has_surrogates(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(4).any(|window| {
        matches!(window, [b'\\', b'u', b'd' | b'D', third] if !third.is_ascii_digit() || *third >= b'8')
    })
}

impl<'de: 'j, 'j> Deserialize<'de> for Fields<'j> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, Json<'de>)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    fields.push((key, Json(value.get())));
                }
                Ok(fields)
            }
        }
        from.deserialize_map(InOrder).map(Self)
    }
}

impl<'j> Json<'j> {
    fn is_null(self) -> bool {
        self.0 == "null"
    }

    fn fields(self) -> Result<Fields<'j>> {
        serde_json::from_str(self.0).map_err(|_| "no object")
    }

    fn elements(self) -> Result<Vec<Self>> {
        let elements: Vec<&RawValue> = serde_json::from_str(self.0).map_err(|_| "no list")?;
        Ok(elements.into_iter().map(|raw| Self(raw.get())).collect())
    }

    fn string(self) -> Result<String> {
        serde_json::from_str(self.0).map_err(|_| "no string")
    }

    fn boolean(self) -> Result<bool> {
        serde_json::from_str(self.0).map_err(|_| "no truth value")
    }

    /// A number's text, or what is in a string.
    fn scalar(self) -> Result<String> {
        match self.0.as_bytes().first() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => Ok(self.0.to_owned()),
            _ => Err("no number"),
        }
    }

    fn number<T: std::str::FromStr>(self) -> Result<T> {
        self.scalar()?.parse().map_err(|_| "not a number of its range")
    }

    fn fraction(self) -> Result<f64> {
        let text = self.scalar()?;
        let number: f64 = text.parse().map_err(|_| "no fraction")?;
        if number.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) {
            return Err("beyond the range");
        }
        Ok(number)
    }

    fn enum_of(self, names: &[&str]) -> Result<i32> {
        if let Ok(text) = self.string()
            && let Some(number) = (0..).zip(names).find(|(_, name)| **name == text)
        {
            return Ok(number.0);
        }
        Ok(self.number::<i32>()?.max(0))
    }

    fn id(self, length: usize) -> Result<Vec<u8>> {
        let text = self.string()?;
        let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.ok_or("no hex")?;
        if digits.is_empty() || digits.len() == 2 * length {
            return Ok(digits
                .chunks(2)
                .map(|pair| (pair[0] * 16 + pair[1]) as u8)
                .collect());
        }
        Err("an id of another length")
    }

    fn base64(self) -> Result<Vec<u8>> {
        let config = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
            .with_decode_allow_trailing_bits(true);
        let text: String = self
            .string()?
            .chars()
            .filter(|c| !matches!(c, '\r' | '\n'))
            .collect();
        GeneralPurpose::new(&STANDARD, config)
            .decode(text)
            .map_err(|_| "no base64")
    }
}

impl<'j> Fields<'j> {
    /// What `read` makes of the field, by either of its names; the default when it is absent or `null`. Every value of
    /// it must be right, and the last one stands.
    fn get<T: Default>(&self, names: [&str; 2], read: impl Fn(Json<'j>) -> Result<T>) -> Result<T> {
        let mut value = T::default();
        for (name, json) in &self.0 {
            if names.contains(&name.as_str()) {
                value = if json.is_null() {
                    T::default()
                } else {
                    read(*json)?
                };
            }
        }
        Ok(value)
    }

    fn text(&self, names: [&str; 2]) -> Result<String> {
        self.get(names, Json::string)
    }

    fn count(&self, names: [&str; 2]) -> Result<u32> {
        self.get(names, Json::number)
    }

    fn message<T>(&self, name: &str, read: impl Fn(Json<'j>) -> Result<T>) -> Result<Option<T>> {
        self.get([name, name], |json| read(json).map(Some))
    }

    /// An element that is `null` is an empty one.
    fn list<T: Default>(&self, names: [&str; 2], read: impl Fn(Json<'j>) -> Result<T>) -> Result<Vec<T>> {
        self.get(names, |json| {
            let element = |json: Json<'j>| {
                if json.is_null() {
                    Ok(T::default())
                } else {
                    read(json)
                }
            };
            json.elements()?.into_iter().map(element).collect()
        })
    }

    fn attributes(&self) -> Result<Vec<KeyValue>> {
        self.list(["attributes", "attributes"], key_value)
    }

    fn dropped_attributes(&self) -> Result<u32> {
        self.count(["droppedAttributesCount", "dropped_attributes_count"])
    }
}

fn request(json: Json<'_>) -> Result<ExportTraceServiceRequest> {
    if json.is_null() {
        return Ok(ExportTraceServiceRequest::default());
    }
    Ok(ExportTraceServiceRequest {
        resource_spans: json
            .fields()?
            .list(["resourceSpans", "resource_spans"], resource_spans)?,
    })
}

fn resource_spans(json: Json<'_>) -> Result<ResourceSpans> {
    let fields = json.fields()?;
    Ok(ResourceSpans {
        resource: fields.message("resource", resource)?,
        scope_spans: fields.list(["scopeSpans", "scope_spans"], scope_spans)?,
        schema_url: fields.text(["schemaUrl", "schema_url"])?,
    })
}

fn resource(json: Json<'_>) -> Result<Resource> {
    let fields = json.fields()?;
    // Prost's types here do not have them, but they must be right.
    fields.list(["entityRefs", "entity_refs"], |json| {
        let fields = json.fields()?;
        fields.text(["schemaUrl", "schema_url"])?;
        fields.text(["type", "type"])?;
        fields.list(["idKeys", "id_keys"], Json::string)?;
        fields.list(["descriptionKeys", "description_keys"], Json::string)?;
        Ok(())
    })?;
    Ok(Resource {
        attributes: fields.attributes()?,
        dropped_attributes_count: fields.dropped_attributes()?,
    })
}

fn scope_spans(json: Json<'_>) -> Result<ScopeSpans> {
    let fields = json.fields()?;
    Ok(ScopeSpans {
        scope: fields.message("scope", scope)?,
        spans: fields.list(["spans", "spans"], span)?,
        schema_url: fields.text(["schemaUrl", "schema_url"])?,
    })
}

fn scope(json: Json<'_>) -> Result<InstrumentationScope> {
    let fields = json.fields()?;
    Ok(InstrumentationScope {
        name: fields.text(["name", "name"])?,
        version: fields.text(["version", "version"])?,
        attributes: fields.attributes()?,
        dropped_attributes_count: fields.dropped_attributes()?,
    })
}

fn span(json: Json<'_>) -> Result<Span> {
    const KINDS: [&str; 6] = [
        "SPAN_KIND_UNSPECIFIED",
        "SPAN_KIND_INTERNAL",
        "SPAN_KIND_SERVER",
        "SPAN_KIND_CLIENT",
        "SPAN_KIND_PRODUCER",
        "SPAN_KIND_CONSUMER",
    ];
    let fields = json.fields()?;
    Ok(Span {
        trace_id: fields.get(["traceId", "trace_id"], |json| json.id(16))?,
        span_id: fields.get(["spanId", "span_id"], |json| json.id(8))?,
        trace_state: fields.text(["traceState", "trace_state"])?,
        parent_span_id: fields.get(["parentSpanId", "parent_span_id"], |json| json.id(8))?,
        name: fields.text(["name", "name"])?,
        kind: fields.get(["kind", "kind"], |json| json.enum_of(&KINDS))?,
        start_time_unix_nano: fields.get(["startTimeUnixNano", "start_time_unix_nano"], Json::number)?,
        end_time_unix_nano: fields.get(["endTimeUnixNano", "end_time_unix_nano"], Json::number)?,
        attributes: fields.attributes()?,
        dropped_attributes_count: fields.dropped_attributes()?,
        events: fields.list(["events", "events"], event)?,
        dropped_events_count: fields.count(["droppedEventsCount", "dropped_events_count"])?,
        links: fields.list(["links", "links"], link)?,
        dropped_links_count: fields.count(["droppedLinksCount", "dropped_links_count"])?,
        status: fields.message("status", status)?,
        flags: fields.count(["flags", "flags"])?,
    })
}

fn event(json: Json<'_>) -> Result<Event> {
    let fields = json.fields()?;
    Ok(Event {
        time_unix_nano: fields.get(["timeUnixNano", "time_unix_nano"], Json::number)?,
        name: fields.text(["name", "name"])?,
        attributes: fields.attributes()?,
        dropped_attributes_count: fields.dropped_attributes()?,
    })
}

fn link(json: Json<'_>) -> Result<Link> {
    let fields = json.fields()?;
    Ok(Link {
        trace_id: fields.get(["traceId", "trace_id"], |json| json.id(16))?,
        span_id: fields.get(["spanId", "span_id"], |json| json.id(8))?,
        trace_state: fields.text(["traceState", "trace_state"])?,
        attributes: fields.attributes()?,
        dropped_attributes_count: fields.dropped_attributes()?,
        flags: fields.count(["flags", "flags"])?,
    })
}

fn status(json: Json<'_>) -> Result<SpanStatus> {
    const CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
    let fields = json.fields()?;
    Ok(SpanStatus {
        message: fields.text(["message", "message"])?,
        code: fields.get(["code", "code"], |json| json.enum_of(&CODES))?,
    })
}

fn key_value(json: Json<'_>) -> Result<KeyValue> {
    let fields = json.fields()?;
    Ok(KeyValue {
        key: fields.text(["key", "key"])?,
        value: fields.message("value", any_value)?,
    })
}

/// Of the kinds the last stands that is not `null`.
fn any_value(json: Json<'_>) -> Result<AnyValue> {
    let mut value = None;
    for (name, json) in json.fields()?.0 {
        if json.is_null() {
            continue;
        }
        value = Some(match name.as_str() {
            "stringValue" | "string_value" => Value::StringValue(json.string()?),
            "boolValue" | "bool_value" => Value::BoolValue(json.boolean()?),
            "intValue" | "int_value" => Value::IntValue(json.number()?),
            "doubleValue" | "double_value" => Value::DoubleValue(json.fraction()?),
            "arrayValue" | "array_value" => Value::ArrayValue(ArrayValue {
                values: json.fields()?.list(["values", "values"], any_value)?,
            }),
            "kvlistValue" | "kvlist_value" => Value::KvlistValue(KeyValueList {
                values: json.fields()?.list(["values", "values"], key_value)?,
            }),
            "bytesValue" | "bytes_value" => Value::BytesValue(json.base64()?),
            _ => continue,
        });
    }
    Ok(AnyValue { value })
}
