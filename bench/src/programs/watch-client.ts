// @quiesce/etcd under measurement while it watches: prints one JSON line. bench/go/watch.go does the same for Go.
import { parseArgs } from 'node:util';
import { connect, type EtcdClient, op, prefix } from '@quiesce/etcd';
import { manyKey, PUTS_PER_TXN, REPLAY_PREFIX, type WatchMeasurement } from '../watch.js';
import { measureResources } from './resources.js';

const text = { type: 'string' } as const;
const { values } = parseArgs({ options: { endpoint: text, op: text, events: text, startRevision: text } });
const events = Number(values.events);
const etcd = await connect(values.endpoint ?? '');
const resources = measureResources();
const start = performance.now();
const sinceStart = (): number => (performance.now() - start) / 1000;
const readySeconds = values.op === 'watch-many' ? await many(etcd) : await replay(etcd);
const seconds = sinceStart();
const used = resources();
const measurement: WatchMeasurement = {
  client: '@quiesce/etcd',
  events,
  seconds,
  readySeconds,
  ...used,
};
await etcd.close();
console.log(JSON.stringify(measurement));

/** One loop over everything that was written. */
async function replay(etcd: EtcdClient): Promise<number> {
  const watch = etcd.watch(prefix(REPLAY_PREFIX), { startRevision: BigInt(values.startRevision ?? 0) });
  await watch.ready;
  const ready = sinceStart();
  let left = events;
  for await (const event of watch) {
    if (event.type === 'put' && --left === 0) break;
  }
  return ready;
}

/** As many watches as events: each sees one. */
async function many(etcd: EtcdClient): Promise<number> {
  const watches = Array.from({ length: events }, (_, i) => etcd.watch(manyKey(i)));
  await Promise.all(watches.map((watch) => watch.ready));
  const ready = sinceStart();
  const seen = watches.map((watch) => watch[Symbol.asyncIterator]().next());
  for (let i = 0; i < events; i += PUTS_PER_TXN) {
    const puts = Array.from({ length: Math.min(PUTS_PER_TXN, events - i) }, (_, k) =>
      op.put(manyKey(i + k), 'value'),
    );
    await etcd.txn({ success: puts });
  }
  await Promise.all(seen);
  return ready;
}
