import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { coldStartCommand, SUBJECT } from '../clients.js';
import { keepLeases, type LeasesSizes } from '../leases.js';
import type { Batch, BatchTaken, LivingClient } from '../living.js';
import type { GateOp } from './floors.js';
import type { Sample } from './judge.js';

/** Each window is twice a third of the TTL, so that all leases are renewed as often in each. */
const LEASES: LeasesSizes = { leases: 1000, ttl: 6, seconds: 4, windows: 5, warmup: 16 };
/** Few whole processes are measured: each takes its time to start. */
const MOST_PROCESSES = 9;

/** Two clients that do batches in turn. */
export interface Pair {
  readonly subject: LivingClient;
  readonly other: LivingClient;
}

/**
 * A cell of batches. Each call of the function measures this many pairs. The order within a pair changes each time, so
 * that other work on the machine affects both. The batch size is found once, which warms both clients up.
 */
export function pairedBatches(
  { subject, other }: Pair,
  op: GateOp,
  concurrency: number,
  batchMs: number,
  rounds: number,
): () => Promise<Sample[]> {
  let batch: Batch | undefined;
  return async () => {
    batch ??= await sizedBatch([subject, other], op, concurrency, batchMs);
    const samples: Sample[] = [];
    for (let round = 0; round < rounds; round++) {
      let own: BatchTaken;
      let others: BatchTaken;
      if (round % 2 === 0) {
        own = await subject.run(batch);
        others = await other.run(batch);
      } else {
        others = await other.run(batch);
        own = await subject.run(batch);
      }
      samples.push({
        rate: others.seconds / own.seconds,
        CPU: own.cpuSeconds / others.cpuSeconds,
        p50: own.p50Micros / others.p50Micros,
        p99: own.p99Micros / others.p99Micros,
      });
    }
    return samples;
  };
}

/** How many operations take about that long. */
async function sizedBatch(
  clients: readonly LivingClient[],
  op: GateOp,
  concurrency: number,
  batchMs: number,
): Promise<Batch> {
  let ops = concurrency;
  for (;;) {
    const batch = { op, concurrency, ops };
    let slowest = 0;
    for (const client of clients) slowest = Math.max(slowest, (await client.run(batch)).seconds * 1000);
    if (slowest >= batchMs / 2)
      return { ...batch, ops: Math.max(concurrency, Math.round((ops * batchMs) / slowest)) };
    ops *= 2;
  }
}

/**
 * CPU time for leases that are kept alive. A process of each client runs at the same time, as they are mostly idle. Each window gives a
 * pair.
 */
export function pairedLeases(endpoint: string, peer: string, sizes = LEASES): () => Promise<Sample[]> {
  const cpuOf = async (client: string): Promise<readonly number[]> => {
    const { cpuMsPerSecond, lost } = await keepLeases(client, endpoint, sizes);
    if (lost > 0) throw new Error(`${client} has lost ${lost} leases`);
    return cpuMsPerSecond;
  };
  return async () => {
    const [own, others] = await Promise.all([cpuOf(SUBJECT), cpuOf(peer)]);
    return own.map((cpu, window) => ({ CPU: cpu / (others[window] as number) }));
  };
}

/** How long a process takes that connects, gets one key and ends, divided by the time of an empty Node program. */
export function pairedStarts(endpoint: string, rounds: number): () => Promise<Sample[]> {
  const millis = async ([file, ...args]: [string, ...string[]]): Promise<number> => {
    const start = performance.now();
    await promisify(execFile)(file, args, { timeout: 30_000 });
    return performance.now() - start;
  };
  return async () => {
    const samples: Sample[] = [];
    for (let round = 0; round < Math.min(rounds, MOST_PROCESSES); round++) {
      const own = await millis(coldStartCommand(SUBJECT, endpoint));
      samples.push({ time: own / (await millis([process.execPath, '-e', ''])) });
    }
    return samples;
  };
}
