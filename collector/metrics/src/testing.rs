//! What the tests share: requests as SDKs send them, and what an independent decoder makes of what is written.

pub(crate) mod prompb;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tracepipe_config::RemoteWriteSettings;

pub(crate) use crate::fuzzing::settings;
use crate::{RemoteWrite, STALE_NAN_BITS, Translated, TranslatedSeries, UnixMillis, write_request};

/// Our clock at the beginning of each test.
pub(crate) const NOW: i64 = 1_700_000_000_000;

pub(crate) const MINUTE: i64 = 60_000;

/// A translation with a clock, whose output goes by way of the bytes of a request.
pub(crate) struct Bench {
    pub(crate) remote_write: RemoteWrite,
    pub(crate) now: i64,
    /// Of all that was done.
    pub(crate) done: Translated,
}

/// Series by what Prometheus shows of them, each with its samples.
pub(crate) type Shown = BTreeMap<String, Vec<(i64, String)>>;

impl Bench {
    pub(crate) fn new(settings: &RemoteWriteSettings) -> Self {
        Self {
            remote_write: RemoteWrite::new(settings),
            now: NOW,
            done: Translated::default(),
        }
    }

    /// The series of a request that arrives now.
    pub(crate) fn send(&mut self, request: &ExportMetricsServiceRequest) -> Shown {
        show(&decoded(&self.send_raw(request)))
    }

    pub(crate) fn send_raw(&mut self, request: &ExportMetricsServiceRequest) -> Vec<TranslatedSeries> {
        let bytes = request.encode_to_vec();
        let points = tracepipe_otlp::metrics::check(&bytes).unwrap().points;
        let mut out = Vec::new();
        let done = self
            .remote_write
            .translate(&bytes, UnixMillis(self.now), &mut out);
        assert_eq!(
            done.points + done.dropped.total(),
            points,
            "the account of points"
        );
        assert_eq!(done.samples, out.len() as u64, "the account of samples");
        self.done.add(&done);
        out
    }

    /// The series of one metric of a plain service.
    pub(crate) fn send_metric(&mut self, metric: otlp::Metric) -> Shown {
        self.send(&request(service(), vec![metric]))
    }

    pub(crate) fn poll(&mut self) -> Shown {
        let mut out = Vec::new();
        let (done, _) = self.remote_write.poll(UnixMillis(self.now), &mut out);
        assert_eq!(done.samples, out.len() as u64);
        self.done.add(&done);
        show(&decoded(&out))
    }

    pub(crate) fn drain(&mut self) -> Shown {
        let mut out = Vec::new();
        let done = self.remote_write.drain(UnixMillis(self.now), &mut out);
        assert_eq!(done.samples, out.len() as u64);
        self.done.add(&done);
        show(&decoded(&out))
    }

    pub(crate) fn metadata(&mut self) -> Vec<prompb::MetricMetadata> {
        let mut out = Vec::new();
        self.remote_write.poll_metadata(UnixMillis(self.now), &mut out);
        out.iter()
            .flat_map(|request| prompb::WriteRequest::decode(request.as_slice()).unwrap().metadata)
            .collect()
    }
}

/// What a receiver reads.
pub(crate) fn decoded(series: &[TranslatedSeries]) -> Vec<prompb::TimeSeries> {
    let mut sorted = series.to_vec();
    assert_eq!(write_request::sort(&mut sorted), 0, "no series twice at one time");
    let mut bytes = Vec::new();
    write_request::encode(&sorted, &mut bytes);
    assert_eq!(bytes.len(), write_request::encoded_len(&sorted));
    let request = prompb::WriteRequest::decode(bytes.as_slice()).unwrap();
    for series in &request.timeseries {
        let names: Vec<_> = series.labels.iter().map(|label| &label.name).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
        assert!(series.labels.iter().all(|label| !label.value.is_empty()));
        assert!(names.iter().any(|name| *name == "__name__"));
    }
    request.timeseries
}

pub(crate) fn show(series: &[prompb::TimeSeries]) -> Shown {
    let mut shown = Shown::new();
    for series in series {
        let name = series.labels.iter().find(|label| label.name == "__name__");
        let labels: Vec<_> = series
            .labels
            .iter()
            .filter(|label| label.name != "__name__")
            .map(|label| format!("{}={}", label.name, label.value))
            .collect();
        let samples = series
            .samples
            .iter()
            .map(|sample| (sample.timestamp, number(sample.value)));
        let histograms = series
            .histograms
            .iter()
            .map(|histogram| (histogram.timestamp, native(histogram)));
        let name = name.map_or("", |name| &name.value);
        shown
            .entry(format!("{name}{{{}}}", labels.join(",")))
            .or_default()
            .extend(samples.chain(histograms));
    }
    shown
}

