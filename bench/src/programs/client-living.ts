// @quiesce/etcd, of the build that --client names, as a living client of gate and beside: see living.ts.
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { KEY_PREFIX, keyName } from '../cell.js';
import type { Batch, BatchTaken } from '../living.js';
import { lookAtAll } from './look-at-all.js';
import { measureResources } from './resources.js';

const text = { type: 'string' } as const;
const { values } = parseArgs({ options: { client: text, endpoint: text, keys: text, valueBytes: text } });
const { client = '', endpoint = '' } = values;
const { compare, connect, op, prefix } = (await import(
  client === '' ? '@quiesce/etcd' : pathToFileURL(client).href
)) as typeof import('@quiesce/etcd');
const etcd = await connect(endpoint);
const keys = Array.from({ length: Number(values.keys) }, (_, i) => keyName(i));
const value = Buffer.alloc(Number(values.valueBytes), 'v');
const calls = {
  get: (key: string) => etcd.get(key),
  put: (key: string) => etcd.put(key, value),
  range: async () => lookAtAll(await etcd.range(prefix(KEY_PREFIX))),
  txn: (key: string) => etcd.txn({ compare: [compare.version(key, '>', 0)], success: [op.put(key, value)] }),
};

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await take(JSON.parse(line) as Batch)));
}
await etcd.close();

async function take({ op: name, concurrency, ops }: Batch): Promise<BatchTaken> {
  const call = calls[name];
  let begun = 0;
  const worker = async (): Promise<void> => {
    while (begun < ops) await call(keys[begun++ % keys.length] as string);
  };
  const used = measureResources();
  const start = performance.now();
  await Promise.all(Array.from({ length: concurrency }, worker));
  return { seconds: (performance.now() - start) / 1000, cpuSeconds: used().cpuSeconds };
}
