"""Scenarios of service maps: spans by the Python SDK's API and the semantic conventions, as instrumentations make them.

    maps.py ENDPOINT [--no-flags]

ENDPOINT is the base address of an OTLP/HTTP server. Every service is a TracerProvider with a resource of its own, and
its spans go out in requests of their own; a context passes from one to the next through a carrier, as it would in
headers, so the SDK knows which parent is remote. With --no-flags the flags that say so are cleared, as in SDKs that do
not know them. Each scenario makes three requests; where something fails it is in the third. Prints as JSON how many
spans there are, and the trace ids of each scenario. The maps that have to come of them are in e2e/testdata/maps.
"""

import argparse
import json
import urllib.request
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

PASS_ON = TraceContextTextMapPropagator()
REQUESTS = 3
LAST = REQUESTS - 1
TOPIC = "order-events"
SCENARIOS = {}


class Services:
    """The services of one scenario, by name, and what they recorded."""

    def __init__(self):
        self.exporters = {}
        self.tracers = {}

    def __call__(self, name):
        if name not in self.tracers:
            resource = Resource.create({"service.name": name, "service.version": "1.4.2"})
            self.exporters[name] = InMemorySpanExporter()
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            provider.add_span_processor(SimpleSpanProcessor(self.exporters[name]))
            self.tracers[name] = provider.get_tracer("tracepipe-e2e", "1")
        return self.tracers[name]

    def spans(self):
        """What each service recorded."""
        return [exporter.get_finished_spans() for exporter in self.exporters.values()]


def scenario(function):
    SCENARIOS[function.__name__.replace("_", "-")] = function
    return function


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("endpoint")
    parser.add_argument("--no-flags", action="store_true")
    args = parser.parse_args()
    report = {"spans": 0, "scenarios": {}}
    for name, make in SCENARIOS.items():
        services = Services()
        make(services)
        traces = set()
        for spans in services.spans():
            send(args.endpoint, spans, args.no_flags)
            report["spans"] += len(spans)
            traces.update(f"{span.context.trace_id:032x}" for span in spans)
        report["scenarios"][name] = sorted(traces)
    print(json.dumps(report))


def send(endpoint, spans, no_flags):
    """As the SDK's exporter encodes them; it has no way to leave the flags out."""
    request = encode_spans(spans)
    for span in (span for of in request.resource_spans for scope in of.scope_spans for span in scope.spans):
        if no_flags:
            span.flags = 0
            for link in span.links:
                link.flags = 0
        else:
            assert span.flags & 0x100, "an SDK that knows the flags"
    post = urllib.request.Request(
        f"{endpoint}/v1/traces",
        data=request.SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    )
    with urllib.request.urlopen(post, timeout=30) as answer:
        assert ExportTraceServiceResponse.FromString(answer.read()).partial_success.rejected_spans == 0


# What instrumentations do. Each yields the carrier of its span's context.


@contextmanager
def spanning(tracer, name, kind, attributes=None, sent=None, links=(), fails=False):
    """A span below the current one, or below what came in the carrier `sent`. The `links` are carriers, too."""
    span = tracer.start_span(
        name,
        context=None if sent is None else PASS_ON.extract(sent, Context()),
        kind=kind,
        attributes=attributes,
        links=[Link(get_current_span(PASS_ON.extract(one, Context())).get_span_context()) for one in links],
    )
    if fails:
        span.set_status(Status(StatusCode.ERROR, "no luck"))
    with use_span(span, end_on_exit=True):
        carrier = {}
        PASS_ON.inject(carrier)
        yield carrier


def served(tracer, sent=None, status=200, path="/orders"):
    attributes = {
        "http.request.method": "POST",
        "http.route": path,
        "url.scheme": "https",
        "url.path": path,
        "server.address": "shop.example",
        "http.response.status_code": status,
    }
    return spanning(tracer, f"POST {path}", SpanKind.SERVER, attributes, sent, fails=status >= 500)


def called(tracer, host, status=200, path="/orders"):
    attributes = {
        "http.request.method": "POST",
        "url.full": f"https://{host}{path}",
        "server.address": host,
        "server.port": 443,
        "http.response.status_code": status,
    }
    return spanning(tracer, "POST", SpanKind.CLIENT, attributes, fails=status >= 400)


