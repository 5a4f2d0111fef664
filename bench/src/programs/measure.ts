import { setImmediate } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { keyName, type Measurement, type Op, type Workload } from '../cell.js';
import { watchLateness } from './event-loop-lateness.js';
import { measureResources } from './resources.js';

/** The operations of a client under measurement. */
export interface Operations {
  get(key: string): Promise<unknown>;
  put(key: string, value: Uint8Array): Promise<unknown>;
  /** All keys, with their values. */
  range(): Promise<unknown>;
  /** Puts if the key exists. */
  txn(key: string, value: Uint8Array): Promise<unknown>;
  close(): Promise<void> | void;
}

/**
 * The main program of a client written in TypeScript: measures the workload that its command line states and prints the
 * result. bench/go/main.go does the same for Go.
 */
export async function measureMain(
  client: string,
  open: (endpoint: string) => Promise<Operations> | Operations,
): Promise<void> {
  const workload = parseWorkload();
  const clients: Operations[] = [];
  for (let i = 0; i < workload.connections; i++) clients.push(await open(workload.endpoint));
  const measurement = await measure(client, clients, workload);
  for (const opened of clients) await opened.close();
  console.log(JSON.stringify(measurement));
}

async function measure(
  client: string,
  clients: readonly Operations[],
  workload: Workload,
): Promise<Measurement> {
  const { op, concurrency, valueBytes, connections } = workload;
  const idleRssMiB = process.memoryUsage.rss() / 2 ** 20;
  const keys = Array.from({ length: workload.keys }, (_, i) => keyName(i));
  const value = Buffer.alloc(valueBytes, 'v');
  const call = caller(op, clients, value);
  let next = 0;

  const run = async (seconds: number): Promise<{ elapsed: number; latencies: number[] }> => {
    const latencies: number[] = [];
    const start = performance.now();
    const worker = async (): Promise<void> => {
      for (let before = start; before - start < seconds * 1000; ) {
        const turn = next++;
        await call(keys[turn % keys.length] as string, turn);
        const now = performance.now();
        latencies.push(now - before);
        before = now;
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    return { elapsed: (performance.now() - start) / 1000, latencies };
  };

  await run(workload.warmup);
  const resources = measureResources();
  const running = run(workload.seconds);
  // Excludes the turn in which this program starts all the calls that are to be in flight.
  await setImmediate();
  const endLateness = watchLateness();
  const { elapsed, latencies } = await running;
  const used = resources();
  const lateness = endLateness();
  const sorted = Float64Array.from(latencies).sort();
  const micros = (q: number): number =>
    (sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] as number) * 1000;
  return {
    client,
    op,
    concurrency,
    valueBytes,
    connections,
    ops: sorted.length,
    seconds: elapsed,
    p50Micros: micros(0.5),
    p99Micros: micros(0.99),
    idleRssMiB,
    ...used,
    ...lateness,
  };
}

function caller(
  op: Op,
  clients: readonly Operations[],
  value: Uint8Array,
): (key: string, turn: number) => Promise<unknown> {
  const of = (turn: number): Operations => clients[turn % clients.length] as Operations;
  switch (op) {
    case 'get':
      return (key, turn) => of(turn).get(key);
    case 'put':
      return (key, turn) => of(turn).put(key, value);
    case 'range':
      return (_key, turn) => of(turn).range();
    case 'txn':
      return (key, turn) => of(turn).txn(key, value);
  }
}

/** The workload that a command line states. */
export function parseWorkload(): Workload {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    // A program may have further arguments of its own.
    strict: false,
    options: {
      endpoint: text,
      op: text,
      concurrency: text,
      valueBytes: text,
      connections: text,
      seconds: text,
      warmup: text,
      keys: text,
    },
  });
  const given = (name: keyof Workload): string => {
    const value = values[name];
    if (typeof value !== 'string') throw new Error(`--${name} is missing`);
    return value;
  };
  return {
    endpoint: given('endpoint'),
    op: given('op') as Op,
    concurrency: Number(given('concurrency')),
    valueBytes: Number(given('valueBytes')),
    connections: Number(given('connections')),
    seconds: Number(given('seconds')),
    warmup: Number(given('warmup')),
    keys: Number(given('keys')),
  };
}
