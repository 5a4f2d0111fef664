// What can be observed of a client: diagnostics channels, OpenTelemetry, the debug log.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { test } from 'node:test';
import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { type EtcdServer, startEtcd } from '@quiesce/test-services';
import {
  type CallTrace,
  type ConnectionEvent,
  channelNames,
  EtcdError,
  type RetryTrace,
  StatusCode,
} from '../src/index.js';
import { instrument } from '../src/opentelemetry.js';
import { overEachTransport, withServer } from './support/clients.js';
import { eventually } from './support/eventually.js';
import { program } from './support/program.js';

/** What a channel reports while `body` runs. */
async function listen<T>(name: string, body: () => Promise<unknown>): Promise<T[]> {
  const messages: T[] = [];
  const listener = (message: unknown): void => {
    messages.push(message as T);
  };
  subscribe(name, listener);
  try {
    await body();
  } finally {
    unsubscribe(name, listener);
  }
  return messages;
}

let server: EtcdServer;
withServer((started) => {
  server = started;
});

overEachTransport('observability', (connect) => {
  test('diagnostics channels tell each call, how it ended and where it went', async () => {
    await using etcd = await connect(server.endpoint);
    const [ok] = await listen<CallTrace>(channelNames.callEnd, () => etcd.put('k', 'v'));
    assert.equal(ok?.method, '/etcdserverpb.KV/Put');
    assert.equal(ok?.endpoint, server.endpoint);
    assert.equal(ok?.code, StatusCode.OK);
    assert.equal(ok?.attempts, 1);
    assert.ok((ok?.durationMs ?? -1) > 0);
    const [failed] = await listen<CallTrace>(channelNames.callEnd, () =>
      etcd.get('k', { revision: 9_999 }).catch(() => {}),
    );
    assert.equal(failed?.code, StatusCode.OUT_OF_RANGE);
    assert.ok(failed?.error instanceof EtcdError);
    const [stream] = await listen<CallTrace>(channelNames.callEnd, async () => {
      const watch = etcd.watch('k');
      await watch.ready;
      watch.close();
    });
    assert.equal(stream?.kind, 'stream');
  });

  test('diagnostics channels tell retries and connection states', async () => {
    await using own = await startEtcd();
    await using etcd = await connect({ endpoints: own.endpoint, retry: { maxAttempts: 3, backoffMs: 10 } });
    own.kill();
    await own.exited;
    let retries: RetryTrace[] = [];
    const states = await listen<ConnectionEvent>(channelNames.connection, async () => {
      retries = await listen<RetryTrace>(channelNames.retry, () => assert.rejects(etcd.get('k')));
    });
    assert.deepEqual(
      retries.map(({ attempts }) => attempts),
      [1, 2],
    );
    assert.equal(states[0]?.state, 'failed');
    assert.equal(states[0]?.endpoint, own.endpoint);
  });

  test('OpenTelemetry gets a span for each call, under the active one, and figures', async () => {
    const spans = new InMemorySpanExporter();
    const tracers = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
    const figures = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter: figures, exportIntervalMillis: 60_000 });
    const meters = new MeterProvider({ readers: [reader] });
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const tracer = tracers.getTracer('test');
    const stop = instrument({ tracer, meter: meters.getMeter('test') });
    try {
      await using etcd = await connect(server.endpoint);
      const parent = tracer.startSpan('parent');
      await context.with(trace.setSpan(context.active(), parent), async () => {
        await etcd.put('k', 'secret-value');
        await assert.rejects(etcd.get('k', { revision: 9_999 }));
        // Nobody wants the stream any more before the server has answered.
        etcd.watch('k').close();
      });
      parent.end();
      await eventually('the stream has ended', () => spans.getFinishedSpans().length === 4);
      const [put, get] = spans.getFinishedSpans();
      const watch = spans.getFinishedSpans().find(({ name }) => name === 'etcdserverpb.Watch/Watch');
      assert.deepEqual(watch?.status, { code: SpanStatusCode.UNSET });
      assert.equal(watch.attributes['rpc.grpc.status_code'], 1);
      assert.deepEqual(watch.events, []);
      assert.equal(get?.events[0]?.attributes?.['exception.type'], 'EtcdError');
      assert.equal(put?.name, 'etcdserverpb.KV/Put');
      assert.equal(put?.parentSpanContext?.spanId, parent.spanContext().spanId);
      assert.equal(put?.attributes['rpc.grpc.status_code'], 0);
      assert.equal(put?.attributes['server.port'], server.port);
      assert.equal(get?.status.code, SpanStatusCode.ERROR);
      assert.equal(get?.status.message, 'OUT_OF_RANGE');
      assert.doesNotMatch(JSON.stringify(put?.attributes), /secret-value/);
      await reader.forceFlush();
      const named = figures
        .getMetrics()[0]
        ?.scopeMetrics[0]?.metrics.map(({ descriptor }) => descriptor.name);
      assert.ok(named?.includes('rpc.client.duration'), String(named));
      stop();
      spans.reset();
      await etcd.get('k');
      assert.equal(spans.getFinishedSpans().length, 0, 'nothing after it was ended');
    } finally {
      stop();
      context.disable();
      await tracers.shutdown();
      await meters.shutdown();
    }
  });

  test('NODE_DEBUG=quiesce-etcd writes calls to stderr, and no values', async () => {
    await using etcd = await connect(server.endpoint);
    const file = program(`
      const { connect } = await import(${JSON.stringify(new URL('../src/index.js', import.meta.url).href)});
      const etcd = await connect({ endpoints: '${server.endpoint}', transport: '${etcd.transport}' });
      await etcd.put('k', 'secret-value');
      await etcd.close();`);
    const run = (env: NodeJS.ProcessEnv): string => {
      const { status, stderr } = spawnSync(process.execPath, [file], {
        env: { ...process.env, ...env },
        encoding: 'utf8',
        timeout: 240_000,
      });
      assert.equal(status, 0, stderr);
      return stderr;
    };
    const log = run({ NODE_DEBUG: 'quiesce-etcd' });
    assert.match(
      log,
      /QUIESCE-ETCD \d+: unary \/etcdserverpb\.KV\/Put http:\/\/127\.0\.0\.1:\d+: OK, [\d.]+ ms/,
    );
    assert.doesNotMatch(log, /secret-value/);
    assert.equal(run({ NODE_DEBUG: '' }), '');
  });
});
