// npm run bench: this client compared with its peers, interleaved on one etcd. See docs/measurements/benchmarks.md.
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { type BesideOptions, beside } from './beside/beside.js';
import { ops } from './cell.js';
import { benchChecks, type ChecksOptions } from './checks/checks.js';
import { allClients, libraries, operationClients } from './clients.js';
import { benchColdStart, type ColdStartOptions } from './cold-start.js';
import { type GateOptions, gate } from './gate/gate.js';
import { benchLeases, type LeasesOptions } from './leases.js';
import { benchList, type ListOptions } from './list.js';
import { LIST_PAGE_SIZE } from './listed.js';
import { benchOperations, type OperationsOptions } from './operations.js';
import { plot } from './plot.js';
import { benchPressure, type PressureOptions, pressureParts } from './pressure/pressure.js';
import { type ProfileOptions, profile } from './profile.js';
import { FLOOR_VALUE_BYTES } from './report.js';
import { benchTail, type TailOptions } from './tail/tail.js';
import { benchWatch, type WatchBenchOptions } from './watch.js';
import { ways } from './ways/way.js';
import { benchWays, type WaysOptions } from './ways/ways.js';

/** The clients that have programs for more than get, put, range and txn. */
const withStreams = libraries.filter((client) => client !== 'etcd3');

let exitCode = 0;
const quiet = {
  outputError: (text: string, write: (text: string) => void) => write(text.replace(/^error: /, '✖ ')),
};
const program = new Command('npm run bench --')
  .description('Compares @quiesce/etcd with etcd3 (npm) and clientv3 (Go).')
  .configureOutput(quiet)
  .exitOverride();

subcommand('operations', 'get, put, range and txn: rate, CPU time, latency, memory', {
  clients: operationClients,
  byDefault: allClients,
  rounds: 3,
  isDefault: true,
})
  .option('--ops <list>', `operations, of ${ops.join(', ')}`, list(oneOf('operation', ops)), ['get', 'put'])
  .option('--seconds <n>', 'timed part of each run', positive, 2)
  .option('--concurrency <list>', 'operations in flight', list(positiveInteger), [1, 64, 512])
  .option('--value-bytes <list>', 'sizes of values', list(positiveInteger), [FLOOR_VALUE_BYTES])
  .option('--connections <list>', 'clients in each process', list(positiveInteger), [1])
  .option('--no-floors', "don't judge the speed floors")
  .action(async (options: OperationsOptions) => {
    exitCode = await benchOperations(options);
  });

subcommand('list', 'all of many small keys, in pages at one revision', { clients: withStreams, rounds: 3 })
  .option('--keys <n>', 'number of keys', positiveInteger, 1_000_000)
  .option('--page-size <n>', 'keys a page', positiveInteger, LIST_PAGE_SIZE)
  .action(async (options: ListOptions) => {
    exitCode = await benchList(options);
  });

subcommand('cold-start', 'a process that starts, connects, gets one key and ends', {
  clients: libraries,
  rounds: 20,
}).action(async (options: ColdStartOptions) => {
  exitCode = await benchColdStart(options);
});

subcommand('watch', 'one watch with many events, and many watches on one client', {
  clients: withStreams,
  rounds: 3,
})
  .option('--events <n>', 'events that one watch catches up with', positiveInteger, 300_000)
  .option('--watches <n>', 'watches on one client', positiveInteger, 10_000)
  .action(async (options: WatchBenchOptions) => {
    exitCode = await benchWatch(options);
  });

subcommand('leases', 'many leases kept alive on one client', { clients: withStreams, rounds: 2 })
  .option('--leases <n>', 'leases on one client', positiveInteger, 1000)
  .option('--ttl <n>', 'TTL of each, in seconds', positiveInteger, 6)
  .option('--warmup <n>', 'seconds before it, in which Node still compiles', positive, 20)
  .option('--windows <n>', 'timed parts of each run', positiveInteger, 5)
  .option('--seconds <n>', 'length of each', positive, 4)
  .action(async (options: LeasesOptions) => {
    exitCode = await benchLeases(options);
  });

subcommand(
  'pressure',
  'much at once: calls, long values, clients, watches, threads, sessions, keys; and idle',
  {
    clients: withStreams,
    rounds: 3,
  },
)
  .option('--parts <list>', `of ${pressureParts.join(', ')}`, list(oneOf('part', pressureParts)), [
    ...pressureParts,
  ])
  .option('--seconds <n>', 'timed part of each run of calls', positive, 2)
  .option('--most-keys <n>', 'how far the number of keys grows', positiveInteger, 1_000_000)
  .option('--most-watches <n>', 'how far the number of watches grows', positiveInteger, 10_000)
  .action(async (options: PressureOptions) => {
    exitCode = await benchPressure(options);
  });

program
  .command('gate')
  .description('in three minutes: does each cell keep its floor, beside Go')
  .option('--rounds <n>', 'batches of each client in each cell', positiveInteger, 11)
  .option('--cells <list>', 'only cells whose names begin so, such as get,list', list(String))
  .option('--slower <percent>', 'make this client slower: the gate must find it', positive, 0)
  .option('--batch-ms <n>', 'about how long a batch takes', positive, 200)
  .option('--json <file>', 'write all figures there too')
  .configureOutput(quiet)
  .exitOverride()
  .action(async (options: GateOptions) => {
    exitCode = await gate(options);
  });

