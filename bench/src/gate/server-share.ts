import { readFileSync } from 'node:fs';
import type { LivingClient } from '../living.js';

/** In the kernel's files a second has so many ticks on every Linux. */
const TICKS_PER_SECOND = 100;

/** What some batches have cost: CPU time in seconds, and the number of operations. */
export interface Spent {
  client: number;
  server: number;
  ops: number;
}

/** The same client, whose batches are added up, with the CPU time of the server meanwhile. */
export function counted(client: LivingClient, serverPid: number): { client: LivingClient; spent: Spent } {
  const spent: Spent = { client: 0, server: 0, ops: 0 };
  return {
    spent,
    client: {
      name: client.name,
      async run(batch) {
        const before = cpuSecondsOf(serverPid);
        const taken = await client.run(batch);
        spent.server += cpuSecondsOf(serverPid) - before;
        spent.client += taken.cpuSeconds;
        spent.ops += batch.ops;
        return taken;
      },
      [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
    },
  };
}

/**
 * How many times the other client's rate a client could reach that takes no CPU time at all, where all CPUs are busy: what is left is
 * the server's own work.
 */
export function mostRate(own: Spent, other: Spent): number {
  return (other.client + other.server) / other.ops / (own.server / own.ops);
}

/** User and system time of a process so far; NaN where the host has no `/proc`. */
function cpuSecondsOf(pid: number): number {
  if (process.platform !== 'linux') return Number.NaN;
  // After the name, which may have spaces, the first field is the state.
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(/\) (?=[A-Z] )/);
  const [user, system] = fields.split(' ').slice(11, 13);
  return (Number(user) + Number(system)) / TICKS_PER_SECOND;
}
