"""An application as it runs in a cluster: traces by the Python SDK, told where to send by the two variables that any
application is told, OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_SERVICE_NAME.

    app.py --traces COUNT [--rate TRACES-PER-SECOND] [--all-fail]

The traces are those of send.py, or with --all-fail each of them fails, so that all have to be kept. Prints as JSON what
it sent; exit status 1 when the SDK could not deliver a batch. On SIGTERM it stops sending, delivers what it has and
prints.
"""

import argparse
import json
import signal
import sys
import time

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from send import FLUSH_EVERY_TRACES, QUEUE_SPANS_MAX, Counting, trace


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--traces", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="0: as fast as they can be made")
    parser.add_argument("--all-fail", action="store_true")
    args = parser.parse_args()
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))

    exporter = Counting(OTLPSpanExporter())
    provider = TracerProvider()
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS_MAX, schedule_delay_millis=200)
    )
    tracer = provider.get_tracer("tracepipe-e2e", "1")
    started = time.monotonic()
    sent = []
    for number in range(args.traces):
        if stopped:
            break
        sent.append(trace(tracer, 0 if args.all_fail else number))
        if args.rate > 0:
            time.sleep(max(0.0, started + len(sent) / args.rate - time.monotonic()))
        elif len(sent) % FLUSH_EVERY_TRACES == 0:
            provider.force_flush()
    provider.force_flush()
    provider.shutdown()

    spans = sum(one["spans"] for one in sent)
    report = {"spans": spans, "exported": exporter.exported, "failed": exporter.failed, "traces": sent}
    print(json.dumps(report), flush=True)
    sys.exit(0 if exporter.failed == 0 and exporter.exported == spans else 1)


if __name__ == "__main__":
    main()
