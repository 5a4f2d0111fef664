import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { connect } from '@quiesce/etcd';
import { median, startEtcd } from '@quiesce/test-services';
import { keyName } from './cell.js';
import { coldStartCommand, isAvailable } from './clients.js';
import { writeJson } from './report.js';
import { figureTable } from './table.js';

/** Which clients, and how many processes of each. */
export interface ColdStartOptions {
  readonly rounds: number;
  readonly only: readonly string[];
  readonly json?: string;
}

/** Times whole processes that connect and get one key, all clients in turn, and an empty Node program for scale. */
export async function benchColdStart(options: ColdStartOptions): Promise<number> {
  await using server = await startEtcd();
  const etcd = await connect(server.endpoint);
  await etcd.put(keyName(0), 'value');
  await etcd.close();
  const commands: [string, readonly string[]][] = [
    ['an empty Node program', [process.execPath, '-e', '']],
    ...options.only
      .filter(isAvailable)
      .map((client): [string, readonly string[]] => [client, coldStartCommand(client, server.endpoint)]),
  ];
  const times = commands.map(() => [] as number[]);
  for (let round = 0; round < options.rounds; round++) {
    for (const [i, [, [file = '', ...args]]] of commands.entries()) {
      const start = performance.now();
      await promisify(execFile)(file, args, { timeout: 30_000 });
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
  writeJson(options.json, { rows });
  return 0;
}
