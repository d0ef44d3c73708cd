//! Whatever comes in, the page is well-formed, and every point is accounted for.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{exemplar, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message;
use tracepipe_config::{LabelUnderscores, ResourcePromotion, TranslationStrategy};

use super::build::{NOW, later, settings, text};
use crate::scrape::parser;
use crate::scrape::*;

/// Names that meet: with each other, with endings of samples, and with what is ours.
const NAMES: [&str; 14] = [
    "a",
    "a.b",
    "a_b",
    "a.sum",
    "a_count",
    "a.bucket",
    "a.total",
    "a.total.total",
    "target.info",
    "a{",
    "日本",
    "",
    "_",
    "9",
];

const KEYS: [&str; 16] = [
    "a",
    "a.b",
    "a_b",
    "a-b",
    "le",
    "exported_le",
    "quantile",
    "job",
    "instance",
    "__name__",
    "__x__",
    "key__x__",
    "____",
    "",
    "_x",
    "otel_scope_name",
];

fn key_value() -> impl Strategy<Value = KeyValue> {
    let value = prop_oneof![
        select(vec!["", "x", "y", "\"\\\n", "é"]).prop_map(|text| Value::StringValue(text.to_owned())),
        any::<i64>().prop_map(Value::IntValue),
        any::<f64>().prop_map(Value::DoubleValue),
        any::<bool>().prop_map(Value::BoolValue),
        vec(any::<u8>(), 0..3).prop_map(Value::BytesValue),
        Just(Value::ArrayValue(ArrayValue {
            values: vec![AnyValue::default()],
        })),
    ];
    let key = prop_oneof![4 => select(KEYS.to_vec()).prop_map(str::to_owned), 1 => ".{0,3}"];
    (key, proptest::option::weighted(0.9, value)).prop_map(|(key, value)| KeyValue {
        key,
        value: Some(AnyValue { value }),
        ..KeyValue::default()
    })
}

fn key_values() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(key_value(), 0..4)
}

/// Times around now, odd ones too.
fn time() -> impl Strategy<Value = u64> {
    let now = NOW.0.cast_unsigned() * 1_000_000;
    prop_oneof![
        8 => (0_u64..5).prop_map(move |seconds| now + seconds * 1_000_000_000),
        1 => Just(0),
        1 => any::<u64>(),
    ]
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        select(vec![
            0.0,
            -0.0,
            1.0,
            0.5,
            1e6,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY
        ]),
        any::<f64>()
    ]
}

fn flags() -> impl Strategy<Value = u32> {
    prop_oneof![6 => Just(0_u32), 1 => Just(1_u32)]
}

fn exemplars() -> impl Strategy<Value = Vec<otlp::Exemplar>> {
    let id = |length: usize| {
        prop_oneof![
            Just(vec![0; length]),
            Just(vec![7; length]),
            Just(Vec::new()),
            Just(vec![1; 3])
        ]
    };
    let one = (time(), double(), id(16), id(8)).prop_map(|(time_unix_nano, value, trace_id, span_id)| {
        otlp::Exemplar {
            time_unix_nano,
            value: Some(exemplar::Value::AsDouble(value)),
            trace_id,
            span_id,
            ..otlp::Exemplar::default()
        }
    });
    vec(one, 0..3)
}

fn numbers() -> impl Strategy<Value = Vec<otlp::NumberDataPoint>> {
    let value = proptest::option::weighted(
        0.9,
        prop_oneof![
            double().prop_map(number_data_point::Value::AsDouble),
            any::<i64>().prop_map(number_data_point::Value::AsInt)
        ],
    );
    let point = (key_values(), time(), time(), value, flags(), exemplars()).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, value, flags, exemplars)| otlp::NumberDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            exemplars,
            flags,
            value,
        },
    );
    vec(point, 0..4)
}

