//! `debug` (`logging`): data points in the collector's own log.

use serde_json::{Map, Value as Json, json};
use tracepipe_config::Verbosity;
use tracepipe_metrics::view::{
    self, Attribute, Buckets, Exemplar, ExponentialPoint, HistogramPoint, Kind, Metric, Number, NumberPoint,
    SummaryPoint, Value,
};

use crate::batcher::Batch;
use crate::exporter::debug::Sampling;
use crate::exporter::progress::Progress;
use crate::metrics::MetricsBatch;

/// The exporter.
pub(super) struct DebugMetrics {
    verbosity: Verbosity,
    sampling: Sampling,
}

// === impl DebugMetrics ===

impl DebugMetrics {
    pub(super) fn new(verbosity: Verbosity, sampling: Sampling) -> Self {
        Self { verbosity, sampling }
    }

    /// Writes one batch, unless this second has had enough of them.
    pub(super) fn export(&self, batch: &MetricsBatch, mut progress: Progress<MetricsBatch>) {
        progress.requested();
        if self.sampling.is_due() {
            tracing::info!(
                exporter = progress.exporter_id(),
                resource_metrics = batch.resources,
                metrics = batch.metrics,
                data_points = batch.points,
                bytes = batch.bytes(),
                "metrics"
            );
            match self.verbosity {
                Verbosity::Basic => {}
                Verbosity::Normal => each_metric(batch, |_, metric| {
                    for point in points(metric, false) {
                        tracing::info!(name = ?text(metric.name), kind = kind(metric), %point, "data point");
                    }
                }),
                Verbosity::Detailed => each_metric(batch, |around, metric| {
                    let points = points(metric, true).collect::<Vec<_>>();
                    tracing::info!(
                        resource = %around.resource,
                        scope = %around.scope,
                        name = ?text(metric.name),
                        description = ?text(metric.description),
                        unit = ?text(metric.unit),
                        kind = ?metric.kind,
                        points = %Json::from(points),
                        "metric"
                    );
                }),
            }
        }
        let points = progress.in_flight();
        progress.exported(points);
    }
}

/// What stands around a metric.
struct Around {
    resource: Json,
    scope: Json,
}

fn each_metric(batch: &MetricsBatch, log: impl Fn(&Around, &Metric<'_>)) {
    for resource in batch.pieces().flat_map(|request| view::resources(request)) {
        let mut around = Around {
            resource: attributes(resource.attributes()),
            scope: Json::Null,
        };
        for scope in resource.scopes() {
            around.scope = json!({
                "name": text(scope.name),
                "version": text(scope.version),
                "attributes": attributes(scope.attributes()),
            });
            scope.metrics().for_each(|metric| log(&around, &metric));
        }
    }
}

fn kind(metric: &Metric<'_>) -> &'static str {
    match metric.kind {
        None => "none",
        Some(Kind::Gauge) => "gauge",
        Some(Kind::Sum { .. }) => "sum",
        Some(Kind::Histogram { .. }) => "histogram",
        Some(Kind::ExponentialHistogram { .. }) => "exponential histogram",
        Some(Kind::Summary) => "summary",
    }
}

/// The data points as JSON: a text is the sender's and may hold line ends.
fn points<'a>(metric: &Metric<'a>, is_detailed: bool) -> impl Iterator<Item = Json> + use<'a> {
    let kind = metric.kind;
    metric.points().map(move |point| match kind {
        None => Json::Null,
        Some(Kind::Gauge | Kind::Sum { .. }) => number(&NumberPoint::read(point), is_detailed),
        Some(Kind::Histogram { .. }) => histogram(&HistogramPoint::read(point), is_detailed),
        Some(Kind::ExponentialHistogram { .. }) => exponential(&ExponentialPoint::read(point), is_detailed),
        Some(Kind::Summary) => summary(&SummaryPoint::read(point), is_detailed),
    })
}

fn number(point: &NumberPoint<'_>, is_detailed: bool) -> Json {
    let mut json = json!({
        "attributes": attributes(point.attributes().iter()),
        "value": point.value.map(value_of),
    });
    if is_detailed {
        times(
            &mut json,
            point.start_time_unix_nano,
            point.time_unix_nano,
            point.is_stale,
        );
        json["exemplars"] = point.exemplars().iter().map(|it| exemplar(&it)).collect();
    }
    json
}

