import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { provided, runtimeCommand, runtimeNames } from '@quiesce/test-services';
import type { Measurement, Op, Workload } from './cell.js';
import type { ChecksWorkload } from './checks/checks.js';
import type { LeasesSizes } from './leases.js';
import type { Load, LoadSize } from './pressure/measurement.js';
import type { Way } from './ways/way.js';

/** This project's client, which the others are compared with. */
export const SUBJECT = '@quiesce/etcd';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
/** Go programs, which are missing if Go is: see {@link isAvailable}. */
const GO_PROGRAM = provided('benchClientv3') ?? '';
const ETCD_BENCHMARK = provided('benchEtcd') ?? '';

const PROGRAMS: Readonly<Record<string, readonly [string, ...string[]]>> = {
  [SUBJECT]: [process.execPath, here('./programs/client-quiesce.js')],
  etcd3: [process.execPath, here('./programs/client-etcd3.js')],
  clientv3: [GO_PROGRAM],
  // More a limit than a peer: the throughput that etcd's own load tool reaches.
  'etcd benchmark': [process.execPath, here('./programs/client-etcd-benchmark.js'), '--tool', ETCD_BENCHMARK],
};

/** Names of all that can be measured, the subject first. */
export const allClients: readonly string[] = Object.keys(PROGRAMS);

/**
 * Everything that single operations can be measured with. A runtime's name stands for this client on that runtime.
 * Runtimes are measured only on request, and `npm run runtimes -- --install` downloads them.
 */
export const operationClients: readonly string[] = [...allClients, ...runtimeNames];

/** The clients that programs can be written with. */
export const libraries = allClients.filter((client) => client !== 'etcd benchmark');

/** Whether its program is available. Go programs aren't if Go is missing. */
export function isAvailable(client: string): boolean {
  if (client === 'clientv3') return GO_PROGRAM !== '';
  return client !== 'etcd benchmark' || ETCD_BENCHMARK !== '';
}

const flags = (values: Readonly<Record<string, unknown>>): string[] =>
  Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);

/** A client's program and its arguments for that workload. */
export function programOf(client: string, workload: Workload): [string, ...string[]] {
  return [...(PROGRAMS[client] ?? onRuntime(client)), ...flags({ ...workload })];
}

/** The subject's program on that runtime. */
function onRuntime(client: string): [string, ...string[]] {
  const runtime = runtimeNames.find((name) => name === client);
  if (runtime === undefined) throw new Error(`no client is named ${client}`);
  return [...runtimeCommand(runtime), here('./programs/client-quiesce.js')];
}

/** Measures one client in a separate process, so that the CPU time is only that client's. */
export async function measureClient(
  client: string,
  workload: Workload,
  [file, ...args]: [string, ...string[]] = programOf(client, workload),
): Promise<Measurement> {
  const { stdout } = await promisify(execFile)(file, args, {
    timeout: (workload.seconds + workload.warmup) * 1000 + 60_000,
  });
  return { ...(JSON.parse(stdout) as Measurement), client };
}

/** The program that reads ranges in that way. */
export function waysCommand(way: Way, workload: Workload): [string, ...string[]] {
  return [process.execPath, here('./programs/ways-client.js'), ...flags({ ...workload, way })];
}

/** The program that lists all keys of the list benchmark. */
export function listCommand(client: string, endpoint: string, pageSize: number): [string, ...string[]] {
  return client === 'clientv3'
    ? [GO_PROGRAM, '--endpoint', endpoint, '--op', 'list', '--pageSize', String(pageSize)]
    : [process.execPath, here('./programs/list-client.js'), endpoint, String(pageSize)];
}

/** The arguments of a living program. */
export interface LivingFlags {
  readonly endpoint: string;
  readonly keys: number;
  readonly valueBytes: number;
  /** Where the history begins that its watch must catch up with. */
  readonly startRevision: bigint;
  /** A build of this client other than the workspace's: its index.js. */
  readonly client?: string | undefined;
  /** By how many percent to slow this client down. */
  readonly slower?: number | undefined;
}

