// npm run bench: this client beside its peers, interleaved on one etcd. See docs/benchmarks.md.
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { type Op, ops } from './cell.js';
import { allClients } from './clients.js';
import { benchColdStart, type ColdStartOptions } from './cold-start.js';
import { benchLeases, type LeasesOptions } from './leases.js';
import { benchList, type ListOptions } from './list.js';
import { benchOperations, type OperationsOptions } from './operations.js';
import { FLOOR_VALUE_BYTES } from './report.js';
import { benchWatch, type WatchBenchOptions } from './watch.js';

let exitCode = 0;
const quiet = {
  outputError: (text: string, write: (text: string) => void) => write(text.replace(/^error: /, '✖ ')),
};
const program = new Command('npm run bench --')
  .description('Compares @quiesce/etcd with etcd3 (npm) and clientv3 (Go).')
  .configureOutput(quiet)
  .exitOverride();

subcommand('operations', 'get, put, range and txn: rate, CPU time, latency, memory', true)
  .option('--ops <list>', `operations, of ${ops.join(', ')}`, list(operation), ['get', 'put'])
  .option('--seconds <n>', 'timed part of each run', positive, 2)
  .option('--rounds <n>', 'runs of each client in each cell', positiveInteger, 3)
  .option('--concurrency <list>', 'operations in flight', list(positiveInteger), [1, 64, 512])
  .option('--value-bytes <list>', 'sizes of values', list(positiveInteger), [FLOOR_VALUE_BYTES])
  .option('--connections <list>', 'clients in each process', list(positiveInteger), [1])
  .option('--only <list>', `clients, of ${allClients.join(', ')}`, list(clientName), [...allClients])
  .option('--json <file>', 'write all figures there too')
  .option('--no-floors', "don't judge the speed floors")
  .action(async (options: OperationsOptions) => {
    exitCode = await benchOperations(options);
  });

subcommand('list', 'all of many small keys, in pages at one revision')
  .option('--keys <n>', 'number of keys', positiveInteger, 1_000_000)
  .option('--page-size <n>', 'keys a page', positiveInteger, 10_000)
  .option('--rounds <n>', 'processes of each client', positiveInteger, 3)
  .option('--only <list>', 'clients, of @quiesce/etcd, clientv3', list(clientName), [...allClients])
  .option('--json <file>', 'write all figures there too')
  .action(async (options: ListOptions) => {
    exitCode = await benchList(options);
  });

subcommand('cold-start', 'a process that starts, connects, gets one key and ends')
  .option('--rounds <n>', 'processes of each client', positiveInteger, 20)
  .option('--only <list>', `clients, of ${allClients.join(', ')}`, list(clientName), [...allClients])
  .option('--json <file>', 'write all figures there too')
  .action(async (options: ColdStartOptions) => {
    exitCode = await benchColdStart(options);
  });

subcommand('watch', 'one watch with many events, and many watches on one client')
  .option('--events <n>', 'events that one watch catches up with', positiveInteger, 300_000)
  .option('--watches <n>', 'watches on one client', positiveInteger, 10_000)
  .option('--rounds <n>', 'processes of each client', positiveInteger, 3)
  .option('--only <list>', 'clients, of @quiesce/etcd, clientv3', list(clientName), [...allClients])
  .option('--json <file>', 'write all figures there too')
  .action(async (options: WatchBenchOptions) => {
    exitCode = await benchWatch(options);
  });

subcommand('leases', 'many leases kept alive on one client')
  .option('--leases <n>', 'leases on one client', positiveInteger, 1000)
  .option('--ttl <n>', 'TTL of each, in seconds', positiveInteger, 6)
  .option('--seconds <n>', 'timed part of each run', positive, 6)
  .option('--rounds <n>', 'processes of each client', positiveInteger, 3)
  .option('--only <list>', 'clients, of @quiesce/etcd, clientv3', list(clientName), [...allClients])
  .option('--json <file>', 'write all figures there too')
  .action(async (options: LeasesOptions) => {
    exitCode = await benchLeases(options);
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

function subcommand(name: string, description: string, isDefault = false): Command {
  return program
    .command(name, { isDefault })
    .description(description)
    .allowExcessArguments(false)
    .configureOutput(quiet)
    .exitOverride();
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

function clientName(text: string): string {
  if (!allClients.includes(text)) throw new InvalidArgumentError(`No client is named ${text}.`);
  return text;
}

function operation(text: string): Op {
  const found = ops.find((op) => op === text);
  if (found === undefined) throw new InvalidArgumentError(`No operation is named ${text}.`);
  return found;
}

function list<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => text.split(',').map(parse);
}