fn histogram(point: &HistogramPoint<'_>, is_detailed: bool) -> Json {
    let mut json = json!({
        "attributes": attributes(point.attributes().iter()),
        "count": point.count,
        "sum": point.sum.map(double),
    });
    if is_detailed {
        times(
            &mut json,
            point.start_time_unix_nano,
            point.time_unix_nano,
            point.is_stale,
        );
        json["bucket_counts"] = point.bucket_counts.iter().collect();
        let bounds = point
            .explicit_bounds
            .iter()
            .map(|bits| double(f64::from_bits(bits)));
        json["explicit_bounds"] = bounds.collect();
        json["exemplars"] = point.exemplars().iter().map(|it| exemplar(&it)).collect();
    }
    json
}

fn exponential(point: &ExponentialPoint<'_>, is_detailed: bool) -> Json {
    let mut json = json!({
        "attributes": attributes(point.attributes().iter()),
        "count": point.count,
        "sum": point.sum.map(double),
    });
    if is_detailed {
        times(
            &mut json,
            point.start_time_unix_nano,
            point.time_unix_nano,
            point.is_stale,
        );
        json["scale"] = point.scale.into();
        json["zero_count"] = point.zero_count.into();
        json["zero_threshold"] = double(point.zero_threshold);
        json["positive"] = buckets(&point.positive);
        json["negative"] = buckets(&point.negative);
        json["exemplars"] = point.exemplars().iter().map(|it| exemplar(&it)).collect();
    }
    json
}

fn summary(point: &SummaryPoint<'_>, is_detailed: bool) -> Json {
    let mut json = json!({
        "attributes": attributes(point.attributes().iter()),
        "count": point.count,
        "sum": double(point.sum),
    });
    if is_detailed {
        times(
            &mut json,
            point.start_time_unix_nano,
            point.time_unix_nano,
            point.is_stale,
        );
        let quantiles = point.quantiles();
        json["quantiles"] = quantiles
            .map(|it| json!([double(it.quantile), double(it.value)]))
            .collect();
    }
    json
}

fn times(json: &mut Json, start: u64, time: u64, is_stale: bool) {
    json["start_time_unix_nano"] = start.into();
    json["time_unix_nano"] = time.into();
    if is_stale {
        json["no_recorded_value"] = true.into();
    }
}

fn buckets(buckets: &Buckets<'_>) -> Json {
    json!({ "offset": buckets.offset, "counts": buckets.counts.iter().collect::<Vec<_>>() })
}

fn exemplar(exemplar: &Exemplar<'_>) -> Json {
    json!({
        "time_unix_nano": exemplar.time_unix_nano,
        "value": exemplar.value.map(value_of),
        "trace_id": hex(exemplar.trace_id),
        "span_id": hex(exemplar.span_id),
        "filtered_attributes": attributes(exemplar.filtered_attributes().iter()),
    })
}

fn value_of(number: Number) -> Json {
    match number {
        Number::Int(value) => value.into(),
        Number::Double(value) => double(value),
    }
}

/// JSON has no word for those that are not finite.
fn double(value: f64) -> Json {
    match value.is_finite() {
        true => value.into(),
        false => value.to_string().into(),
    }
}

fn attributes<'a>(attributes: impl Iterator<Item = Attribute<'a>>) -> Json {
    let named = attributes.map(|attribute| (text(attribute.key), attribute_value(attribute.value)));
    Json::Object(named.collect::<Map<_, _>>())
}

fn attribute_value(value: Value<'_>) -> Json {
    match value {
        Value::Empty => Json::Null,
        Value::Text(bytes) => text(bytes).into(),
        Value::Bool(truth) => truth.into(),
        Value::Int(number) => number.into(),
        Value::Double(number) => double(number),
        Value::Array(list) => Value::elements(list).map(attribute_value).collect(),
        Value::Map(map) => attributes(Value::entries(map)),
        Value::Bytes(bytes) => hex(bytes).into(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
