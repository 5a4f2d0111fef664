import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { connect, op } from '@quiesce/etcd';
import { median, startEtcd } from '@quiesce/test-services';
import { isAvailable, livingCommand, SUBJECT, watchCommand } from './clients.js';
import { LISTED_KEYS, writeListed } from './list.js';
import { type Batch, type BatchTaken, startLiving } from './living.js';
import { writeJson } from './report.js';
import { figureTable } from './table.js';

/** How much, how often, and with which clients. */
export interface WatchBenchOptions {
  readonly events: number;
  readonly watches: number;
  readonly rounds: number;
  readonly only: readonly string[];
  readonly json?: string;
}

/** The one JSON line that a client's program prints. */
export interface WatchMeasurement {
  readonly client: string;
  readonly events: number;
  /** Until the last event was seen. */
  readonly seconds: number;
  /** Until the server had made the watches. */
  readonly readySeconds: number;
  readonly cpuSeconds: number;
  readonly maxRssMiB: number;
}

/** Events of one revision; etcd takes 128 operations in a transaction. */
export const PUTS_PER_TXN = 100;
export const REPLAY_PREFIX = 'bench/replay/';
/** The same in bench/go/watch.go. */
export const manyKey = (index: number): string => `bench/many/${String(index).padStart(5, '0')}`;

const PEER = 'clientv3';
const VALUE_BYTES = 32;
const TARGET_EVENTS_PER_SECOND = 100_000;

/**
 * One watch that must catch up with a history, and many watches on one client, with every client in turn. Judges
 * whether this client receives 100,000 events a second.
 */
export async function benchWatch(options: WatchBenchOptions): Promise<number> {
  const clients = options.only.filter(isAvailable);
  await using server = await startEtcd();
  const startRevision = await writeHistory(server.endpoint, options.events);
  const replay = await measure(clients, options.rounds, (client) =>
    watchCommand(client, server.endpoint, 'watch-replay', options.events, startRevision),
  );
  const bytes = options.events * (VALUE_BYTES + REPLAY_PREFIX.length + 5);
  console.log(
    `\none watch catches up with ${options.events} events, ${PUTS_PER_TXN} in each revision, ${mib(bytes)} MiB of keys and values`,
  );
  console.log(
    table(replay, (row) => [whole(row.events / row.seconds), micros(row), mib(row.maxRssMiB * 2 ** 20)]),
  );
  const many = await measure(clients, options.rounds, (client) =>
    watchCommand(client, server.endpoint, 'watch-many', options.watches, 0n),
  );
  console.log(`\n${options.watches} watches on one client, one event for each`);
  console.log(
    table(
      many,
      (row) => [
        whole(row.readySeconds * 1000),
        whole((row.seconds - row.readySeconds) * 1000),
        micros(row),
        mib(row.maxRssMiB * 2 ** 20),
      ],
      ['ms until made', 'ms for the events'],
    ),
  );
  const again = await catchUpAgain(clients, CATCH_UPS);
  writeJson(options.json, { replay, many, again });
  const own = replay.find(({ client }) => client === SUBJECT);
  if (own === undefined) return 0;
  const rate = own.events / own.seconds;
  const met = rate >= TARGET_EVENTS_PER_SECOND;
  console.log(
    `\n${met ? 'met    ' : 'NOT met'} ${whole(rate)} events/s to one consumer, at least ${whole(TARGET_EVENTS_PER_SECOND)} wanted`,
  );
  return met ? 0 : 1;
}

/** How often each watch of the gate's cell is made. */
const CATCH_UPS = 20;

/** One after another: the first ones, in which V8 compiles, don't count. */
const WARM_UPS = 5;

interface CatchUp extends BatchTaken {
  readonly client: string;
}

/**
 * The watch of the gate, again and again, by living clients in turn. With Go there is also a reader that decodes nothing: what
 * it takes is etcd's time, and no client can be faster.
 */