fn histogram_point() -> impl Strategy<Value = otlp::HistogramDataPoint> {
    let buckets = prop_oneof![
        4 => (0_usize..4, vec(0_u64..5, 4)).prop_map(|(bounds, counts)| {
            let rising = (0..bounds).map(|bound| f64::from(u32::try_from(bound).unwrap_or(0))).collect();
            (rising, counts[..=bounds].to_vec())
        }),
        1 => (vec(double(), 0..3), vec(any::<u64>(), 0..4)),
    ];
    let times = (time(), time());
    let more = (proptest::option::of(double()), 0_u64..3, flags(), exemplars());
    (key_values(), times, buckets, more).prop_map(
        |(
            attributes,
            (start_time_unix_nano, time_unix_nano),
            (explicit_bounds, bucket_counts),
            (sum, more, flags, exemplars),
        )| {
            let total = bucket_counts
                .iter()
                .fold(0_u64, |total, count| total.wrapping_add(*count));
            otlp::HistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                count: total.wrapping_add(more),
                sum,
                bucket_counts,
                explicit_bounds,
                exemplars,
                flags,
                min: None,
                max: None,
            }
        },
    )
}

fn exponential_point() -> impl Strategy<Value = otlp::ExponentialHistogramDataPoint> {
    (
        key_values(),
        time(),
        any::<u64>(),
        proptest::option::of(double()),
        -5_i32..30,
        flags(),
        exemplars(),
    )
        .prop_map(
            |(attributes, time_unix_nano, count, sum, scale, flags, exemplars)| {
                otlp::ExponentialHistogramDataPoint {
                    attributes,
                    time_unix_nano,
                    count,
                    sum,
                    scale,
                    flags,
                    exemplars,
                    ..otlp::ExponentialHistogramDataPoint::default()
                }
            },
        )
}

fn summary_point() -> impl Strategy<Value = otlp::SummaryDataPoint> {
    let quantile = (double(), double())
        .prop_map(|(quantile, value)| otlp::summary_data_point::ValueAtQuantile { quantile, value });
    (
        key_values(),
        time(),
        any::<u64>(),
        double(),
        vec(quantile, 0..4),
        flags(),
    )
        .prop_map(
            |(attributes, time_unix_nano, count, sum, quantile_values, flags)| otlp::SummaryDataPoint {
                attributes,
                time_unix_nano,
                count,
                sum,
                quantile_values,
                flags,
                ..otlp::SummaryDataPoint::default()
            },
        )
}

fn metric() -> impl Strategy<Value = otlp::Metric> {
    let temporality = || prop_oneof![1 => Just(0), 4 => Just(1), 4 => Just(2)];
    let data = prop_oneof![
        numbers().prop_map(|data_points| Data::Gauge(otlp::Gauge { data_points })),
        (numbers(), temporality(), any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| {
                Data::Sum(otlp::Sum {
                    data_points,
                    aggregation_temporality,
                    is_monotonic,
                })
            }
        ),
        (vec(histogram_point(), 0..4), temporality()).prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(otlp::Histogram {
                data_points,
                aggregation_temporality,
            })
        }),
        (vec(exponential_point(), 0..3), temporality()).prop_map(|(data_points, aggregation_temporality)| {
            Data::ExponentialHistogram(otlp::ExponentialHistogram {
                data_points,
                aggregation_temporality,
            })
        }),
        vec(summary_point(), 0..3).prop_map(|data_points| Data::Summary(otlp::Summary { data_points })),
    ];
    let units = select(vec!["", "1", "s", "By/s", "total", "sum"]);
    let help = select(vec!["", "Help.", "\"\\\n"]);
    (
        select(NAMES.to_vec()),
        units,
        help,
        proptest::option::weighted(0.95, data),
    )
        .prop_map(|(name, unit, description, data)| otlp::Metric {
            name: name.to_owned(),
            unit: unit.to_owned(),
            description: description.to_owned(),
            data,
            ..otlp::Metric::default()
        })
}

fn request() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let scope = (select(vec!["", "lib"]), key_values(), vec(metric(), 0..5)).prop_map(
        |(name, attributes, metrics)| otlp::ScopeMetrics {
            scope: Some(InstrumentationScope {
                name: name.to_owned(),
                attributes,
                ..InstrumentationScope::default()
            }),
            metrics,
            schema_url: String::new(),
        },
    );
    let service = select(vec![
        "service.name",
        "service.namespace",
        "service.instance.id",
        "host.name",
        "host_name",
    ]);
    let attribute = (service, key_value()).prop_map(|(key, attribute)| KeyValue {
        key: key.to_owned(),
        ..attribute
    });
    let resource = (vec(attribute, 0..4), vec(scope, 0..3)).prop_map(|(attributes, scope_metrics)| {
        otlp::ResourceMetrics {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_metrics,
            schema_url: String::new(),
        }
    });
    vec(resource, 0..3).prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}

