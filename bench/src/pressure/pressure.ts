import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { median, startEtcd } from '@quiesce/test-services';
import { isAvailable, pressureCommand, SUBJECT } from '../clients.js';
import { benchList } from '../list.js';
import { LIST_PAGE_SIZE } from '../listed.js';
import { benchOperations, type OperationsOptions, writeKeys } from '../operations.js';
import { FLOOR_VALUE_BYTES, writeJson } from '../report.js';
import { figureTable } from '../table.js';
import { benchWatch, writeHistory } from '../watch.js';
import type { Load, LoadMeasurement, LoadSize, SessionLoad } from './measurement.js';

/** The parts of the benchmark. */
export const pressureParts = [
  'calls',
  'bursts',
  'slow',
  'workers',
  'sessions',
  'idle',
  'keys',
  'watches',
] as const;

export interface PressureOptions {
  readonly parts: readonly (typeof pressureParts)[number][];
  /** For each run of calls. */
  readonly seconds: number;
  readonly rounds: number;
  readonly only: readonly string[];
  /** The largest values of `keys` and `watches`. */
  readonly mostKeys: number;
  readonly mostWatches: number;
  readonly json?: string;
}

/** etcd refuses writes while more than 5,000 of its log's entries are to be applied: `too many requests`, whoever asks. */
const MOST_PUTS = 4_000;

/** The cells of `calls`. */
export const CALLS: readonly Pick<OperationsOptions, 'ops' | 'concurrency' | 'valueBytes' | 'connections'>[] =
  [
    { ops: ['get'], concurrency: [10_000], valueBytes: [FLOOR_VALUE_BYTES], connections: [1] },
    { ops: ['put'], concurrency: [MOST_PUTS], valueBytes: [FLOOR_VALUE_BYTES], connections: [1] },
    { ops: ['get', 'put'], concurrency: [8, 64], valueBytes: [2 ** 20], connections: [1] },
    { ops: ['get', 'put'], concurrency: [512], valueBytes: [FLOOR_VALUE_BYTES], connections: [1, 10, 100] },
  ];

/** A row of a table: one load of one client. */
interface Row {
  readonly name: string;
  readonly load: Load;
  readonly size: Partial<LoadSize>;
}

const FAST_WATCHES = 8;
const EVENTS = 50_000;
/** Enough that code that V8 compiles in the first ones is the smaller part. */
const BURSTS = 100;
const BURST_WATCHES = 1000;

const uncontended = (load: SessionLoad, sessions: number, times: number): Row => ({
  name: `, ${load} x${sessions}`,
  load,
  size: { sessions, times },
});

/** The rows of `sessions`. Each is done twice, and timed the second time, except for `keepalives`. */
const SESSIONS: readonly Row[] = [
  uncontended('locks', 1, 2_000),
  uncontended('locks', 20, 200),
  uncontended('locks', 100, 100),
  uncontended('elections', 100, 100),
  ...(['locks', 'elections'] as const).map((load) => ({
    name: `, ${load} of one name x100`,
    load,
    size: { sessions: 100, times: 10, shared: 1 },
  })),
  { name: ', Session.create()', load: 'sessions', size: { sessions: 3_000, concurrency: 64 } },
  { name: ', keepAlive()', load: 'keepalives', size: { sessions: 10_000, concurrency: 512 } },
];

/** Shows what happens under much load at once, and the cost of more load. Nothing is judged. */
export async function benchPressure(options: PressureOptions): Promise<number> {
  const measured: Record<string, object> = {};
  for (const part of options.parts) {
    measured[part] = (await PARTS[part](options)) ?? {};
    writeJson(options.json, measured);
  }
  return 0;
}

const PARTS: Readonly<
  Record<PressureOptions['parts'][number], (options: PressureOptions) => Promise<object | undefined>>
