import { trace } from '@opentelemetry/api';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { connect } from '@quiesce/etcd';
import { instrument } from '@quiesce/etcd/opentelemetry';

// A program has this from its set-up of OpenTelemetry, with an exporter that sends.
const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
trace.setGlobalTracerProvider(provider);

const stop = instrument();
await using etcd = await connect(process.env.ETCD_ENDPOINTS);
await etcd.put('key', 'value');
await etcd.get('key', { revision: 10n ** 15n }).catch(() => {});
stop();

for (const { name, attributes, status } of exporter.getFinishedSpans()) {
  console.log(name, attributes['rpc.grpc.status_code'], attributes['etcd.attempts'], status.message ?? 'OK');
}
