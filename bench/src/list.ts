import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { connect, op } from '@quiesce/etcd';
import { median, startEtcd } from '@quiesce/test-services';
import { isAvailable, listCommand } from './clients.js';
import { LIST_PREFIX } from './listed.js';
import { writeJson } from './report.js';
import { figureTable } from './table.js';

/** Which clients, how many keys, and how often. */
export interface ListOptions {
  readonly keys: number;
  readonly pageSize: number;
  readonly rounds: number;
  readonly only: readonly string[];
  readonly json?: string;
}

/** The one JSON line that a client's program prints. */
export interface ListMeasurement {
  readonly client: string;
  readonly keys: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Of the connected process, before it lists. */
  readonly idleRssMiB: number;
  /** For the whole process. */
  readonly maxRssMiB: number;
}

/** Keys of the gate's `list`, which are also the events of its `watch`. */
export const LISTED_KEYS = 20_000;

const PUTS_PER_TXN = 100;
const TXNS_IN_FLIGHT = 32;

/** Lists many small keys in pages at one revision, with all clients in turn. */
export async function benchList(options: ListOptions): Promise<number> {
  // Without syncing to disk: the keys are written only to be read.
  await using server = await startEtcd({
    extraArgs: ['--unsafe-no-fsync', '--quota-backend-bytes=4294967296'],
  });
  await writeListed(server.endpoint, options.keys);
  const clients = options.only.filter(isAvailable);
  const rows: ListMeasurement[] = [];
  for (let round = 0; round < options.rounds; round++) {
    for (const client of clients) {
      const [file, ...args] = listCommand(client, server.endpoint, options.pageSize);
      const { stdout } = await promisify(execFile)(file, args, { timeout: 120_000 });
      const row = JSON.parse(stdout) as ListMeasurement;
      if (row.keys !== options.keys) throw new Error(`${client} has found ${row.keys} keys`);
      rows.push(row);
    }
  }
  const table = figureTable(['client', 'keys/s', 'CPU µs/key', 'idle RSS, MiB', 'largest RSS, MiB']);
  for (const client of clients) {
    const of = rows.filter((row) => row.client === client);
    table.push([
      client,
      Math.round(median(of.map(({ keys, seconds }) => keys / seconds))).toLocaleString('en'),
      median(of.map(({ keys, cpuSeconds }) => (cpuSeconds * 1e6) / keys)).toFixed(2),
      median(of.map(({ idleRssMiB }) => idleRssMiB)).toFixed(0),
      Math.max(...of.map(({ maxRssMiB }) => maxRssMiB)).toFixed(0),
    ]);
  }
  console.log(
    `\nlist ${options.keys.toLocaleString('en')} keys, ${options.pageSize.toLocaleString('en')} a page: medians of ${options.rounds}\n${table.toString()}`,
  );
  writeJson(options.json, { rows });
  return 0;
}

/** Writes the keys, and returns the first revision. */
export async function writeListed(endpoint: string, keys: number): Promise<bigint> {
  await using etcd = await connect(endpoint);
  const { revision } = await etcd.put('bench/start', '');
  let next = 0;
  const writer = async (): Promise<void> => {
    while (next < keys) {
      const first = next;
      next += PUTS_PER_TXN;
      const count = Math.min(PUTS_PER_TXN, keys - first);
      await etcd.txn({
        success: Array.from({ length: count }, (_, i) =>
          op.put(`${LIST_PREFIX}${String(first + i).padStart(8, '0')}`, `value ${first + i}`),
        ),
      });
    }
  };
  await Promise.all(Array.from({ length: TXNS_IN_FLIGHT }, writer));
  return revision + 1n;
}