fn registries() -> impl Strategy<Value = Registry> {
    let translation = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let more = (
        any::<bool>(),
        any::<bool>(),
        select(vec![3_u64, 20, 1000]),
        1_u64..4,
    );
    (translation, more).prop_map(
        |((suffixes, collapse, promote, scope_info), (send_timestamps, constant, max_series, expiration))| {
            let mut settings = settings();
            if !suffixes {
                settings.translation.strategy = TranslationStrategy::UnderscoreEscapingWithoutSuffixes;
            }
            if !collapse {
                settings.translation.label_underscores = LabelUnderscores::Preserve;
            }
            if promote {
                settings.translation.promote = ResourcePromotion::All {
                    exclude_service_attributes: false,
                };
            }
            if constant {
                settings.const_labels = vec![("a".to_owned(), "const".to_owned())];
            }
            settings.translation.scope_info = scope_info;
            settings.send_timestamps = send_timestamps;
            settings.max_series = max_series;
            settings.metric_expiration = std::time::Duration::from_secs(expiration);
            Registry::new(&settings)
        },
    )
}

/// Points as the receiver counts them.
fn points(request: &[u8]) -> u64 {
    let scopes = view::resources(request).flat_map(|resource| resource.scopes());
    let metrics = scopes.flat_map(|scope| scope.metrics());
    metrics
        .filter(|metric| metric.kind.is_some())
        .map(|metric| metric.points().count() as u64)
        .sum()
}

fn check(registry: &mut Registry, requests: &[Vec<u8>]) -> Result<(), TestCaseError> {
    for (second, request) in (0_i64..).zip(requests) {
        let now = later(second);
        let done = registry.apply(request, now);
        prop_assert_eq!(done.points + done.dropped.total(), points(request));
        for format in [Format::Text, Format::OpenMetrics] {
            let page = text(registry, format, now);
            if let Err(fault) = parser::parse(&page, format) {
                return Err(TestCaseError::fail(format!("{fault}\n{page}")));
            }
            let mut pieces = Vec::new();
            let mut page_in_pieces = Page::new(format);
            while registry.write_some(&mut page_in_pieces, now, 100, &mut pieces) {}
            prop_assert_eq!(pieces, page.into_bytes());
        }
        registry.expire(now);
        prop_assert!(registry.held().series <= registry.series_max);
        let bytes: usize = registry.series.iter().map(|(_, series)| series.bytes()).sum();
        prop_assert!(registry.held().bytes >= bytes);
    }
    registry.expire_at = Some(NOW);
    registry.expire(later(1_000_000));
    prop_assert_eq!(
        (
            registry.held().series,
            registry.held().families,
            registry.held().bytes
        ),
        (0, 0, 0)
    );
    Ok(())
}

proptest! {
    #[test]
    fn the_page_is_well_formed_and_every_point_accounted_for(
        mut registry in registries(),
        requests in vec(request(), 1..6),
    ) {
        let requests: Vec<_> = requests.iter().map(Message::encode_to_vec).collect();
        check(&mut registry, &requests)?;
    }

    #[test]
    fn broken_bytes_make_well_formed_pages_too(
        mut registry in registries(),
        requests in vec(request(), 1..4),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let requests: Vec<_> = requests
            .iter()
            .map(|request| {
                let mut bytes = request.encode_to_vec();
                for (at, byte) in &changes {
                    if !bytes.is_empty() {
                        let at = at.index(bytes.len());
                        bytes[at] = *byte;
                    }
                }
                bytes
            })
            .collect();
        check(&mut registry, &requests)?;
    }

    #[test]
    fn any_bytes_make_well_formed_pages(mut registry in registries(), requests in vec(vec(any::<u8>(), 0..200), 1..4)) {
        check(&mut registry, &requests)?;
    }
}