def asked(tracer, server, status=200):
    """A call that the other service answers."""
    with called(tracer, "gateway.internal", status) as sent, served(server, sent, status):
        pass


def queried(tracer, database, fails=False):
    attributes = {
        "db.system.name": "postgresql",
        "db.namespace": database,
        "db.operation.name": "INSERT",
        "db.query.text": "INSERT INTO items VALUES ($1)",
        "server.address": "db.example",
        "server.port": 5432,
    }
    return spanning(tracer, "INSERT items", SpanKind.CLIENT, attributes, fails=fails)


def work(manager):
    with manager as carrier:
        return carrier


def aws_message(system, operation, method):
    host = {"aws_sns": "sns", "aws_sqs": "sqs"}[system]
    return {
        "rpc.system": "aws-api",
        "rpc.service": host.upper(),
        "rpc.method": method,
        "messaging.system": system,
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": TOPIC,
        "server.address": f"{host}.us-east-1.amazonaws.com",
        "cloud.region": "us-east-1",
    }


def published(tracer):
    attributes = aws_message("aws_sns", "send", "Publish")
    return work(spanning(tracer, f"send {TOPIC}", SpanKind.PRODUCER, attributes))


def queued(tracer):
    attributes = aws_message("aws_sqs", "send", "SendMessage")
    return work(spanning(tracer, f"send {TOPIC}", SpanKind.PRODUCER, attributes))


def kafka(operation, topic=TOPIC, **more):
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": topic,
        "messaging.client.id": "client-5",
        "server.address": "broker-2.example",
        "server.port": 9092,
        **more,
    }


def produced(tracer, topic=TOPIC):
    return work(spanning(tracer, f"send {topic}", SpanKind.PRODUCER, kafka("send", topic)))


def processed(tracer, system, sent=None, links=(), fails=False, topic=TOPIC):
    if system == "kafka":
        attributes = kafka("process", topic)
    else:
        attributes = {
            "messaging.system": system,
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": topic,
        }
    return spanning(tracer, f"process {topic}", SpanKind.CONSUMER, attributes, sent, links, fails)


def messages(tracer, send_one):
    """One in each of three requests."""
    carriers = []
    for _ in range(REQUESTS):
        with served(tracer):
            carriers.append(send_one(tracer))
    return carriers


# The scenarios.


@scenario
def request_response(service):
    for number in range(REQUESTS):
        status = 500 if number == LAST else 200
        with served(service("shop"), status=status):
            asked(service("shop"), service("orders"), status)


@scenario
def fan_out(service):
    for number in range(REQUESTS):
        with served(service("shop")), spanning(service("shop"), "price basket", SpanKind.INTERNAL):
            asked(service("shop"), service("stock"))
            asked(service("shop"), service("stock"))
            asked(service("shop"), service("prices"))
            asked(service("shop"), service("reviews"), 404 if number == LAST else 200)


@scenario
def self_call(service):
    for _ in range(REQUESTS):
        with served(service("orders")):
            asked(service("orders"), service("orders"))


@scenario
def internal_entry(service):
    for number in range(REQUESTS):
        with served(service("shop")), called(service("shop"), "gateway.internal", path="/jobs") as sent:
            with spanning(service("worker"), "run job", SpanKind.INTERNAL, sent=sent, fails=number == LAST):
                work(queried(service("worker"), "jobs-db"))


@scenario
def sns_child(service):
    for number, sent in enumerate(messages(service("shop"), published)):
        with processed(service("billing"), "aws_sns", sent):
            work(queried(service("billing"), "ledger"))
        work(processed(service("mail"), "aws_sns", sent, fails=number == LAST))


@scenario
def sns_links(service):
    sent = messages(service("shop"), published)
    with processed(service("billing"), "aws_sns", links=sent):
        work(queried(service("billing"), "ledger"))


@scenario
def sqs_child(service):
    for number, sent in enumerate(messages(service("shop"), queued)):
        work(processed(service("billing"), "aws_sqs", sent, links=[sent], fails=number == LAST))


@scenario
def sqs_links(service):
    sent = messages(service("shop"), queued)
    attributes = aws_message("aws_sqs", "receive", "ReceiveMessage")
    with spanning(service("billing"), f"receive {TOPIC}", SpanKind.CLIENT, attributes, links=sent):
        for _ in sent:
            work(processed(service("billing"), "aws_sqs"))


