import { median, startEtcd } from '@quiesce/test-services';
import type { Op } from './cell.js';
import { isAvailable, livingCommand, SUBJECT } from './clients.js';
import { type Batch, type BatchTaken, type LivingClient, startLiving } from './living.js';
import { writeKeys } from './operations.js';
import { writeJson } from './report.js';
import { figureTable } from './table.js';

/** How thoroughly, and beside what. */
export interface GateOptions {
  /** Batches of each client in each cell. */
  readonly rounds: number;
  /** About how long a batch takes. */
  readonly batchMs: number;
  /** Another build of this client, to compare with instead of clientv3. */
  readonly beside?: string;
  readonly json?: string;
}

/** What a cell must keep: ratios of this client to the other one. */
export interface Floor {
  readonly op: Op;
  readonly concurrency: number;
  readonly rateAtLeast: number;
  readonly cpuAtMost: number;
}

/** Medians of the ratios of paired batches: this client's to the other's. */
export interface Ratios {
  readonly rate: number;
  readonly cpu: number;
}

/** A cell's ratios against its floor. */
export interface GateResult extends Floor, Ratios {
  readonly met: boolean;
}

/**
 * Beside Go: what a cell may not fall below, on a busy machine of 2 cores. They are set by hand below the documented figures,
 * and are not what is wanted in the end. A floor rises when a change has raised what is measured.
 */
const BESIDE_GO: readonly Floor[] = [
  { op: 'get', concurrency: 1, rateAtLeast: 0.75, cpuAtMost: 1.4 },
  { op: 'get', concurrency: 64, rateAtLeast: 1.1, cpuAtMost: 0.65 },
  { op: 'get', concurrency: 512, rateAtLeast: 1.1, cpuAtMost: 0.65 },
  { op: 'put', concurrency: 1, rateAtLeast: 0.75, cpuAtMost: 1.4 },
  { op: 'put', concurrency: 64, rateAtLeast: 0.95, cpuAtMost: 0.75 },
  { op: 'put', concurrency: 512, rateAtLeast: 1.05, cpuAtMost: 0.7 },
  { op: 'txn', concurrency: 64, rateAtLeast: 0.95, cpuAtMost: 0.8 },
  { op: 'txn', concurrency: 512, rateAtLeast: 1.05, cpuAtMost: 0.7 },
  { op: 'range', concurrency: 1, rateAtLeast: 0.85, cpuAtMost: 1.2 },
  { op: 'range', concurrency: 64, rateAtLeast: 0.65, cpuAtMost: 2.2 },
  { op: 'range', concurrency: 512, rateAtLeast: 0.65, cpuAtMost: 2.2 },
];

/** Beside another commit: no cell may fall; the rest is noise. */
const BESIDE_COMMIT: readonly Floor[] = BESIDE_GO.map((floor) => ({
  ...floor,
  rateAtLeast: 0.95,
  cpuAtMost: 1.05,
}));

const VALUE_BYTES = 32;
const KEYS = 1000;
/** A cell below its floor is looked at again, this much longer, before it counts as failed. */
const SECOND_LOOK = 2;

/** Judges each cell beside Go, or beside another build. Exit code 1 where a cell is below its floor both times. */
export async function gate(options: GateOptions): Promise<number> {
  const besideGo = options.beside === undefined;
  if (besideGo && !isAvailable('clientv3'))
    throw new Error("the gate compares with Go's client, and Go is missing");
  const peer = besideGo ? 'clientv3' : 'the other build';
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  await writeKeys(server.endpoint, VALUE_BYTES);
  const command = (client: string, build?: string) =>
    livingCommand(client, server.endpoint, KEYS, VALUE_BYTES, build);
  await using subject = startLiving(SUBJECT, command(SUBJECT));
  await using other = startLiving(peer, besideGo ? command(peer) : command(SUBJECT, options.beside));
  const results: GateResult[] = [];
  const table = figureTable(['cell', 'rate', 'at least', 'CPU', 'at most', '']);
  for (const floor of besideGo ? BESIDE_GO : BESIDE_COMMIT) {
    const first = judge(floor, await compareCell(subject, other, floor, options.batchMs, options.rounds));
    const result = first.met
      ? first
      : judge(floor, await compareCell(subject, other, floor, options.batchMs, options.rounds * SECOND_LOOK));
    results.push(result);
    table.push([
      `${result.op} x${result.concurrency}`,
      result.rate.toFixed(2),
      result.rateAtLeast.toFixed(2),
      result.cpu.toFixed(2),
      result.cpuAtMost.toFixed(2),
      result.met ? (first.met ? '' : 'met at the second look') : 'NOT met',
    ]);
  }
  console.log(`\n${SUBJECT}, times ${peer}\n${table.toString()}`);
  writeJson(options.json, { peer, results });
  return results.every(({ met }) => met) ? 0 : 1;
}

/** Holds a cell's ratios against its floor. */
export function judge(floor: Floor, ratios: Ratios): GateResult {
  return { ...floor, ...ratios, met: ratios.rate >= floor.rateAtLeast && ratios.cpu <= floor.cpuAtMost };
}

/** Batches of one cell in turn, the order reversed each round, so that what the machine does meanwhile affects both. */
export async function compareCell(
  subject: LivingClient,
  other: LivingClient,
  { op, concurrency }: Pick<Floor, 'op' | 'concurrency'>,
  batchMs: number,
  rounds: number,
): Promise<Ratios> {
  const batch = await sizedBatch([subject, other], op, concurrency, batchMs);
  const pairs: { own: BatchTaken; others: BatchTaken }[] = [];
  for (let round = 0; round < rounds; round++) {
    if (round % 2 === 0) {
      const own = await subject.run(batch);
      pairs.push({ own, others: await other.run(batch) });
    } else {
      const others = await other.run(batch);
      pairs.push({ own: await subject.run(batch), others });
    }
  }
  return {
    rate: median(pairs.map(({ own, others }) => others.seconds / own.seconds)),
    cpu: median(pairs.map(({ own, others }) => own.cpuSeconds / others.cpuSeconds)),
  };
}

/** As many operations as take about that long; finding it out warms both clients up. */
async function sizedBatch(
  clients: readonly LivingClient[],
  op: Op,
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
