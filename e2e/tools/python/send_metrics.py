"""A real OpenTelemetry client: records with every instrument of the Python SDK, sends it, prints as JSON what it recorded.

    send_metrics.py grpc|http ENDPOINT SERVICE [--temporality cumulative|delta] [--rounds N]

ENDPOINT is a base address such as http://127.0.0.1:4317; for http the SDK's path /v1/metrics is added. Each round is one
export of every instrument. The last line is

    {"client", "points", "resource": {KEY: TEXT}, "scope": [NAME, VERSION], "streams": [...], "exemplars": [...]}

points: data points that were exported. streams: what the SDK itself has added up since the start, read by a second reader
that sends nothing: {"metric", "attributes", "kind"} and of a counter, up_down or gauge "value"; of a histogram "count",
"sum", "bounds", "buckets"; of an exponential one "count", "sum", "scale", "zero", "offset", "buckets". exemplars: those
that were exported.
Exit status 1 when the SDK could not export a batch; what was refused stands on stderr.
"""

import argparse
import json
import sys
import time

from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    ObservableCounter,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    Gauge,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.export import Histogram as ExplicitHistogram
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

# Only what is flushed is exported.
NEVER_MS = 3_600_000
# Sums of these are exact in whatever order they are added. One lies on a bound.
LATENCIES = [0.0625, 0.25, 0.25, 0.375, 7.5]
BOUNDS = [0.125, 0.25, 0.5, 5.0]
# Times 16 in each round: the buckets of two rounds need a coarser scale than those of each.
SIZES = [1.0, 1.5, 3.0, 3.0, 100.0, 0.0]


class Counting(MetricExporter):
    """Passes on to the real exporter and remembers what it delivered."""

    def __init__(self, inner):
        super().__init__(inner._preferred_temporality, inner._preferred_aggregation)
        self.inner = inner
        self.exported = 0
        self.failed = 0
        self.exemplars = []

    def export(self, metrics_data, timeout_millis=10_000, **kwargs):
        points = [(metric, point) for metric in metrics_of(metrics_data) for point in metric.data.data_points]
        result = self.inner.export(metrics_data, timeout_millis=timeout_millis, **kwargs)
        if result is MetricExportResult.SUCCESS:
            self.exported += len(points)
            self.exemplars += [exemplar(metric, point, one) for metric, point in points for one in point.exemplars]
        else:
            self.failed += len(points)
        return result

    def force_flush(self, timeout_millis=10_000):
        return self.inner.force_flush(timeout_millis)

    def shutdown(self, timeout_millis=30_000, **kwargs):
        self.inner.shutdown(timeout_millis=timeout_millis, **kwargs)


def main():
    args = arguments()
    exporter = Counting(otlp_exporter(args))
    beside = InMemoryMetricReader()
    resource = Resource.create(
        {"service.name": args.service, "service.namespace": "shop", "service.instance.id": "one", "host.name": "desk"}
    )
    provider = MeterProvider(
        metric_readers=[PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER_MS), beside],
        resource=resource,
        views=[View(instrument_name="shop.size", aggregation=ExponentialBucketHistogramAggregation())],
    )
    record(provider, args.rounds)
    streams = [stream(metric, point) for metric in metrics_of(beside.get_metrics_data()) for point in metric.data.data_points]
    provider.shutdown()

    report = {
        "client": "python",
        "points": exporter.exported,
        "resource": {key: str(value) for key, value in resource.attributes.items()},
        "scope": ["tracepipe-e2e", "1"],
        "streams": streams,
        "exemplars": exporter.exemplars,
    }
    print(json.dumps(report))
    if exporter.failed:
        print(f"{exporter.exported} points exported, {exporter.failed} failed", file=sys.stderr)
        return 1
    return 0


