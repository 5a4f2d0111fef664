// @quiesce/etcd, in the build that --client names, as a living client of gate and beside: see living.ts.
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { KEY_PREFIX, keyName } from '../cell.js';
import type { GateOp } from '../gate/floors.js';
import { LIST_PAGE_SIZE, LIST_PREFIX } from '../listed.js';
import type { Batch, BatchTaken } from '../living.js';
import { lookAtAll } from './look-at-all.js';
import { measureResources } from './resources.js';

const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: {
    client: text,
    endpoint: text,
    keys: text,
    valueBytes: text,
    startRevision: text,
    slower: { ...text, default: '0' },
  },
});
const { client = '', endpoint = '' } = values;
const { compare, connect, op, prefix } = (await import(
  client === '' ? '@quiesce/etcd' : pathToFileURL(client).href
)) as typeof import('@quiesce/etcd');
const etcd = await connect(endpoint);
if (etcd.transport !== 'native')
  throw new Error(`the client runs on ${etcd.transport}, not on its native transport`);
const keys = Array.from({ length: Number(values.keys) }, (_, i) => keyName(i));
const value = Buffer.alloc(Number(values.valueBytes), 'v');
const startRevision = BigInt(values.startRevision ?? 0);
const calls: Readonly<Record<GateOp, (key: string) => Promise<unknown>>> = {
  get: (key) => etcd.get(key),
  put: (key) => etcd.put(key, value),
  range: async () => lookAtAll(await etcd.range(prefix(KEY_PREFIX))),
  txn: (key) => etcd.txn({ compare: [compare.version(key, '>', 0)], success: [op.put(key, value)] }),
  list: async () => {
    for await (const _kv of etcd.iterate(prefix(LIST_PREFIX), { pageSize: LIST_PAGE_SIZE }));
  },
  watch: async () => {
    let left = await listed();
    for await (const _event of etcd.watch(prefix(LIST_PREFIX), { startRevision })) if (--left === 0) break;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await take(JSON.parse(line) as Batch)));
}
await etcd.close();

/** How many keys are listed, each of which was put once. */
async function listed(): Promise<number> {
  return Number((await etcd.range(prefix(LIST_PREFIX), { countOnly: true })).count);
}

async function take({ op: name, concurrency, ops }: Batch): Promise<BatchTaken> {
  if (name === 'raw watch') throw new Error('this program has no raw watch');
  const call = calls[name];
  const latencies: number[] = [];
  let begun = 0;
  const worker = async (): Promise<void> => {
    while (begun < ops) await call(keys[begun++ % keys.length] as string);
  };
  const single = async (): Promise<void> => {
    for (let before = performance.now(); begun < ops; ) {
      await call(keys[begun++ % keys.length] as string);
      const now = performance.now();
      latencies.push(now - before);
      before = now;
    }
  };
  const used = measureResources();
  const start = performance.now();
  if (concurrency === 1) await single();
  else await Promise.all(Array.from({ length: concurrency }, worker));
  slowDown(start);
  const seconds = (performance.now() - start) / 1000;
  const { cpuSeconds } = used();
  latencies.sort((a, b) => a - b);
  const micros = (q: number): number =>
    (latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? 0) *
    1000 *
    (1 + Number(values.slower) / 100);
  return { seconds, cpuSeconds, p50Micros: micros(0.5), p99Micros: micros(0.99) };
}

/** Computes for `--slower` percent of the time so far. */
function slowDown(start: number): void {
  const end = performance.now();
  const until = end + ((end - start) * Number(values.slower)) / 100;
  while (performance.now() < until);
}