> = {
  calls: async (options) => {
    for (const cell of CALLS) {
      const { json: _json, ...others } = options;
      await benchOperations({ ...others, ...cell, floors: false });
    }
    return undefined;
  },
  bursts: (options) =>
    loads(`${BURST_WATCHES} watches, whose keys change at once ${BURSTS} times`, options, [
      { name: '', load: 'bursts', size: { watches: BURST_WATCHES, bursts: BURSTS } },
    ]),
  slow: (options) =>
    loads(
      `${FAST_WATCHES} watches that catch up with ${EVENTS} events, alone and beside a slow one`,
      options,
      [0, 1].map((slow) => ({
        name: slow === 0 ? ', alone' : ', with a slow one',
        load: 'slow' as const,
        size: { watches: FAST_WATCHES, events: EVENTS, slow },
      })),
    ),
  workers: (options) =>
    loads(
      'threads of a process with a client each, 64 gets in flight in each',
      { ...options, only: options.only.filter((client) => client === SUBJECT) },
      [1, 2, 3, 4].map((threads) => ({
        name: `, ${threads}`,
        load: 'workers' as const,
        size: { threads, concurrency: 64, seconds: options.seconds },
      })),
    ),
  sessions: (options) => loads('locks, elections, sessions, and 10,000 leases kept alive', options, SESSIONS),
  idle: async (options) => {
    const measured = await loads('connected, and idle', options, [
      { name: '', load: 'idle', size: { seconds: 1 } },
    ]);
    const empty = 'setTimeout(() => console.log(process.memoryUsage.rss() / 2 ** 20), 1000)';
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', empty]);
    console.log(`a Node process that imports nothing: ${Number(stdout).toFixed(0)} MiB`);
    return { measured, emptyNodeMiB: Number(stdout) };
  },
  keys: async ({ mostKeys, json: _json, ...options }) => {
    for (let keys = 1000; keys <= mostKeys; keys *= 10) {
      console.log(`\n${keys} keys`);
      await benchList({ ...options, keys, pageSize: LIST_PAGE_SIZE });
    }
    return undefined;
  },
  watches: async ({ mostWatches, json: _json, ...options }) => {
    for (let watches = 100; watches <= mostWatches; watches *= 10) {
      await benchWatch({ ...options, events: 10_000, watches });
    }
    return undefined;
  },
};

/** The rows of a table, with all clients in turn in each round. Figures are medians. */
async function loads(
  title: string,
  { only, rounds }: Pick<PressureOptions, 'only' | 'rounds'>,
  rows: readonly Row[],
): Promise<object> {
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  await writeKeys(server.endpoint, FLOOR_VALUE_BYTES);
  const history = rows.some(({ load }) => load === 'slow');
  const startRevision = history ? await writeHistory(server.endpoint, EVENTS) : 0n;
  const all = rows.flatMap((row) =>
    only.filter(isAvailable).map((client) => ({ ...row, client, runs: [] as LoadMeasurement[] })),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { client, load, size, runs } of all) {
      const [file, ...args] = pressureCommand(client, server.endpoint, load, { ...size, startRevision });
      const { stdout } = await promisify(execFile)(file, args, { timeout: 300_000 });
      runs.push(JSON.parse(stdout) as LoadMeasurement);
    }
  }
  const table = figureTable(['client', '1/s', 'CPU µs each', 'p50 ms', 'p99 ms', 'MiB', 'late ms', 'own ms']);
  for (const { client, name, runs } of all) {
    const middle = (of: (run: LoadMeasurement) => number): number => median(runs.map(of));
    const shown = (value: number, digits = 0): string => (value > 0 ? value.toFixed(digits) : '');
    table.push([
      client + name,
      shown(middle(({ ops, seconds }) => ops / seconds)),
      shown(
        middle(({ ops, cpuSeconds }) => (ops === 0 ? 0 : (cpuSeconds / ops) * 1e6)),
        1,
      ),
      shown(
        middle(({ p50Micros }) => p50Micros / 1000),
        2,
      ),
      shown(
        middle(({ p99Micros }) => p99Micros / 1000),
        2,
      ),
      shown(middle(({ maxRssMiB }) => maxRssMiB)),
      shown(
        middle(({ maxStallMs }) => maxStallMs),
        1,
      ),
      shown(
        middle(({ maxOwnStallMs }) => maxOwnStallMs),
        1,
      ),
    ]);
  }
  console.log(`\n${title}\n${table.toString()}`);
  return all.map(({ client, name, runs }) => ({ client, name, runs }));
}