/** The living program of a client, for gate and beside. */
export function livingCommand(client: string, given: LivingFlags): [string, ...string[]] {
  const named = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return client === 'clientv3'
    ? [GO_PROGRAM, ...flags({ ...named, op: 'living' })]
    : [process.execPath, here('./programs/client-living.js'), ...flags(named)];
}

/** How `tail` measures one client. */
export interface TailWorkload {
  readonly endpoint: string;
  readonly op: Op;
  readonly seconds: number;
  readonly warmup: number;
  readonly valueBytes: number;
}

/** The program of `tail`. With `counters`, this client reads the kernel's counters of its threads at each call. */
export function tailCommand(
  client: string,
  { endpoint, op, seconds, warmup, valueBytes }: TailWorkload,
  counters: boolean,
): [string, ...string[]] {
  return client === 'clientv3'
    ? [GO_PROGRAM, ...flags({ endpoint, op: `tail-${op}`, seconds, warmup, valueBytes })]
    : [
        process.execPath,
        here('./programs/tail-client.js'),
        ...[endpoint, op, seconds, warmup, valueBytes].map(String),
        ...(counters ? ['counters'] : []),
      ];
}

/** The program of `checks`, with this client. */
export function checksCommand(endpoint: string, workload: ChecksWorkload): [string, ...string[]] {
  const given = flags({ endpoint, workload: JSON.stringify(workload) });
  return [process.execPath, here('./programs/checks-client.js'), ...given];
}

/** The program of `pressure`. */
export function pressureCommand(
  client: string,
  endpoint: string,
  load: Load,
  size: Partial<LoadSize>,
): [string, ...string[]] {
  if (client === 'clientv3') return [GO_PROGRAM, ...flags({ endpoint, op: load, ...size })];
  // The program for the other loads imports much of the benchmark.
  return load === 'idle'
    ? [...coldStartCommand(client, endpoint), 'idle']
    : [process.execPath, here('./programs/pressure-client.js'), ...flags({ endpoint, load, ...size })];
}

/** The program that keeps leases alive, in windows that are measured after the warm-up, which isn't. */
export function leasesCommand(
  client: string,
  endpoint: string,
  { leases, ttl, seconds, windows, warmup }: LeasesSizes,
): [string, ...string[]] {
  const numbers = { leases, ttl, seconds, windows, warmup };
  return client === 'clientv3'
    ? [GO_PROGRAM, ...flags({ endpoint, op: 'leases', ...numbers })]
    : [
        process.execPath,
        here('./programs/leases-client.js'),
        endpoint,
        ...Object.values(numbers).map(String),
      ];
}

/**
 * The program that connects, gets one key and ends, to measure that time: for this client, as it is published or as it
 * was compiled.
 */
export function coldStartCommand(client: string, endpoint: string): [string, ...string[]] {
  return client === 'clientv3'
    ? [GO_PROGRAM, '--endpoint', endpoint, '--op', 'cold-start']
    : [
        process.execPath,
        here('./programs/cold-start-client.js'),
        client === SUBJECT
          ? (provided('benchPackedClient') ?? fileURLToPath(import.meta.resolve('@quiesce/etcd')))
          : client,
        endpoint,
      ];
}

/** The program that watches; `op` is watch-replay or watch-many. */
export function watchCommand(
  client: string,
  endpoint: string,
  op: string,
  events: number,
  startRevision: bigint,
): [string, ...string[]] {
  const flags = [
    '--endpoint',
    endpoint,
    '--op',
    op,
    '--events',
    `${events}`,
    '--startRevision',
    `${startRevision}`,
  ];
  return client === 'clientv3'
    ? [GO_PROGRAM, ...flags]
    : [process.execPath, here('./programs/watch-client.js'), ...flags];
}
