//! The messages of a trace request as JSON knows them: names, field numbers and types of OTLP 1.x. What requests with
//! metrics have beside these is in `metrics_schema.rs`.

/// A message.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) fields: &'static [Field],
    /// Its fields exclude each other.
    pub(super) one_of: bool,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    /// The name in camelCase.
    pub(super) name: &'static str,
    /// The name in snake_case.
    snake_name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
}

/// What a field holds.
#[derive(Debug)]
pub(super) enum Kind {
    String,
    Strings,
    /// Hex of this many bytes, or nothing.
    Id(usize),
    Uint32,
    Fixed32,
    Fixed64,
    /// The names of its numbers, from 0.
    Enum(&'static [&'static str]),
    Message(&'static Schema),
    Messages(&'static Schema),
    /// A list of `KeyValue`.
    Attributes,
    Bool,
    Int64,
    /// Never left out: most are `optional`, and zero is not absence.
    Double,
    Base64,
    /// What only requests with metrics have.
    Number(Number),
}

/// The kinds of numbers that only requests with metrics have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    /// Never left out: it is one of several, and which one it is tells more than its value.
    Sfixed64,
    /// Zigzag.
    Sint32,
    /// Lists, packed.
    Fixed64s,
    Uint64s,
    Doubles,
}

impl Schema {
    /// The field of this name, in either spelling, and its place in the list. Looked for from place `from` on first:
    /// encoders write fields in the order of their numbers.
    #[inline]
    pub(super) fn find(&self, name: &[u8], from: usize) -> Option<(usize, &'static Field)> {
        let named = |field: &Field| field.name.as_bytes() == name || field.snake_name.as_bytes() == name;
        let (before, after) = self.fields.split_at(from.min(self.fields.len()));
        if let Some(index) = after.iter().position(named) {
            return Some((from + index, &after[index]));
        }
        let index = before.iter().position(named)?;
        Some((index, &before[index]))
    }
}

pub(super) const fn field(number: u32, name: &'static str, snake_name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        snake_name,
        number,
        kind,
    }
}

/// A name of one word.
pub(super) const fn word(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, name, kind)
}

const fn dropped_attributes(number: u32) -> Field {
    field(
        number,
        "droppedAttributesCount",
        "dropped_attributes_count",
        Kind::Uint32,
    )
}

pub(super) const fn schema_url(number: u32) -> Field {
    field(number, "schemaUrl", "schema_url", Kind::String)
}

pub(super) const fn trace_id(number: u32) -> Field {
    field(number, "traceId", "trace_id", Kind::Id(16))
}

pub(super) const fn span_id(number: u32) -> Field {
    field(number, "spanId", "span_id", Kind::Id(8))
}

const fn trace_state(number: u32) -> Field {
    field(number, "traceState", "trace_state", Kind::String)
}

pub(super) const fn attributes(number: u32) -> Field {
    word(number, "attributes", Kind::Attributes)
}

pub(super) static REQUEST: Schema = Schema {
    fields: &[field(
        1,
        "resourceSpans",
        "resource_spans",
        Kind::Messages(&RESOURCE_SPANS),
    )],
    one_of: false,
};

static RESOURCE_SPANS: Schema = Schema {
    fields: &[
        word(1, "resource", Kind::Message(&RESOURCE)),
        field(2, "scopeSpans", "scope_spans", Kind::Messages(&SCOPE_SPANS)),
        schema_url(3),
    ],
    one_of: false,
};

pub(super) static RESOURCE: Schema = Schema {
    fields: &[
        attributes(1),
        dropped_attributes(2),
        field(3, "entityRefs", "entity_refs", Kind::Messages(&ENTITY_REF)),
    ],
    one_of: false,
};

static ENTITY_REF: Schema = Schema {
    fields: &[
        schema_url(1),
        word(2, "type", Kind::String),
        field(3, "idKeys", "id_keys", Kind::Strings),
        field(4, "descriptionKeys", "description_keys", Kind::Strings),
    ],
    one_of: false,
};

static SCOPE_SPANS: Schema = Schema {
    fields: &[
        word(1, "scope", Kind::Message(&SCOPE)),
        word(2, "spans", Kind::Messages(&SPAN)),
        schema_url(3),
    ],
    one_of: false,
};

pub(super) static SCOPE: Schema = Schema {
    fields: &[
        word(1, "name", Kind::String),
        word(2, "version", Kind::String),
        attributes(3),
        dropped_attributes(4),
    ],
    one_of: false,
};

static SPAN: Schema = Schema {
    fields: &[
        trace_id(1),
        span_id(2),
        trace_state(3),
        field(4, "parentSpanId", "parent_span_id", Kind::Id(8)),
        word(5, "name", Kind::String),
        word(6, "kind", Kind::Enum(SPAN_KINDS)),
        field(7, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64),
        field(8, "endTimeUnixNano", "end_time_unix_nano", Kind::Fixed64),
        attributes(9),
        dropped_attributes(10),
        word(11, "events", Kind::Messages(&EVENT)),
        field(12, "droppedEventsCount", "dropped_events_count", Kind::Uint32),
        word(13, "links", Kind::Messages(&LINK)),
        field(14, "droppedLinksCount", "dropped_links_count", Kind::Uint32),
        word(15, "status", Kind::Message(&STATUS)),
        word(16, "flags", Kind::Fixed32),
    ],
    one_of: false,
};

static SPAN_KINDS: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

static EVENT: Schema = Schema {
    fields: &[
        field(1, "timeUnixNano", "time_unix_nano", Kind::Fixed64),
        word(2, "name", Kind::String),
        attributes(3),
        dropped_attributes(4),
    ],
    one_of: false,
};

static LINK: Schema = Schema {
    fields: &[
        trace_id(1),
        span_id(2),
        trace_state(3),
        attributes(4),
        dropped_attributes(5),
        word(6, "flags", Kind::Fixed32),
    ],
    one_of: false,
};

static STATUS: Schema = Schema {
    fields: &[
        word(2, "message", Kind::String),
        word(3, "code", Kind::Enum(STATUS_CODES)),
    ],
    one_of: false,
};

static STATUS_CODES: &[&str] = &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

pub(super) static KEY_VALUE: Schema = Schema {
    fields: &[
        word(1, "key", Kind::String),
        word(2, "value", Kind::Message(&ANY_VALUE)),
    ],
    one_of: false,
};

static ANY_VALUE: Schema = Schema {
    fields: &[
        field(1, "stringValue", "string_value", Kind::String),
        field(2, "boolValue", "bool_value", Kind::Bool),
        field(3, "intValue", "int_value", Kind::Int64),
        field(4, "doubleValue", "double_value", Kind::Double),
        field(5, "arrayValue", "array_value", Kind::Message(&ARRAY_VALUE)),
        field(6, "kvlistValue", "kvlist_value", Kind::Message(&KEY_VALUE_LIST)),
        field(7, "bytesValue", "bytes_value", Kind::Base64),
    ],
    one_of: true,
};

static ARRAY_VALUE: Schema = Schema {
    fields: &[word(1, "values", Kind::Messages(&ANY_VALUE))],
    one_of: false,
};

static KEY_VALUE_LIST: Schema = Schema {
    fields: &[word(1, "values", Kind::Attributes)],
    one_of: false,
};
