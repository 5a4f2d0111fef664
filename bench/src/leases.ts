import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { median, startEtcd } from '@quiesce/test-services';
import { isAvailable, leasesCommand } from './clients.js';
import { writeJson } from './report.js';
import { figureTable } from './table.js';

/** How many leases, and how long. */
export interface LeasesSizes {
  readonly leases: number;
  /** TTL, in seconds. */
  readonly ttl: number;
  /** Length of each window. */
  readonly seconds: number;
  /**
   * How many windows are measured in a process. Sometimes V8 compiles another function, or collects the old generation. That fills
   * a window or two, but the median of many is the cost of the renewals.
   */
  readonly windows: number;
  /** Seconds before those that count. */
  readonly warmup: number;
}

/** Which clients, and how often. */
export interface LeasesOptions extends LeasesSizes {
  readonly rounds: number;
  readonly only: readonly string[];
  readonly json?: string;
}

/** The one JSON line that a client's program prints. */
export interface LeasesMeasurement {
  readonly client: string;
  /** CPU time of each window, in ms a second. */
  readonly cpuMsPerSecond: readonly number[];
  /** Leases that the client has lost by the end. */
  readonly lost: number;
  readonly maxRssMiB: number;
}

/** Many leases kept alive on one stream, with every client in turn. The exit code is 1 if a client lost a lease. */
export async function benchLeases(options: LeasesOptions): Promise<number> {
  const { leases, ttl, seconds, windows, warmup, rounds } = options;
  await using server = await startEtcd();
  const clients = options.only.filter(isAvailable);
  const rows: LeasesMeasurement[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const client of clients) {
      rows.push(await keepLeases(client, server.endpoint, options));
    }
  }
  const table = figureTable(['client', 'CPU ms/s', 'mean', 'lost', 'MiB']);
  for (const client of clients) {
    const of = rows.filter((row) => row.client === client);
    const cpu = of.flatMap(({ cpuMsPerSecond }) => cpuMsPerSecond);
    table.push([
      client,
      median(cpu).toFixed(1),
      (cpu.reduce((sum, each) => sum + each, 0) / cpu.length).toFixed(1),
      of.reduce((sum, { lost }) => sum + lost, 0),
      Math.max(...of.map(({ maxRssMiB }) => maxRssMiB)).toFixed(0),
    ]);
  }
  console.log(
    `\n${leases} leases with a TTL of ${ttl} s kept alive: ${rounds} times ${windows} windows of ${seconds} s after ${warmup} s\n${table.toString()}`,
  );
  writeJson(options.json, { rows });
  return rows.some(({ lost }) => lost > 0) ? 1 : 0;
}

/** One client's process that keeps leases alive. */
export async function keepLeases(
  client: string,
  endpoint: string,
  sizes: LeasesSizes,
): Promise<LeasesMeasurement> {
  const [file, ...args] = leasesCommand(client, endpoint, sizes);
  const { stdout } = await promisify(execFile)(file, args, {
    timeout: (sizes.warmup + sizes.windows * sizes.seconds) * 1000 + 60_000,
  });
  return JSON.parse(stdout) as LeasesMeasurement;
}