fn number(value: f64) -> String {
    if value.to_bits() == STALE_NAN_BITS {
        "stale".to_owned()
    } else {
        value.to_string()
    }
}

/// `schema count sum zeros {index:count}`, the negative buckets marked with `-`.
pub(crate) fn native(histogram: &prompb::Histogram) -> String {
    if histogram.sum.to_bits() == STALE_NAN_BITS {
        return "stale".to_owned();
    }
    let mut buckets = Vec::new();
    for (sign, spans, deltas) in [
        ("-", &histogram.negative_spans, &histogram.negative_deltas),
        ("", &histogram.positive_spans, &histogram.positive_deltas),
    ] {
        for (index, count) in absolute(spans, deltas) {
            buckets.push(format!("{sign}{index}:{count}"));
        }
    }
    format!(
        "schema {} count {} sum {} zeros {} {{{}}}",
        histogram.schema,
        histogram.count_int.unwrap(),
        histogram.sum,
        histogram.zero_count_int.unwrap(),
        buckets.join(" ")
    )
}

/// The populated buckets of one half, by the rules of Prometheus.
pub(crate) fn absolute(spans: &[prompb::BucketSpan], deltas: &[i64]) -> Vec<(i64, i64)> {
    let mut buckets = Vec::new();
    let mut deltas = deltas.iter();
    let (mut index, mut count) = (0_i64, 0_i64);
    for (place, span) in spans.iter().enumerate() {
        assert!(
            place == 0 || span.offset > 2,
            "a gap of {} is filled",
            span.offset
        );
        assert!(span.length > 0);
        index += i64::from(span.offset);
        for _ in 0..span.length {
            count += deltas.next().expect("a delta for each bucket");
            assert!(count >= 0);
            if count > 0 {
                buckets.push((index, count));
            }
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None, "a bucket for each delta");
    buckets
}

// === requests ===

pub(crate) fn request(resource: Vec<KeyValue>, metrics: Vec<otlp::Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![otlp::ResourceMetrics {
            resource: Some(Resource {
                attributes: resource,
                ..Resource::default()
            }),
            scope_metrics: vec![otlp::ScopeMetrics {
                scope: Some(InstrumentationScope {
                    name: "library".to_owned(),
                    version: "1.2".to_owned(),
                    attributes: vec![text("kind", "web"), text("name", "other")],
                    ..InstrumentationScope::default()
                }),
                metrics,
                schema_url: "https://schema".to_owned(),
            }],
            ..otlp::ResourceMetrics::default()
        }],
    }
}

/// `service.name` alone, which is `job="shop"`.
pub(crate) fn service() -> Vec<KeyValue> {
    vec![text("service.name", "shop")]
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

pub(crate) fn metric(name: &str, unit: &str, data: Data) -> otlp::Metric {
    otlp::Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: "what it is".to_owned(),
        data: Some(data),
        ..otlp::Metric::default()
    }
}

pub(crate) const DELTA: i32 = 1;
pub(crate) const CUMULATIVE: i32 = 2;

pub(crate) fn gauge(name: &str, points: Vec<otlp::NumberDataPoint>) -> otlp::Metric {
    metric(name, "", Data::Gauge(otlp::Gauge { data_points: points }))
}

pub(crate) fn sum(
    name: &str,
    temporality: i32,
    is_monotonic: bool,
    points: Vec<otlp::NumberDataPoint>,
) -> otlp::Metric {
    let sum = otlp::Sum {
        data_points: points,
        aggregation_temporality: temporality,
        is_monotonic,
    };
    metric(name, "", Data::Sum(sum))
}

pub(crate) fn histogram(name: &str, temporality: i32, points: Vec<otlp::HistogramDataPoint>) -> otlp::Metric {
    let histogram = otlp::Histogram {
        data_points: points,
        aggregation_temporality: temporality,
    };
    metric(name, "", Data::Histogram(histogram))
}

pub(crate) fn exponential(
    name: &str,
    temporality: i32,
    points: Vec<otlp::ExponentialHistogramDataPoint>,
) -> otlp::Metric {
    let histogram = otlp::ExponentialHistogram {
        data_points: points,
        aggregation_temporality: temporality,
    };
    metric(name, "", Data::ExponentialHistogram(histogram))
}

pub(crate) fn summary(name: &str, points: Vec<otlp::SummaryDataPoint>) -> otlp::Metric {
    metric(name, "", Data::Summary(otlp::Summary { data_points: points }))
}

