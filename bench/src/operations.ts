import { connect, prefix } from '@quiesce/etcd';
import { startEtcd } from '@quiesce/test-services';
import { type Cell, KEY_PREFIX, keyCount, keyName, type Op, type Workload } from './cell.js';
import { isAvailable, measureClient } from './clients.js';
import { cellTable, cellTitle, floorLine, judgeFloors, type Row, summarize, writeJson } from './report.js';

const WARMUP_SECONDS = 0.5;
/** Cells with more than this in flight are left out: they would measure the allocator, and fill the machine. */
const MOST_BYTES_IN_FLIGHT = 64 * 2 ** 20;

/** What to measure, and how thoroughly. */
export interface OperationsOptions {
  readonly ops: readonly Op[];
  readonly seconds: number;
  readonly rounds: number;
  readonly concurrency: readonly number[];
  readonly valueBytes: readonly number[];
  readonly connections: readonly number[];
  readonly only: readonly string[];
  readonly json?: string;
  readonly floors: boolean;
}

/** Measures single operations, each cell separately, with all clients in turn. */
export async function benchOperations(options: OperationsOptions): Promise<number> {
  const clients = options.only.filter(isAvailable);
  // Room for what large values leave behind until they are compacted.
  await using server = await startEtcd({ extraArgs: ['--quota-backend-bytes=8589934592'] });
  const rows: Row[] = [];
  for (const cell of cellsOf(options)) {
    if (cell.valueBytes * cell.concurrency > MOST_BYTES_IN_FLIGHT) {
      console.log(`\n${cellTitle(cell)}: left out, as too much would be in flight`);
      continue;
    }
    await writeKeys(server.endpoint, cell.valueBytes);
    const workload = { ...cell, endpoint: server.endpoint, seconds: options.seconds };
    const measured = await measureCell(clients, options.rounds, workload);
    console.log(`\n${cellTitle(cell)}\n${cellTable(measured)}`);
    rows.push(...measured);
    // Printed now, so that a benchmark that fails half-way has not been for nothing.
    writeJson(options.json, { rows, floors: [] });
    await compact(server.endpoint);
  }
  const floors = options.floors ? judgeFloors(rows) : [];
  if (floors.length > 0) console.log(`\nfloors\n${floors.map(floorLine).join('\n')}`);
  writeJson(options.json, { rows, floors });
  return floors.every(({ met }) => met) ? 0 : 1;
}

function cellsOf(options: OperationsOptions): Cell[] {
  return options.connections.flatMap((connections) =>
    options.valueBytes.flatMap((valueBytes) =>
      options.ops.flatMap((op) =>
        options.concurrency.map((concurrency) => ({ op, concurrency, valueBytes, connections })),
      ),
    ),
  );
}

/** Every client has its turn in each round, and each round starts with a different client. */
async function measureCell(
  clients: readonly string[],
  rounds: number,
  cell: Cell & Pick<Workload, 'endpoint' | 'seconds'>,
): Promise<Row[]> {
  const workload: Workload = { ...cell, warmup: WARMUP_SECONDS, keys: keyCount(cell.valueBytes) };
  const measured = clients.map(() => [] as Awaited<ReturnType<typeof measureClient>>[]);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < clients.length; turn++) {
      const index = (round + turn) % clients.length;
      measured[index]?.push(await measureClient(clients[index] as string, workload));
    }
  }
  return measured.map(summarize);
}

/** Makes the keys that all operations use. */
export async function writeKeys(endpoint: string, valueBytes: number): Promise<void> {
  const etcd = await connect({ endpoints: endpoint });
  await etcd.delete(prefix(KEY_PREFIX));
  const value = Buffer.alloc(valueBytes, 'v');
  for (let from = 0; from < keyCount(valueBytes); from += 16) {
    const names = Array.from({ length: Math.min(16, keyCount(valueBytes) - from) }, (_, i) =>
      keyName(from + i),
    );
    await Promise.all(names.map((name) => etcd.put(name, value)));
  }
  await etcd.close();
}

/** Releases the pages of overwritten values, so that the next cell finds a small database. */
async function compact(endpoint: string): Promise<void> {
  const etcd = await connect({ endpoints: endpoint, timeoutMs: 60_000 });
  const { revision } = await etcd.range('bench/none');
  await etcd.compact(revision, { physical: true });
  await etcd.close();
}
