// npm run bench: this client beside its peers, interleaved on one etcd. See docs/benchmarks.md.
import { writeFileSync } from 'node:fs';
import { connect } from '@quiesce/etcd';
import { startEtcd } from '@quiesce/test-services';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { type Cell, keyName, type Workload } from './cell.js';
import { allClients, isAvailable, measureClient } from './clients.js';
import { cellTable, floorLine, judgeFloors, type Row, summarize } from './report.js';

const KEYS = 1000;
const VALUE = 'v'.repeat(32);
const WARMUP_SECONDS = 0.5;

interface Options {
  readonly seconds: number;
  readonly rounds: number;
  readonly concurrency: number[];
  readonly only: string[];
  readonly json?: string;
  readonly floors: boolean;
}

const command = new Command('npm run bench --')
  .description('Compares @quiesce/etcd with etcd3 (npm) and clientv3 (Go).')
  .option('--seconds <n>', 'timed part of each run', positive, 2)
  .option('--rounds <n>', 'runs of each client in each cell', positiveInteger, 3)
  .option('--concurrency <list>', 'operations in flight', list(positiveInteger), [1, 64, 512])
  .option('--only <list>', `clients, of ${allClients.join(', ')}`, list(clientName), [...allClients])
  .option('--json <file>', 'write all figures there too')
  .option('--no-floors', "don't judge the speed floors")
  .allowExcessArguments(false)
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, '✖ ')) })
  .exitOverride();

try {
  command.parse();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exit(error.exitCode === 0 ? 0 : 2);
}
try {
  process.exitCode = await bench(command.opts<Options>());
} catch (error) {
  const { message, stderr } = error as Error & { stderr?: string };
  console.error(`✖ the benchmark failed: ${stderr?.trim() || message}`);
  process.exitCode = 3;
}

async function bench(options: Options): Promise<number> {
  const clients = options.only.filter(isAvailable);
  await using server = await startEtcd();
  await writeKeys(server.endpoint);
  const rows: Row[] = [];
  for (const op of ['get', 'put'] as const) {
    for (const concurrency of options.concurrency) {
      const workload = { op, concurrency, endpoint: server.endpoint, seconds: options.seconds };
      const cell = await measureCell(clients, options.rounds, workload);
      console.log(`\n${op}, ${concurrency} in flight\n${cellTable(cell)}`);
      rows.push(...cell);
    }
  }
  const floors = options.floors ? judgeFloors(rows) : [];
  if (floors.length > 0) console.log(`\nfloors\n${floors.map(floorLine).join('\n')}`);
  if (options.json !== undefined) {
    writeFileSync(options.json, `${JSON.stringify({ rows, floors }, undefined, 2)}\n`);
  }
  return floors.every(({ met }) => met) ? 0 : 1;
}

/** In each round every client has its turn, and each time another one is first. */
async function measureCell(
  clients: readonly string[],
  rounds: number,
  cell: Cell & Pick<Workload, 'endpoint' | 'seconds'>,
): Promise<Row[]> {
  const workload: Workload = { ...cell, warmup: WARMUP_SECONDS, keys: KEYS, value: VALUE };
  const measured = clients.map(() => [] as Awaited<ReturnType<typeof measureClient>>[]);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < clients.length; turn++) {
      const index = (round + turn) % clients.length;
      measured[index]?.push(await measureClient(clients[index] as string, workload));
    }
  }
  return measured.map(summarize);
}

async function writeKeys(endpoint: string): Promise<void> {
  const etcd = await connect({ endpoints: endpoint });
  await Promise.all(Array.from({ length: KEYS }, (_, i) => etcd.put(keyName(i), VALUE)));
  await etcd.close();
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

function list<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => text.split(',').map(parse);
}
