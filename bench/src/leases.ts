import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { median, startEtcd } from '@quiesce/test-services';
import { isAvailable, leasesCommand } from './clients.js';
import { writeJson } from './report.js';
import { figureTable } from './table.js';

/** Which clients, how many leases, and how long and how often to measure. */
export interface LeasesOptions {
  readonly leases: number;
  /** TTL, in seconds. */
  readonly ttl: number;
  readonly seconds: number;
  /** Seconds before those that count. */
  readonly warmup: number;
  readonly rounds: number;
  readonly only: readonly string[];
  readonly json?: string;
}

/** The one JSON line that a client's program prints. */
export interface LeasesMeasurement {
  readonly client: string;
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Leases that the client has lost by the end. */
  readonly lost: number;
  readonly maxRssMiB: number;
}

/** Many leases kept alive on one stream, with every client in turn. The exit code is 1 if a client lost a lease. */
export async function benchLeases(options: LeasesOptions): Promise<number> {
  const { leases, ttl, seconds, warmup, rounds } = options;
  await using server = await startEtcd();
  const clients = options.only.filter(isAvailable);
  const rows: LeasesMeasurement[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const client of clients) {
      const [file, ...args] = leasesCommand(client, server.endpoint, leases, ttl, seconds, warmup);
      const { stdout } = await promisify(execFile)(file, args, {
        timeout: (warmup + seconds) * 1000 + 60_000,
      });
      rows.push(JSON.parse(stdout) as LeasesMeasurement);
    }
  }
  const table = figureTable(['client', 'CPU ms/s', 'lost', 'MiB']);
  for (const client of clients) {
    const of = rows.filter((row) => row.client === client);
    const cpu = of.map((row) => (row.cpuSeconds * 1000) / row.seconds);
    table.push([
      client,
      median(cpu).toFixed(1),
      of.reduce((sum, { lost }) => sum + lost, 0),
      Math.max(...of.map(({ maxRssMiB }) => maxRssMiB)).toFixed(0),
    ]);
  }
  console.log(
    `\n${leases} leases with a TTL of ${ttl} s kept alive for ${seconds} s: medians of ${rounds}\n${table.toString()}`,
  );
  writeJson(options.json, { rows });
  return rows.some(({ lost }) => lost > 0) ? 1 : 0;
}
