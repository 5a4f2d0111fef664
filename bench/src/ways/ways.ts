// ways/ compares the ways to read a range of 1,000 keys with this client, by CPU time.
import { connect, op } from '@quiesce/etcd';
import { median, startEtcd } from '@quiesce/test-services';
import { keyCount, keyName, type Measurement, type Workload } from '../cell.js';
import { isAvailable, measureClient, SUBJECT, waysCommand } from '../clients.js';
import { writeJson } from '../report.js';
import { figureTable } from '../table.js';
import type { Way } from './way.js';

/** Which ways, and how thoroughly. */
export interface WaysOptions {
  readonly concurrency: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly ways: readonly Way[];
  readonly json?: string;
}

/** Until V8 has compiled what is called often. */
const WARMUP_SECONDS = 1.5;
const PUTS_PER_TXN = 100;
const GO = 'clientv3';

export async function benchWays({ concurrency, seconds, rounds, ways, json }: WaysOptions): Promise<number> {
  // Without syncing to disk: the keys are written only to be read.
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  const valueBytes = await writeJsonKeys(server.endpoint);
  const workload: Workload = {
    ...{ endpoint: server.endpoint, op: 'range', concurrency, valueBytes, connections: 1 },
    ...{ seconds, warmup: WARMUP_SECONDS, keys: keyCount(valueBytes) },
  };
  const taken = new Map<string, Measurement[]>();
  const take = (name: string, measured: Measurement): void => {
    taken.set(name, [...(taken.get(name) ?? []), measured]);
  };
  for (let round = 0; round < rounds; round++) {
    for (const way of ways) take(way, await measureClient(SUBJECT, workload, waysCommand(way, workload)));
    if (isAvailable(GO)) take(GO, await measureClient(GO, workload));
  }
  const cpuMicros = (of: readonly Measurement[]): number =>
    median(of.map(({ cpuSeconds, ops }) => (cpuSeconds / ops) * 1e6));
  const table = figureTable(['way', 'ranges/s', 'CPU µs/range', "times Go's", 'MiB']);
  const go = taken.get(GO);
  for (const [way, measured] of taken) {
    table.push([
      way,
      median(measured.map(({ ops, seconds }) => ops / seconds)).toFixed(0),
      cpuMicros(measured).toFixed(0),
      go === undefined || way === GO ? '' : (cpuMicros(measured) / cpuMicros(go)).toFixed(2),
      median(measured.map(({ maxRssMiB }) => maxRssMiB)).toFixed(0),
    ]);
  }
  console.log(
    `\nranges of ${workload.keys.toLocaleString('en')} keys, ${concurrency} in flight: medians of ${rounds}\n${table.toString()}`,
  );
  writeJson(json, { workload, taken: Object.fromEntries(taken) });
  return 0;
}

/** Writes the keys, with values of JSON; returns the length of one. */
async function writeJsonKeys(endpoint: string): Promise<number> {
  await using etcd = await connect(endpoint);
  const textOf = (id: number): string =>
    JSON.stringify({ id, name: `name ${id}`, tags: ['a', 'b'], on: true });
  const { length } = textOf(0);
  for (let from = 0; from < keyCount(length); from += PUTS_PER_TXN) {
    const ids = Array.from({ length: Math.min(PUTS_PER_TXN, keyCount(length) - from) }, (_, i) => from + i);
    await etcd.txn({ success: ids.map((id) => op.put(keyName(id), textOf(id))) });
  }
  return length;
}