def record(provider, rounds):
    meter = provider.get_meter("tracepipe-e2e", "1")
    tracer = TracerProvider().get_tracer("tracepipe-e2e")
    round_now = 0

    orders = meter.create_counter("shop.orders", unit="{order}", description="orders taken")
    waiting = meter.create_up_down_counter("shop.waiting", unit="{order}")
    latency = meter.create_histogram("shop.latency", unit="s", explicit_bucket_boundaries_advisory=BOUNDS)
    size = meter.create_histogram("shop.size", unit="By")
    fill = meter.create_gauge("shop.fill", unit="%")
    # What an observable instrument says depends on the round alone: two readers ask.
    meter.create_observable_counter(
        "shop.cpu.time", callbacks=[lambda _: [Observation(1.5 * (round_now + 1), {"cpu.mode": "user"})]], unit="s"
    )
    meter.create_observable_up_down_counter(
        "shop.memory", callbacks=[lambda _: [Observation(4096 - 512 * round_now, {"pool": "heap"})]], unit="By"
    )
    meter.create_observable_gauge("shop.load", callbacks=[lambda _: [Observation(0.25 * round_now)]], unit="1")

    for number in range(rounds):
        round_now = number
        with tracer.start_as_current_span("order"):
            orders.add(2, {"shop.tier": "gold"})
            orders.add(1, {"shop.tier": "silver", "shop.new": True})
            waiting.add(3 if number == 0 else -1)
            fill.set(12.5 * number, {"shop.shelf": 7})
            for value in LATENCIES:
                latency.record(value, {"http.route": "/api/{id}"})
            for value in SIZES:
                size.record(value * 16**number)
        provider.force_flush()
        # The next export has to have another time in milliseconds, that of the shutdown too.
        time.sleep(0.02)


def metrics_of(data):
    return [metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics]


def stream(metric, point):
    of = {"metric": metric.name, "attributes": texts(point.attributes)}
    if isinstance(metric.data, ExponentialHistogram):
        if any(point.negative.bucket_counts):
            raise ValueError("no observation was below zero")
        return of | {
            "kind": "exponential",
            "count": point.count,
            "sum": point.sum,
            "scale": point.scale,
            "zero": point.zero_count,
            "offset": point.positive.offset,
            "buckets": list(point.positive.bucket_counts),
        }
    if isinstance(metric.data, ExplicitHistogram):
        return of | {
            "kind": "histogram",
            "count": point.count,
            "sum": point.sum,
            "bounds": list(point.explicit_bounds),
            "buckets": list(point.bucket_counts),
        }
    if isinstance(metric.data, Gauge):
        return of | {"kind": "gauge", "value": point.value}
    return of | {"kind": "counter" if metric.data.is_monotonic else "up_down", "value": point.value}


def exemplar(metric, point, one):
    return {
        "metric": metric.name,
        "attributes": texts(point.attributes),
        "value": one.value,
        "trace_id": format(one.trace_id, "032x"),
        "span_id": format(one.span_id, "016x"),
    }


def texts(attributes):
    """As Prometheus has them: a label is text."""
    return {key: json.dumps(value) if isinstance(value, bool) else str(value) for key, value in attributes.items()}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=["grpc", "http"])
    parser.add_argument("endpoint")
    parser.add_argument("service")
    parser.add_argument("--temporality", choices=["cumulative", "delta"], default="cumulative")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def otlp_exporter(args):
    kinds = [Counter, Histogram, ObservableCounter, UpDownCounter, ObservableUpDownCounter]
    # As OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta: sums that go up and down stay cumulative.
    delta = [Counter, Histogram, ObservableCounter] if args.temporality == "delta" else []
    temporality = {
        kind: AggregationTemporality.DELTA if kind in delta else AggregationTemporality.CUMULATIVE for kind in kinds
    }
    if args.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

        return OTLPMetricExporter(endpoint=args.endpoint, insecure=True, preferred_temporality=temporality)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(endpoint=f"{args.endpoint}/v1/metrics", preferred_temporality=temporality)


if __name__ == "__main__":
    sys.exit(main())
