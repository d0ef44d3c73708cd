"""A real OpenTelemetry client: sends traces by the Python SDK and prints as JSON what it sent.

    send.py grpc|http ENDPOINT COUNT SERVICE [--compression none|gzip]

ENDPOINT is a base address such as http://127.0.0.1:4317; for http the SDK's path /v1/traces is added.
A trace is a SERVER span with two children (CLIENT, INTERNAL). In every group of ten traces the first fails (error
status on the root and one child, an exception event), the fifth is slow (1.2 s by its own times), the rest are quick.
Exit status 1 when the SDK could not export a batch; what was refused stands on stderr.
"""

import argparse
import json
import sys
import time

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

MS = 1_000_000  # ns
QUICK_MS = 40
SLOW_MS = 1_200
# The SDK drops silently past its queue, so the queue is emptied before it is full.
QUEUE_SPANS_MAX = 4_096
FLUSH_EVERY_TRACES = 500


class Counting(SpanExporter):
    """Passes on to the real exporter and remembers how many spans it could not deliver."""

    def __init__(self, inner):
        self.inner = inner
        self.exported = 0
        self.failed = 0

    def export(self, spans):
        result = self.inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        else:
            self.failed += len(spans)
        return result

    def shutdown(self):
        self.inner.shutdown()

    def force_flush(self, timeout_millis=30_000):
        return self.inner.force_flush(timeout_millis)


def main():
    args = arguments()
    exporter = Counting(otlp_exporter(args))
    provider = TracerProvider(resource=Resource.create({"service.name": args.service, "service.version": "1.4.2"}))
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS_MAX, schedule_delay_millis=200)
    )
    tracer = provider.get_tracer("tracepipe-e2e", "1")

    sent = []
    for number in range(args.count):
        sent.append(trace(tracer, number))
        if (number + 1) % FLUSH_EVERY_TRACES == 0:
            provider.force_flush()
    provider.force_flush()
    provider.shutdown()

    spans = sum(one["spans"] for one in sent)
    report = {
        "client": "python",
        "protocol": args.protocol,
        "service": args.service,
        "spans": spans,
        "exported": exporter.exported,
        "traces": sent,
    }
    print(json.dumps(report))
    if exporter.failed or exporter.exported != spans:
        print(f"{spans} spans made, {exporter.exported} exported, {exporter.failed} failed", file=sys.stderr)
        return 1
    return 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=["grpc", "http"])
    parser.add_argument("endpoint")
    parser.add_argument("count", type=int)
    parser.add_argument("service")
    parser.add_argument("--compression", choices=["none", "gzip"], default="none")
    return parser.parse_args()


def otlp_exporter(args):
    if args.protocol == "grpc":
        from grpc import Compression
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        compression = Compression.Gzip if args.compression == "gzip" else Compression.NoCompression
        return OTLPSpanExporter(endpoint=args.endpoint, insecure=True, compression=compression)
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    compression = Compression.Gzip if args.compression == "gzip" else Compression.NoCompression
    return OTLPSpanExporter(endpoint=f"{args.endpoint}/v1/traces", compression=compression)


def trace(tracer, number):
    """Makes one trace and answers what is to be found of it."""
    error = number % 10 == 0
    slow = number % 10 == 4
    duration_ms = SLOW_MS if slow else QUICK_MS
    end = time.time_ns()
    start = end - duration_ms * MS

    root = tracer.start_span(
        "POST /api/orders",
        kind=SpanKind.SERVER,
        start_time=start,
        attributes={
            "http.request.method": "POST",
            "url.scheme": "https",
            "url.path": "/api/orders",
            "server.address": "shop.example",
            "http.response.status_code": 500 if error else 200,
            "client.address": "192.0.2.17",
            "order.items": [1, 2, 3],
            "order.total": 19.9,
            "order.paid": not error,
        },
    )
    inside = set_span_in_context(root)
    pay = tracer.start_span(
        "POST",
        context=inside,
        kind=SpanKind.CLIENT,
        start_time=start + 5 * MS,
        attributes={
            "http.request.method": "POST",
            "url.full": "https://payment.example/v1/charge",
            "server.address": "payment.example",
            "http.response.status_code": 503 if error else 200,
        },
    )
    if error:
        fail(pay, start + 9 * MS)
    pay.end(end_time=end - 10 * MS)
    store = tracer.start_span(
        "orders.insert",
        context=inside,
        kind=SpanKind.INTERNAL,
        start_time=end - 9 * MS,
        attributes={"order.number": number},
    )
    store.add_event("cache miss", {"cache.key": f"order:{number}"}, timestamp=end - 5 * MS)
    store.end(end_time=end - 1 * MS)
    if error:
        root.set_status(Status(StatusCode.ERROR, "payment failed"))
    root.end(end_time=end)
    trace_id = f"{root.get_span_context().trace_id:032x}"
    return {"trace_id": trace_id, "spans": 3, "error": error, "duration_ms": duration_ms}


def fail(span, at):
    """Records a real exception, so that its type, message and stack trace are what Python makes of them."""
    try:
        raise ConnectionError("payment gateway does not answer")
    except ConnectionError as reason:
        span.record_exception(reason, timestamp=at)
        span.set_status(Status(StatusCode.ERROR, str(reason)))


if __name__ == "__main__":
    sys.exit(main())
