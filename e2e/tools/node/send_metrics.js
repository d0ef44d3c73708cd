// A real OpenTelemetry client: records with every instrument of the Node SDK, sends it, prints as JSON what it recorded.
//
//   node send_metrics.js http/json|http/protobuf|grpc ENDPOINT SERVICE [cumulative|delta] [ROUNDS]
//
// ENDPOINT is a base address such as http://127.0.0.1:4318; for http the SDK's path /v1/metrics is added. Each round is
// one export of every instrument. python/send_metrics.py says what the last line holds; this SDK exports no exemplars.
// Exit status 1 when the SDK could not export a batch.
'use strict';

const { AggregationTemporalityPreference } = require('@opentelemetry/exporter-metrics-otlp-http');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const {
  AggregationType,
  DataPointType,
  MeterProvider,
  MetricReader,
  PeriodicExportingMetricReader,
} = require('@opentelemetry/sdk-metrics');

const PACKAGES = {
  'http/json': '@opentelemetry/exporter-metrics-otlp-http',
  'http/protobuf': '@opentelemetry/exporter-metrics-otlp-proto',
  grpc: '@opentelemetry/exporter-metrics-otlp-grpc',
};
// Only what is flushed is exported.
const NEVER_MS = 3_600_000;
// Sums of these are exact in whatever order they are added. One lies on a bound.
const LATENCIES = [0.0625, 0.25, 0.25, 0.375, 7.5];
const BOUNDS = [0.125, 0.25, 0.5, 5];
// Times 16 in each round: the buckets of two rounds need a coarser scale than those of each.
const SIZES = [1.0, 1.5, 3.0, 3.0, 100.0, 0.0];

// Sends nothing: what the SDK has added up since the start.
class Beside extends MetricReader {
  async onForceFlush() {}

  async onShutdown() {}
}

async function main([protocol, endpoint, service, temporality = 'cumulative', rounds = '3']) {
  if (!PACKAGES[protocol] || !endpoint || !service) {
    console.error('usage: node send_metrics.js http/json|http/protobuf|grpc ENDPOINT SERVICE [cumulative|delta] [ROUNDS]');
    return 2;
  }
  const { OTLPMetricExporter } = require(PACKAGES[protocol]);
  const exporter = counting(
    new OTLPMetricExporter({
      url: protocol === 'grpc' ? endpoint : `${endpoint}/v1/metrics`,
      temporalityPreference:
        temporality === 'delta' ? AggregationTemporalityPreference.DELTA : AggregationTemporalityPreference.CUMULATIVE,
    }),
  );
  const beside = new Beside();
  const resource = resourceFromAttributes({
    'service.name': service,
    'service.namespace': 'shop',
    'service.instance.id': 'one',
    'host.name': 'desk',
  });
  const provider = new MeterProvider({
    resource,
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: NEVER_MS }), beside],
    views: [{ instrumentName: 'shop.size', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
  });
  await record(provider, Number(rounds));
  const { resourceMetrics } = await beside.collect();
  const metrics = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics);
  const streams = metrics.flatMap((metric) => metric.dataPoints.map((point) => stream(metric, point)));
  await provider.shutdown();

  const { exported, failed, reason } = exporter.counts;
  console.log(
    JSON.stringify({
      client: 'node',
      points: exported,
      resource: texts(resource.attributes),
      scope: ['tracepipe-e2e', '1'],
      streams,
      exemplars: [],
    }),
  );
  if (failed > 0) {
    console.error(`${exported} points exported, ${failed} failed: ${reason}`);
    return 1;
  }
  return 0;
}

async function record(provider, rounds) {
  const meter = provider.getMeter('tracepipe-e2e', '1');
  let roundNow = 0;
  const orders = meter.createCounter('shop.orders', { unit: '{order}', description: 'orders taken' });
  const waiting = meter.createUpDownCounter('shop.waiting', { unit: '{order}' });
  const latency = meter.createHistogram('shop.latency', { unit: 's', advice: { explicitBucketBoundaries: BOUNDS } });
  const size = meter.createHistogram('shop.size', { unit: 'By' });
  const fill = meter.createGauge('shop.fill', { unit: '%' });
  // What an observable instrument says depends on the round alone: two readers ask.
  meter
    .createObservableCounter('shop.cpu.time', { unit: 's' })
    .addCallback((result) => result.observe(1.5 * (roundNow + 1), { 'cpu.mode': 'user' }));
  meter
    .createObservableUpDownCounter('shop.memory', { unit: 'By' })
    .addCallback((result) => result.observe(4096 - 512 * roundNow, { pool: 'heap' }));
  meter.createObservableGauge('shop.load', { unit: '1' }).addCallback((result) => result.observe(0.25 * roundNow));

  for (let round = 0; round < rounds; round += 1) {
    roundNow = round;
    orders.add(2, { 'shop.tier': 'gold' });
    orders.add(1, { 'shop.tier': 'silver', 'shop.new': true });
    waiting.add(round === 0 ? 3 : -1);
    fill.record(12.5 * round, { 'shop.shelf': 7 });
    LATENCIES.forEach((value) => latency.record(value, { 'http.route': '/api/{id}' }));
    SIZES.forEach((value) => size.record(value * 16 ** round));
    await provider.forceFlush();
    // The next export has to have another time in milliseconds, that of the shutdown too.
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// Passes on to the real exporter and remembers how many data points it delivered.
function counting(inner) {
  const counts = { exported: 0, failed: 0, reason: '' };
  return {
    counts,
    export(metrics, done) {
      const points = metrics.scopeMetrics.flatMap((scope) => scope.metrics.flatMap((metric) => metric.dataPoints));
      inner.export(metrics, (result) => {
        if (result.code === 0) counts.exported += points.length;
        else {
          counts.failed += points.length;
          counts.reason = String(result.error);
        }
        done(result);
      });
    },
    selectAggregationTemporality: (kind) => inner.selectAggregationTemporality(kind),
    selectAggregation: (kind) => inner.selectAggregation(kind),
    forceFlush: () => inner.forceFlush(),
    shutdown: () => inner.shutdown(),
  };
}

function stream(metric, { attributes, value }) {
  const of = { metric: metric.descriptor.name, attributes: texts(attributes) };
  switch (metric.dataPointType) {
    case DataPointType.EXPONENTIAL_HISTOGRAM:
      if (value.negative.bucketCounts.some((count) => count > 0)) throw new Error('no observation was below zero');
      return {
        ...of,
        kind: 'exponential',
        count: value.count,
        sum: value.sum,
        scale: value.scale,
        zero: value.zeroCount,
        offset: value.positive.offset,
        buckets: value.positive.bucketCounts,
      };
    case DataPointType.HISTOGRAM:
      return {
        ...of,
        kind: 'histogram',
        count: value.count,
        sum: value.sum,
        bounds: value.buckets.boundaries,
        buckets: value.buckets.counts,
      };
    case DataPointType.GAUGE:
      return { ...of, kind: 'gauge', value };
    case DataPointType.SUM:
      return { ...of, kind: metric.isMonotonic ? 'counter' : 'up_down', value };
    default:
      throw new Error(`a data point of type ${metric.dataPointType}`);
  }
}

// As Prometheus has them: a label is text.
function texts(attributes) {
  return Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, String(value)]));
}

main(process.argv.slice(2)).then(
  (status) => { process.exitCode = status; },
  (reason) => {
    console.error(reason);
    process.exitCode = 1;
  },
);
