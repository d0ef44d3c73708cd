// A real OpenTelemetry client: sends traces by the Node SDK over OTLP HTTP with JSON and prints as JSON what it sent.
//
//   node send.js ENDPOINT COUNT SERVICE [none|gzip]
//
// ENDPOINT is a base address such as http://127.0.0.1:4318; the path /v1/traces is added. The traces are of the shape
// that python/send.py describes. Exit status 1 when the SDK could not export a batch.
'use strict';

const { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } = require('@opentelemetry/api');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-http');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BatchSpanProcessor, NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

const QUICK_MS = 40;
const SLOW_MS = 1200;
const SPANS_A_TRACE = 3;
// The SDK drops silently past its queue, so the queue is emptied before it is full.
const QUEUE_SPANS_MAX = 4096;
const FLUSH_EVERY_TRACES = 500;

async function main([endpoint, count, service, compression = 'none']) {
  if (!endpoint || !service || !Number.isInteger(Number(count))) {
    console.error('usage: node send.js ENDPOINT COUNT SERVICE [none|gzip]');
    return 2;
  }
  const exporter = counting(new OTLPTraceExporter({ url: `${endpoint}/v1/traces`, compression }));
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': service, 'service.version': '2.0.1' }),
    spanProcessors: [
      new BatchSpanProcessor(exporter, { maxQueueSize: QUEUE_SPANS_MAX, scheduledDelayMillis: 200 }),
    ],
  });
  const tracer = provider.getTracer('tracepipe-e2e', '1');

  const traces = [];
  for (let number = 0; number < Number(count); number += 1) {
    traces.push(makeTrace(tracer, number));
    if ((number + 1) % FLUSH_EVERY_TRACES === 0) await flushed(provider);
  }
  await flushed(provider);
  await provider.shutdown();

  const { exported, failed } = exporter.counts;
  const spans = traces.length * SPANS_A_TRACE;
  console.log(JSON.stringify({ client: 'node', protocol: 'http/json', service, spans, exported, traces }));
  if (failed > 0 || exported !== spans) {
    console.error(`${spans} spans made, ${exported} exported, ${failed} failed: ${exporter.counts.reason}`);
    return 1;
  }
  return 0;
}

// Passes on to the real exporter and remembers how many spans it could not deliver.
function counting(inner) {
  const counts = { exported: 0, failed: 0, reason: '' };
  return {
    counts,
    export(spans, done) {
      inner.export(spans, (result) => {
        if (result.code === 0) counts.exported += spans.length;
        else {
          counts.failed += spans.length;
          counts.reason = String(result.error);
        }
        done(result);
      });
    },
    forceFlush: () => inner.forceFlush(),
    shutdown: () => inner.shutdown(),
  };
}

// A flush rejects when an export failed; the exporter has counted that, and the rest is still to be sent.
async function flushed(provider) {
  try {
    await provider.forceFlush();
  } catch (reason) {
    console.error(String(reason));
  }
}

function makeTrace(tracer, number) {
  const error = number % 10 === 0;
  const slow = number % 10 === 4;
  const durationMs = slow ? SLOW_MS : QUICK_MS;
  const end = Date.now();
  const start = end - durationMs;

  const root = tracer.startSpan(
    'GET /api/catalogue',
    {
      kind: SpanKind.SERVER,
      startTime: start,
      attributes: {
        'http.request.method': 'GET',
        'url.scheme': 'https',
        'url.path': '/api/catalogue',
        'server.address': 'shop.example',
        'http.response.status_code': error ? 500 : 200,
        'catalogue.page': number,
        'catalogue.price': 0.5,
        'catalogue.fresh': true,
        'catalogue.tags': ['a', 'b'],
      },
    },
    ROOT_CONTEXT,
  );
  const inside = trace.setSpan(ROOT_CONTEXT, root);
  const call = tracer.startSpan(
    'GET',
    {
      kind: SpanKind.CLIENT,
      startTime: start + 5,
      attributes: {
        'http.request.method': 'GET',
        'url.full': 'https://stock.example/v1/items',
        'server.address': 'stock.example',
        'http.response.status_code': error ? 503 : 200,
      },
    },
    inside,
  );
  if (error) {
    call.recordException(new TypeError('stock does not answer'), start + 9);
    call.setStatus({ code: SpanStatusCode.ERROR, message: 'stock does not answer' });
  }
  call.end(end - 10);
  const render = tracer.startSpan('render', { kind: SpanKind.INTERNAL, startTime: end - 9 }, inside);
  render.addEvent('cache miss', { 'cache.key': `page:${number}` }, end - 5);
  render.end(end - 1);
  if (error) root.setStatus({ code: SpanStatusCode.ERROR, message: 'stock failed' });
  root.end(end);
  return { trace_id: root.spanContext().traceId, spans: SPANS_A_TRACE, error, duration_ms: durationMs };
}

main(process.argv.slice(2)).then(
  (status) => { process.exitCode = status; },
  (reason) => {
    console.error(reason);
    process.exitCode = 1;
  },
);
