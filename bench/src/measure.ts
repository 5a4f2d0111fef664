import { parseArgs } from 'node:util';
import { keyName, type Measurement, type Workload } from './cell.js';

/** The two operations of a client under measurement. */
export interface Operations {
  get(key: string): Promise<unknown>;
  put(key: string, value: string): Promise<unknown>;
  close(): Promise<void> | void;
}

/**
 * The main program of a client written in TypeScript: measures the workload of its command line and prints the
 * result. bench/go/main.go does the same for Go.
 */
export async function measureMain(
  client: string,
  open: (endpoint: string) => Promise<Operations> | Operations,
): Promise<void> {
  const workload = parseWorkload();
  const operations = await open(workload.endpoint);
  const measurement = await measure(client, operations, workload);
  await operations.close();
  console.log(JSON.stringify(measurement));
}

async function measure(client: string, operations: Operations, workload: Workload): Promise<Measurement> {
  const { op, concurrency, value } = workload;
  const keys = Array.from({ length: workload.keys }, (_, i) => keyName(i));
  const call =
    op === 'get'
      ? (key: string): Promise<unknown> => operations.get(key)
      : (key: string): Promise<unknown> => operations.put(key, value);
  let next = 0;

  const run = async (seconds: number): Promise<{ elapsed: number; latencies: number[] }> => {
    const latencies: number[] = [];
    const start = performance.now();
    const worker = async (): Promise<void> => {
      for (let before = start; before - start < seconds * 1000; ) {
        await call(keys[next++ % keys.length] as string);
        const now = performance.now();
        latencies.push(now - before);
        before = now;
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    return { elapsed: (performance.now() - start) / 1000, latencies };
  };

  await run(workload.warmup);
  const cpuBefore = process.cpuUsage();
  const { elapsed, latencies } = await run(workload.seconds);
  const { user, system } = process.cpuUsage(cpuBefore);
  const sorted = Float64Array.from(latencies).sort();
  const micros = (q: number): number =>
    (sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] as number) * 1000;
  return {
    client,
    op,
    concurrency,
    ops: sorted.length,
    seconds: elapsed,
    cpuSeconds: (user + system) / 1e6,
    p50Micros: micros(0.5),
    p99Micros: micros(0.99),
  };
}

function parseWorkload(): Workload {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      endpoint: text,
      op: text,
      concurrency: text,
      seconds: text,
      warmup: text,
      keys: text,
      value: text,
    },
  });
  const given = (name: keyof typeof values): string => {
    const value = values[name];
    if (value === undefined) throw new Error(`--${name} is missing`);
    return value;
  };
  return {
    endpoint: given('endpoint'),
    op: given('op') === 'put' ? 'put' : 'get',
    concurrency: Number(given('concurrency')),
    seconds: Number(given('seconds')),
    warmup: Number(given('warmup')),
    keys: Number(given('keys')),
    value: given('value'),
  };
}
