import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  context,
  type Meter,
  metrics,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { statusName } from './errors.js';
import { type CallTrace, channelNames, type RetryTrace } from './rpc/channels.js';
import { parseEndpoint } from './transport/endpoint.js';
import { withMethods } from './util/kinds.js';
import { refuseMore } from './util/methods.js';
import { Description } from './util/options.js';

/** Where spans and metrics are sent. */
export interface InstrumentOptions {
  /** Default: `trace.getTracer('@quiesce/etcd')` of the global provider. */
  readonly tracer?: Tracer | undefined;
  /** Default: `metrics.getMeter('@quiesce/etcd')` of the global provider. */
  readonly meter?: Meter | undefined;
}

const instrumentOptions = new Description<InstrumentOptions>(
  'instrument()',
  {
    tracer: withMethods<Tracer>('an OpenTelemetry tracer', 'startSpan'),
    meter: withMethods<Meter>('an OpenTelemetry meter', 'createHistogram', 'createCounter'),
  },
  {
    hints: { tracerProvider: 'give a tracer of it', meterProvider: 'give a meter of it' },
    example: '{ tracer }',
  },
);

const SCOPE = '@quiesce/etcd';

/**
 * Makes a span for each call of all clients in this thread, and these metrics: `rpc.client.duration` (a histogram in
 * ms, one value for each call) and `etcd.client.retries` (a counter). Attribute names follow OpenTelemetry's
 * conventions for RPC. A span begins when the call is made, as a child of the active span. A stream's span ends when
 * the stream is established. Keys and values are not recorded.
 *
 * It needs the optional peer dependency `@opentelemetry/api`.
 *
 * @returns a function that ends the instrumentation.
 */
export function instrument(options?: InstrumentOptions): () => void;
export function instrument(options: InstrumentOptions = {}, ...more: readonly unknown[]): () => void {
  refuseMore('instrument()', [options], more);
  instrumentOptions.check(options);
  const tracer = options.tracer ?? trace.getTracer(SCOPE);
  const meter = options.meter ?? metrics.getMeter(SCOPE);
  const durations = meter.createHistogram('rpc.client.duration', {
    unit: 'ms',
    description: 'Duration of calls to etcd, retries included',
  });
  const retries = meter.createCounter('etcd.client.retries', {
    description: 'Calls to etcd that were sent again',
  });
  const spans = new WeakMap<CallTrace, Span>();

  const start = (message: unknown): void => {
    const call = message as CallTrace;
    const attributes = methodAttributes(call.method);
    spans.set(
      call,
      tracer.startSpan(call.method.slice(1), { kind: SpanKind.CLIENT, attributes }, context.active()),
    );
  };
  const end = (message: unknown): void => {
    const call = message as CallTrace;
    const attributes = {
      ...methodAttributes(call.method),
      ...(call.code !== undefined && { 'rpc.grpc.status_code': call.code }),
    };
    if (call.kind === 'unary') durations.record(call.durationMs ?? 0, attributes);
    const span = spans.get(call);
    if (span === undefined) return;
    span.setAttributes({
      ...attributes,
      ...endpointAttributes(call.endpoint),
      'etcd.attempts': call.attempts,
    });
    if (call.error !== undefined) {
      const message = call.code === undefined ? String(call.error) : statusName(call.code);
      span.setStatus({ code: SpanStatusCode.ERROR, message });
      if (call.error instanceof Error) {
        // Not the error itself, whose code would be taken for its type.
        const { name, message, stack } = call.error;
        span.recordException({ name, message, ...(stack !== undefined && { stack }) });
      }
    }
    span.end();
  };
  const retry = (message: unknown): void => {
    const { call, method, endpoint, attempts, waitMs, error } = message as RetryTrace;
    retries.add(1, methodAttributes(method));
    const attributes = { ...endpointAttributes(endpoint), 'etcd.attempts': attempts, 'etcd.wait_ms': waitMs };
    if (call !== undefined)
      spans.get(call)?.addEvent('retry', { ...attributes, 'exception.message': String(error) });
  };

  subscribe(channelNames.callStart, start);
  subscribe(channelNames.callEnd, end);
  subscribe(channelNames.retry, retry);
  return () => {
    unsubscribe(channelNames.callStart, start);
    unsubscribe(channelNames.callEnd, end);
    unsubscribe(channelNames.retry, retry);
  };
}

function methodAttributes(name: string): Record<string, string> {
  const [, service = '', method = ''] = name.split('/');
  return { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': method };
}

function endpointAttributes(endpoint: string | undefined): Record<string, string | number> {
  const { host, port, path } = (endpoint === undefined ? undefined : parseEndpoint(endpoint)) ?? {};
  if (path !== undefined) return { 'server.address': path };
  return { ...(host && { 'server.address': host }), ...(port !== undefined && { 'server.port': port }) };
}
