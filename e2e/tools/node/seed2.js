// The second seed's Node program: the same SDK, exporter and auto-instrumentation, with only the address taken from
// the environment. After it stands an application that knows nothing of traces: it serves HTTP and calls itself.
//
//   OTLP_URL=http://127.0.0.1:4317 OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none node seed2.js [REQUESTS]
//
// The last line is JSON: how many requests were made. Each makes a CLIENT and a SERVER span. OTEL_SERVICE_NAME names
// the service. The instrumentation works by require(), so this file must stay CommonJS.
'use strict';

const { NodeSDK } = require('@opentelemetry/sdk-node');
const { getNodeAutoInstrumentations } = require('@opentelemetry/auto-instrumentations-node');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-grpc');

const sdk = new NodeSDK({
  traceExporter: new OTLPTraceExporter({
    url: process.env.OTLP_URL || 'http://otel-collector:4317',
  }),
  instrumentations: [getNodeAutoInstrumentations()],
});
sdk.start();

const http = require('http');

const REQUESTS_DEFAULT = 5;

async function main() {
  const requests = Number(process.argv[2] || REQUESTS_DEFAULT);
  const server = http.createServer((request, response) => {
    response.statusCode = request.url === '/fail' ? 500 : 200;
    response.end('ok');
  });
  await new Promise((ready) => { server.listen(0, '127.0.0.1', ready); });
  const { port } = server.address();
  let failed = 0;
  for (let number = 0; number < requests; number += 1) {
    // The first request fails, so that something is there that must be kept.
    const path = number === 0 ? '/fail' : '/api/orders';
    if ((await get(port, path)) === 500) failed += 1;
  }
  await new Promise((closed) => { server.close(closed); });
  await sdk.shutdown();
  console.log(JSON.stringify({ client: 'node-auto', protocol: 'grpc', requests, failed }));
}

function get(port, path) {
  return new Promise((done, wrong) => {
    http.get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      response.resume();
      response.on('end', () => done(response.statusCode));
    }).on('error', wrong);
  });
}

main().catch((reason) => {
  console.error(reason);
  process.exitCode = 1;
});