/// A point of `value` at this time, begun a minute before it.
pub(crate) fn point(time_ms: i64, value: f64) -> otlp::NumberDataPoint {
    otlp::NumberDataPoint {
        time_unix_nano: nanos(time_ms),
        start_time_unix_nano: nanos((time_ms - MINUTE).max(0)),
        value: Some(otlp::number_data_point::Value::AsDouble(value)),
        ..otlp::NumberDataPoint::default()
    }
}

/// A histogram of these bounds and counts; its sum is ten times its count.
pub(crate) fn buckets(time_ms: i64, bounds: &[f64], counts: &[u64]) -> otlp::HistogramDataPoint {
    let count = counts.iter().fold(0_u64, |sum, count| sum.wrapping_add(*count));
    otlp::HistogramDataPoint {
        time_unix_nano: nanos(time_ms),
        start_time_unix_nano: nanos((time_ms - MINUTE).max(0)),
        count,
        sum: Some(10.0 * count as f64),
        explicit_bounds: bounds.to_vec(),
        bucket_counts: counts.to_vec(),
        ..otlp::HistogramDataPoint::default()
    }
}

/// An exponential histogram of these positive counts; its sum is ten times its count.
pub(crate) fn exponents(
    time_ms: i64,
    scale: i32,
    offset: i32,
    counts: &[u64],
) -> otlp::ExponentialHistogramDataPoint {
    let count = counts.iter().fold(0_u64, |sum, count| sum.wrapping_add(*count));
    otlp::ExponentialHistogramDataPoint {
        time_unix_nano: nanos(time_ms),
        start_time_unix_nano: nanos((time_ms - MINUTE).max(0)),
        count,
        sum: Some(10.0 * count as f64),
        scale,
        positive: Some(Buckets {
            offset,
            bucket_counts: counts.to_vec(),
        }),
        ..otlp::ExponentialHistogramDataPoint::default()
    }
}

pub(crate) fn nanos(time_ms: i64) -> u64 {
    u64::try_from(time_ms).unwrap() * 1_000_000
}

/// Series as a test writes them: `name{labels} value@time`, the time in milliseconds since [`NOW`].
pub(crate) fn lines(shown: &Shown) -> Vec<String> {
    shown
        .iter()
        .flat_map(|(series, samples)| {
            samples
                .iter()
                .map(move |(time, value)| format!("{series} {value}@{}", time - NOW))
        })
        .collect()
}

/// A request with a metric of every kind and temporality.
pub(crate) fn every_kind() -> ExportMetricsServiceRequest {
    let exemplar = otlp::Exemplar {
        time_unix_nano: nanos(NOW),
        value: Some(otlp::exemplar::Value::AsDouble(0.5)),
        trace_id: vec![7; 16],
        span_id: vec![7; 8],
        filtered_attributes: vec![text("user.id", "7")],
    };
    let attributes = vec![
        text("http.method", "GET"),
        text("a", "1"),
        attribute("code", Value::IntValue(200)),
    ];
    let number = otlp::NumberDataPoint {
        attributes: attributes.clone(),
        exemplars: vec![exemplar.clone()],
        ..point(NOW, 3.0)
    };
    let explicit = otlp::HistogramDataPoint {
        attributes: attributes.clone(),
        exemplars: vec![exemplar.clone()],
        ..buckets(NOW, &[0.5, 1.0], &[1, 2, 3])
    };
    let exponent = otlp::ExponentialHistogramDataPoint {
        attributes,
        exemplars: vec![exemplar],
        negative: Some(Buckets {
            offset: 3,
            bucket_counts: vec![0; 3],
        }),
        ..exponents(NOW, 9, -2, &[1, 0, 0, 5, 6])
    };
    let quantile = otlp::summary_data_point::ValueAtQuantile {
        quantile: 0.9,
        value: 1.0,
    };
    let quantiles = otlp::SummaryDataPoint {
        time_unix_nano: nanos(NOW),
        quantile_values: vec![quantile],
        ..otlp::SummaryDataPoint::default()
    };
    let resource = vec![
        text("service.name", "shop"),
        text("service.instance.id", "1"),
        text("host.name", "h"),
    ];
    request(
        resource,
        vec![
            gauge("queue.size", vec![number.clone()]),
            sum("requests", CUMULATIVE, true, vec![number.clone()]),
            sum("requests.delta", DELTA, true, vec![number.clone()]),
            sum("in.flight", DELTA, false, vec![number]),
            histogram("latency", CUMULATIVE, vec![explicit.clone()]),
            histogram("latency.delta", DELTA, vec![explicit]),
            exponential("size", CUMULATIVE, vec![exponent.clone()]),
            exponential("size.delta", DELTA, vec![exponent]),
            summary("age", vec![quantiles]),
        ],
    )
}