program
  .command('beside')
  .description('is this build slower than that of a commit: the first argument, or origin/main')
  // setup/commands/bench.mjs makes it from the commit.
  .addOption(new Option('--other <file>', 'index.js of the other build').makeOptionMandatory().hideHelp())
  .option('--pairs <n>', 'pairs of processes, each of which counts once', positiveInteger, 24)
  .option('--rounds <n>', 'batches of each client in each cell of a pair', positiveInteger, 4)
  .option('--cells <list>', 'only cells whose names begin so, such as get,list', list(String))
  .option('--slower <percent>', 'make this build slower: that must be found', positive, 0)
  .option('--batch-ms <n>', 'about how long a batch takes', positive, 100)
  .option('--json <file>', 'write all figures there too')
  .configureOutput(quiet)
  .exitOverride()
  .action(async (options: BesideOptions) => {
    exitCode = await beside(options);
  });

program
  .command('checks')
  .description('what the checks of arguments cost, beside the CPU time of the calls')
  .option('--processes <n>', 'processes, each of which counts once', positiveInteger, 8)
  .option('--rounds <n>', 'batches with checks, and as many without, of each operation', positiveInteger, 20)
  .option('--concurrency <n>', 'operations in flight', positiveInteger, 64)
  .option('--batch-ms <n>', 'about how long a batch takes', positive, 100)
  .option('--json <file>', 'write all figures there too')
  .configureOutput(quiet)
  .exitOverride()
  .action(async (options: ChecksOptions) => {
    exitCode = await benchChecks(options);
  });

program
  .command('profile')
  .description("where this client's CPU time goes")
  .option('--op <name>', `one of ${ops.join(', ')}`, oneOf('operation', ops), 'get')
  .option('--concurrency <n>', 'operations in flight', positiveInteger, 64)
  .option('--seconds <n>', 'timed part', positive, 5)
  .configureOutput(quiet)
  .exitOverride()
  .action(async (options: ProfileOptions) => {
    await profile(options);
  });

program
  .command('ways')
  .description('the ways to read a range of 1,000 keys: bytes, text, JSON, codecs')
  .option('--ways <list>', `of ${ways.join(', ')}`, list(oneOf('way', ways)), [...ways])
  .option('--concurrency <n>', 'ranges in flight', positiveInteger, 64)
  .option('--seconds <n>', 'timed part of each run', positive, 2)
  .option('--rounds <n>', 'runs of each way', positiveInteger, 3)
  .option('--json <file>', 'write all figures there too')
  .configureOutput(quiet)
  .exitOverride()
  .action(async (options: WaysOptions) => {
    exitCode = await benchWays(options);
  });

program
  .command('tail')
  .description('where the time of single calls goes, and of the slowest ones')
  .option('--seconds <n>', 'timed part of each run', positive, 4)
  .option('--rounds <n>', 'runs of each client', positiveInteger, 2)
  .option('--json <file>', 'write all figures there too')
  .configureOutput(quiet)
  .exitOverride()
  .action(async (options: TailOptions) => {
    exitCode = await benchTail(options);
  });

program
  .command('plot')
  .description('draws what operations has measured')
  .argument('<folder>', 'where the SVG files go')
  .argument('<json...>', 'files that operations --json has written')
  .configureOutput(quiet)
  .exitOverride()
  .action(async (folder: string, jsons: string[]) => {
    await plot(folder, jsons);
  });

try {
  await program.parseAsync();
  process.exitCode = exitCode;
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    const { message, stderr } = error as Error & { stderr?: string };
    console.error(`✖ the benchmark failed: ${stderr?.trim() || message}`);
    process.exitCode = 3;
  }
}

interface Subcommand {
  /** The clients that it can measure. */
  readonly clients: readonly string[];
  /** The clients that it measures by default; without it, all. */
  readonly byDefault?: readonly string[];
  /** Default number of runs of each client. */
  readonly rounds: number;
  readonly isDefault?: boolean;
}

/** One of the benchmarks, with the options that all of them have. */
function subcommand(
  name: string,
  description: string,
  { clients, byDefault = clients, rounds, isDefault = false }: Subcommand,
): Command {
  return program
    .command(name, { isDefault })
    .description(description)
    .allowExcessArguments(false)
    .configureOutput(quiet)
    .exitOverride()
    .option('--rounds <n>', 'runs of each client', positiveInteger, rounds)
    .option('--only <list>', `clients, of ${clients.join(', ')}`, list(oneOf('client', clients)), [
      ...byDefault,
    ])
    .option('--json <file>', 'write all figures there too');
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

function positiveInteger(text: string): number {
  const value = positive(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError('It must be a whole number.');
  return value;
}

function oneOf<T extends string>(what: string, names: readonly T[]): (text: string) => T {
  return (text) => {
    const found = names.find((name) => name === text);
    if (found === undefined) throw new InvalidArgumentError(`It takes no ${what} named ${text}.`);
    return found;
  };
}

function list<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => text.split(',').map(parse);
}