@scenario
def kafka_child(service):
    for number, sent in enumerate(messages(service("shop"), produced)):
        work(processed(service("billing"), "kafka", sent))
        work(processed(service("search"), "kafka", sent, fails=number == LAST))


@scenario
def kafka_links(service):
    sent = messages(service("shop"), produced)
    attributes = kafka("receive", **{"messaging.batch.message_count": len(sent)})
    work(spanning(service("billing"), f"receive {TOPIC}", SpanKind.CONSUMER, attributes, links=sent))


def poll(service, kind):
    sent = messages(service("shop"), produced)
    attributes = kafka("receive", **{"messaging.batch.message_count": len(sent)})
    with spanning(service("billing"), f"receive {TOPIC}", kind, attributes, links=sent):
        for number, one in enumerate(sent):
            with processed(service("billing"), "kafka", links=[one]):
                work(queried(service("billing"), "ledger", fails=number == LAST))


@scenario
def kafka_receive_process(service):
    poll(service, SpanKind.CONSUMER)


@scenario
def kafka_client_receive(service):
    poll(service, SpanKind.CLIENT)


@scenario
def own_topic(service):
    for sent in messages(service("shop"), produced):
        work(processed(service("shop"), "kafka", sent))


@scenario
def producer_root(service):
    for _ in range(REQUESTS):
        work(processed(service("billing"), "kafka", produced(service("meter"))))


def two_topics(service):
    """What was sent to each, in three requests."""
    sent = {"orders": [], "refunds": []}
    for _ in range(REQUESTS):
        with served(service("shop")):
            for topic, carriers in sent.items():
                carriers.append(produced(service("shop"), topic))
    return sent


@scenario
def two_operations(service):
    for topic, carriers in two_topics(service).items():
        for number, sent in enumerate(carriers):
            fails = number == LAST and topic == "refunds"
            work(processed(service("billing"), "kafka", sent, fails=fails, topic=topic))


@scenario
def two_operations_links(service):
    for topic, carriers in two_topics(service).items():
        fails = topic == "refunds"
        work(processed(service("billing"), "kafka", links=carriers, fails=fails, topic=topic))


@scenario
def database(service):
    for number in range(REQUESTS):
        with served(service("shop")):
            work(queried(service("shop"), "shop", fails=number == LAST))
            attributes = {
                "db.system.name": "redis",
                "db.operation.name": "GET",
                "server.address": "cache.example",
                "server.port": 6379,
            }
            work(spanning(service("shop"), "GET", SpanKind.CLIENT, attributes))


@scenario
def database_old(service):
    for number in range(REQUESTS):
        with served(service("shop")):
            attributes = {
                "db.system": "postgresql",
                "db.name": "shop",
                "db.connection_string": "postgresql://db.example:5432/shop",
                "db.statement": "INSERT INTO items VALUES ($1)",
                "net.peer.name": "db.example",
                "net.peer.port": 5432,
            }
            work(spanning(service("shop"), "INSERT items", SpanKind.CLIENT, attributes, fails=number == LAST))
            attributes = {
                "db.system": "redis",
                "db.statement": "GET basket",
                "net.peer.name": "cache.example",
                "net.peer.port": 6379,
            }
            work(spanning(service("shop"), "GET", SpanKind.CLIENT, attributes))


@scenario
def external_host(service):
    for number in range(REQUESTS):
        with served(service("shop")):
            work(called(service("shop"), "payments.example", 503 if number == LAST else 200))
            attributes = {
                "http.method": "POST",
                "http.url": "https://mail.example/send",
                "net.peer.name": "mail.example",
                "http.status_code": 429 if number == LAST else 202,
            }
            work(spanning(service("shop"), "HTTP POST", SpanKind.CLIENT, attributes, fails=number == LAST))


@scenario
def cron(service):
    for number in range(REQUESTS):
        with spanning(service("nightly"), "report", SpanKind.INTERNAL, fails=number == LAST):
            asked(service("nightly"), service("orders"))
            work(queried(service("nightly"), "reports"))


@scenario
def client_root(service):
    for _ in range(REQUESTS):
        asked(service("loader"), service("shop"))
        work(called(service("loader"), "payments.example"))


if __name__ == "__main__":
    main()