export async function catchUpAgain(
  clients: readonly string[],
  times: number,
  events = LISTED_KEYS,
): Promise<CatchUp[]> {
  // As in the gate.
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  const startRevision = await writeListed(server.endpoint, events);
  const given = { endpoint: server.endpoint, keys: 1, valueBytes: 1, startRevision };
  const readers = clients.map((client): { client: string; name: string; op: Batch['op'] } => ({
    client,
    name: client,
    op: 'watch',
  }));
  if (clients.includes(PEER)) readers.push({ client: PEER, name: 'decodes nothing', op: 'raw watch' });
  const taken: CatchUp[][] = readers.map(() => []);
  const living = readers.map(({ name, client }) => startLiving(name, livingCommand(client, given)));
  try {
    for (let turn = 0; turn < WARM_UPS + times; turn++) {
      for (const [i, { name, op }] of readers.entries()) {
        const batch = await living[i]?.run({ op, concurrency: 1, ops: 1 });
        if (batch !== undefined && turn >= WARM_UPS) taken[i]?.push({ client: name, ...batch });
      }
    }
  } finally {
    await Promise.all(living.map((client) => client[Symbol.asyncDispose]()));
  }
  const table = figureTable(['client', 'ms', 'events/s', 'CPU µs/event']);
  const rows = taken.map((of) => {
    const seconds = median(of.map((batch) => batch.seconds));
    const cpuSeconds = median(of.map((batch) => batch.cpuSeconds));
    return { ...(of[0] as CatchUp), seconds, cpuSeconds };
  });
  for (const { client, seconds, cpuSeconds } of rows) {
    const perEvent = ((cpuSeconds / events) * 1e6).toFixed(2);
    table.push([client, (seconds * 1000).toFixed(1), whole(events / seconds), perEvent]);
  }
  console.log(
    `\na watch catches up with ${events} events, as in the gate: medians of ${times}\n${table.toString()}`,
  );
  return rows;
}

/** Puts this many events below `REPLAY_PREFIX`, and returns the first revision. */
export async function writeHistory(endpoint: string, events: number): Promise<bigint> {
  await using etcd = await connect(endpoint);
  const { revision } = await etcd.put('bench/start', '');
  const value = 'v'.repeat(VALUE_BYTES);
  let written = 0;
  const writer = async (): Promise<void> => {
    while (written < events) {
      const from = written;
      written += PUTS_PER_TXN;
      const keys = Array.from(
        { length: Math.min(PUTS_PER_TXN, events - from) },
        (_, k) => (from + k) % 10_000,
      );
      await etcd.txn({
        success: keys.map((key) => op.put(REPLAY_PREFIX + String(key).padStart(5, '0'), value)),
      });
    }
  };
  await Promise.all(Array.from({ length: 16 }, writer));
  return revision + 1n;
}

/**
 * Every client has its turn in each round, and each round starts with a different client. The result is the round with
 * the median time, by nearest rank, so it is one of the rounds.
 */
async function measure(
  clients: readonly string[],
  rounds: number,
  command: (client: string) => [string, ...string[]],
): Promise<WatchMeasurement[]> {
  const measured = clients.map(() => [] as WatchMeasurement[]);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < clients.length; turn++) {
      const index = (round + turn) % clients.length;
      const [file, ...args] = command(clients[index] as string);
      const { stdout } = await promisify(execFile)(file, args, { timeout: 120_000 });
      measured[index]?.push(JSON.parse(stdout) as WatchMeasurement);
    }
  }
  return measured.map(
    (of) => of.sort((a, b) => a.seconds - b.seconds)[(of.length - 1) >> 1] as WatchMeasurement,
  );
}

function table(
  rows: readonly WatchMeasurement[],
  cells: (row: WatchMeasurement) => string[],
  first = ['events/s'],
): string {
  const table = figureTable(['client', ...first, 'CPU µs/event', 'MiB']);
  for (const row of rows) table.push([row.client, ...cells(row)]);
  return table.toString();
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
const micros = (row: WatchMeasurement): string => ((row.cpuSeconds / row.events) * 1e6).toFixed(1);
