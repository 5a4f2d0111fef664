import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { connect } from '@quiesce/etcd';
import { median, startEtcd } from '@quiesce/test-services';
import { keyName } from './cell.js';
import { coldStartCommand, isAvailable, SUBJECT } from './clients.js';
import type { Phase } from './programs/cold-start-client.js';
import { writeJson } from './report.js';
import { figureTable } from './table.js';

/** Which clients, and how many processes for each. */
export interface ColdStartOptions {
  readonly rounds: number;
  readonly only: readonly string[];
  readonly json?: string;
}

/**
 * Without the machine's own certificates: where this variable is set, Node reads them at every start, and the few
 * hundred of a usual list take as long as the whole rest.
 */
const { NODE_EXTRA_CA_CERTS: _, ...ENVIRONMENT } = process.env;
const PROCESS = { timeout: 30_000, env: ENVIRONMENT };

/** Times whole processes that connect and get one key, all clients in turn, and an empty Node program for comparison. */
export async function benchColdStart(options: ColdStartOptions): Promise<number> {
  await using server = await startEtcd();
  const etcd = await connect(server.endpoint);
  await etcd.put(keyName(0), 'value');
  await etcd.close();
  const commands: [string, readonly string[]][] = [
    ['an empty Node program', [process.execPath, '-e', '']],
    // The loader's own time belongs to no client.
    ['an empty ES module', [process.execPath, '--input-type=module', '-e', '']],
    ...options.only
      .filter(isAvailable)
      .map((client): [string, readonly string[]] => [client, coldStartCommand(client, server.endpoint)]),
  ];
  const times = commands.map(() => [] as number[]);
  for (let round = 0; round < options.rounds; round++) {
    for (const [i, [, [file = '', ...args]]] of commands.entries()) {
      const start = performance.now();
      await promisify(execFile)(file, args, PROCESS);
      times[i]?.push(performance.now() - start);
    }
  }
  const table = figureTable(['process', 'median ms', 'min–max ms']);
  const rows = commands.map(([name], i) => {
    const all = times[i] ?? [];
    return { name, medianMs: median(all), minMs: Math.min(...all), maxMs: Math.max(...all) };
  });
  for (const { name, medianMs, minMs, maxMs } of rows) {
    table.push([name, medianMs.toFixed(1), `${minMs.toFixed(1)}–${maxMs.toFixed(1)}`]);
  }
  console.log(`\nstart, connect, get one key, end: ${options.rounds} processes each\n${table.toString()}`);
  const phases = options.only.includes(SUBJECT) ? await phasesOf(server.endpoint, options.rounds) : [];
  writeJson(options.json, { rows, phases });
  return 0;
}

/** Where this client's time goes, as medians: CPU time, which is stable on a busy machine, and elapsed time. */
async function phasesOf(endpoint: string, rounds: number): Promise<Phase[]> {
  const [file, ...args] = coldStartCommand(SUBJECT, endpoint);
  const runs: Phase[][] = [];
  for (let round = 0; round < rounds; round++) {
    const { stdout } = await promisify(execFile)(file, [...args, 'phases'], PROCESS);
    runs.push(JSON.parse(stdout) as Phase[]);
  }
  const table = figureTable(['part', 'CPU ms', 'ms']);
  const phases = (runs[0] ?? []).map(({ name }, i): Phase => {
    const middle = (of: (phase: Phase) => number): number => median(runs.map((run) => of(run[i] as Phase)));
    return { name, cpuMs: middle(({ cpuMs }) => cpuMs), ms: middle(({ ms }) => ms) };
  });
  for (const { name, cpuMs, ms } of phases) table.push([name, cpuMs.toFixed(1), ms.toFixed(1)]);
  console.log(`\nof ${SUBJECT}\n${table.toString()}`);
  return phases;
}
