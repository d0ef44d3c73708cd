//! The messages of a request with metrics as JSON knows them: names, field numbers and types of OTLP 1.x.
//!
//! A metric's data and a point's value are one of several fields beside others. All that come are written, in their order:
//! the last stands for every reader (Protocol Buffers, "Last One Wins").

use super::schema::{
    Field, Kind, Number, RESOURCE, SCOPE, Schema, attributes, field, schema_url, span_id, trace_id, word,
};

pub(super) static REQUEST: Schema = Schema {
    fields: &[field(
        1,
        "resourceMetrics",
        "resource_metrics",
        Kind::Messages(&RESOURCE_METRICS),
    )],
    one_of: false,
};

static RESOURCE_METRICS: Schema = Schema {
    fields: &[
        word(1, "resource", Kind::Message(&RESOURCE)),
        field(2, "scopeMetrics", "scope_metrics", Kind::Messages(&SCOPE_METRICS)),
        schema_url(3),
    ],
    one_of: false,
};

static SCOPE_METRICS: Schema = Schema {
    fields: &[
        word(1, "scope", Kind::Message(&SCOPE)),
        word(2, "metrics", Kind::Messages(&METRIC)),
        schema_url(3),
    ],
    one_of: false,
};

static METRIC: Schema = Schema {
    fields: &[
        word(1, "name", Kind::String),
        word(2, "description", Kind::String),
        word(3, "unit", Kind::String),
        word(5, "gauge", Kind::Message(&GAUGE)),
        word(7, "sum", Kind::Message(&SUM)),
        word(9, "histogram", Kind::Message(&HISTOGRAM)),
        field(
            10,
            "exponentialHistogram",
            "exponential_histogram",
            Kind::Message(&EXPONENTIAL_HISTOGRAM),
        ),
        word(11, "summary", Kind::Message(&SUMMARY)),
        word(12, "metadata", Kind::Attributes),
    ],
    one_of: false,
};

const fn data_points(schema: &'static Schema) -> Field {
    field(1, "dataPoints", "data_points", Kind::Messages(schema))
}

const fn temporality() -> Field {
    field(
        2,
        "aggregationTemporality",
        "aggregation_temporality",
        Kind::Enum(TEMPORALITIES),
    )
}

static TEMPORALITIES: &[&str] = &[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
];

static GAUGE: Schema = Schema {
    fields: &[data_points(&NUMBER_POINT)],
    one_of: false,
};

static SUM: Schema = Schema {
    fields: &[
        data_points(&NUMBER_POINT),
        temporality(),
        field(3, "isMonotonic", "is_monotonic", Kind::Bool),
    ],
    one_of: false,
};

static HISTOGRAM: Schema = Schema {
    fields: &[data_points(&HISTOGRAM_POINT), temporality()],
    one_of: false,
};

static EXPONENTIAL_HISTOGRAM: Schema = Schema {
    fields: &[data_points(&EXPONENTIAL_POINT), temporality()],
    one_of: false,
};

static SUMMARY: Schema = Schema {
    fields: &[data_points(&SUMMARY_POINT)],
    one_of: false,
};

const fn start_time() -> Field {
    field(2, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64)
}

const fn time(number: u32) -> Field {
    field(number, "timeUnixNano", "time_unix_nano", Kind::Fixed64)
}

const fn as_double(number: u32) -> Field {
    field(number, "asDouble", "as_double", Kind::Double)
}

const fn as_int(number: u32) -> Field {
    field(number, "asInt", "as_int", Kind::Number(Number::Sfixed64))
}

const fn exemplars(number: u32) -> Field {
    word(number, "exemplars", Kind::Messages(&EXEMPLAR))
}

const fn flags(number: u32) -> Field {
    word(number, "flags", Kind::Uint32)
}

const fn count() -> Field {
    word(4, "count", Kind::Fixed64)
}

static NUMBER_POINT: Schema = Schema {
    fields: &[
        start_time(),
        time(3),
        as_double(4),
        exemplars(5),
        as_int(6),
        attributes(7),
        flags(8),
    ],
    one_of: false,
};

static HISTOGRAM_POINT: Schema = Schema {
    fields: &[
        start_time(),
        time(3),
        count(),
        word(5, "sum", Kind::Double),
        field(6, "bucketCounts", "bucket_counts", Kind::Number(Number::Fixed64s)),
        field(
            7,
            "explicitBounds",
            "explicit_bounds",
            Kind::Number(Number::Doubles),
        ),
        exemplars(8),
        attributes(9),
        flags(10),
        word(11, "min", Kind::Double),
        word(12, "max", Kind::Double),
    ],
    one_of: false,
};

static EXPONENTIAL_POINT: Schema = Schema {
    fields: &[
        attributes(1),
        start_time(),
        time(3),
        count(),
        word(5, "sum", Kind::Double),
        word(6, "scale", Kind::Number(Number::Sint32)),
        field(7, "zeroCount", "zero_count", Kind::Fixed64),
        word(8, "positive", Kind::Message(&BUCKETS)),
        word(9, "negative", Kind::Message(&BUCKETS)),
        flags(10),
        exemplars(11),
        word(12, "min", Kind::Double),
        word(13, "max", Kind::Double),
        field(14, "zeroThreshold", "zero_threshold", Kind::Double),
    ],
    one_of: false,
};

static BUCKETS: Schema = Schema {
    fields: &[
        word(1, "offset", Kind::Number(Number::Sint32)),
        field(2, "bucketCounts", "bucket_counts", Kind::Number(Number::Uint64s)),
    ],
    one_of: false,
};

static SUMMARY_POINT: Schema = Schema {
    fields: &[
        start_time(),
        time(3),
        count(),
        word(5, "sum", Kind::Double),
        field(6, "quantileValues", "quantile_values", Kind::Messages(&QUANTILE)),
        attributes(7),
        flags(8),
    ],
    one_of: false,
};

static QUANTILE: Schema = Schema {
    fields: &[word(1, "quantile", Kind::Double), word(2, "value", Kind::Double)],
    one_of: false,
};

static EXEMPLAR: Schema = Schema {
    fields: &[
        time(2),
        as_double(3),
        span_id(4),
        trace_id(5),
        as_int(6),
        field(7, "filteredAttributes", "filtered_attributes", Kind::Attributes),
    ],
    one_of: false,
};
