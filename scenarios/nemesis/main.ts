// npm run nemesis: a workload on a real cluster with faults, judged by judge/. docs/measurements/reliability.md describes it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once, setMaxListeners } from 'node:events';
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type ConnectOptions, connect, type EtcdClient } from '@quiesce/etcd';
import { randomFrom } from '@quiesce/test-services';
import { Cluster } from './cluster.js';
import { faultNames, injectFaults } from './faults.js';
import { History } from './history.js';
import { type NemesisOptions, NemesisUsageError, nemesisOptions, nemesisUsage } from './options.js';
import { clientOptions, describe } from './variants.js';
import { barriers } from './workload/barriers.js';
import { elections, locks, rwLocks } from './workload/ownership.js';
import { queues } from './workload/queues.js';
import { counters, registers } from './workload/registers.js';
import { grants, leases, shortSessions } from './workload/sessions.js';
import { steady } from './workload/steady.js';
import type { Work } from './workload/turns.js';
import { watches } from './workload/watches.js';

/** Starts a client's workers of one kind; `index` is the client's. */
type Workload = (work: (name: string) => Work, index: number, copy: number) => Promise<void>[];
const workload: Readonly<Record<string, Workload>> = {
  registers: (work, _index, copy) => [registers(work(`registers${copy}`))],
  counters: (work, _index, copy) => [counters(work(`counters${copy}`))],
  locks: (work, _index, copy) => [locks(work(`locks${copy}a`)), locks(work(`locks${copy}b`))],
  rwLocks: (work, _index, copy) => [rwLocks(work(`rwLocks${copy}`))],
  elections: (work, _index, copy) => [elections(work(`elections${copy}`), copy)],
  barriers: (work, index, copy) => [
    barriers(
      work(`barriers${copy}a`),
      `a${copy}${index < 2 ? 1 : 2}`,
      index % 2 === 0 ? 'back at once' : 'away',
    ),
    barriers(work(`barriers${copy}b`), `b${copy}${index % 2}`, index < 2 ? 'back at once' : 'away'),
  ],
  queues: (work, _index, copy) => [queues(work(`queues${copy}`))],
  leases: (work, _index, copy) => [leases(work(`leases${copy}`))],
  grants: (work, _index, copy) => [grants(work(`grants${copy}`))],
  sessions: (work, _index, copy) => [shortSessions(work(`sessions${copy}`))],
  watches: (work, _index, copy) => [
    watches(work(`watch-registers${copy}`), 'nem/r/'),
    watches(work(`watch-all${copy}`), 'nem/'),
  ],
  steady: (work) => [steady(work('steady'))],
};
const { minutes, seed, variant, beside, faults, work, copies, judge: judgeProgram, keep: kept } = options();
// Clients that are compared have the machine for themselves.
const usual = beside ? ['registers', 'steady'] : Object.keys(workload).filter((name) => name !== 'steady');
// The judge derives the time of a revision from the registers' answers. Without them it would overlook most violations.
const chosen = [...new Set(work === undefined ? usual : ['registers', ...work])];

function options(): NemesisOptions {
  const usage = nemesisUsage(faultNames, Object.keys(workload));
  try {
    const read = nemesisOptions(process.argv.slice(2), faultNames, Object.keys(workload));
    if (read !== 'help') return read;
    console.log(usage);
    process.exit(0);
  } catch (error) {
    if (!(error instanceof NemesisUsageError)) throw error;
    console.error(`✖ ${error.message}\n${usage}`);
    process.exit(2);
  }
}

const dir = kept ?? join('.cache', 'nemesis', `seed-${seed}-${process.pid}`);
mkdirSync(dir, { recursive: true });
let keep = kept !== undefined;
const children: ChildProcess[] = [];
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  if (!keep) rmSync(dir, { recursive: true, force: true });
});
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => process.exit(code));
}

console.log(`seed ${seed}, ${minutes} min, ${describe(variant)}`);
const cluster = await Cluster.start(variant.tls, variant.tokens);
const { endpoints, direct, ids, ca, caFile } = cluster.at;
const auth = variant.tokens ? { username: 'root', password: 'nemesis' } : undefined;
const common: ConnectOptions = {
  endpoints,
  transport: variant.transport,
  ...(ca !== undefined && { tls: { ca } }),
};
if (auth !== undefined) {
  await using admin = await connect({ ...common, endpoints: direct });
  await admin.auth.userAdd(auth.username, { password: auth.password });
  await admin.auth.roleAdd('root');
  await admin.auth.userGrantRole(auth.username, 'root');
  await admin.auth.enable();
}
const withAuth: ConnectOptions = { ...common, ...(auth && { auth }) };

function goProgram(command: string, to: readonly string[], ...more: string[]): ChildProcess {
  const words = [command, `-endpoints=${to.join(',')}`, ...more];
  if (caFile !== undefined) words.push(`-ca=${caFile}`);
  if (auth !== undefined) words.push(`-user=${auth.username}:${auth.password}`);
  const child = spawn(judgeProgram, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}
const recorder = goProgram('record', direct, `-output=${join(dir, 'store.jsonl')}`);
let recorded = 0n;
createInterface({ input: recorder.stdout as NodeJS.ReadableStream }).on('line', (line) => {
  recorded = BigInt(line);
});
const besideLines: string[] = [];
const besidePrograms = beside
  ? [goProgram('beside', endpoints), goProgram('beside', endpoints, '-keepalive')]
  : [];
for (const { stdout } of besidePrograms) {
  createInterface({ input: stdout as NodeJS.ReadableStream }).on('line', (line) => besideLines.push(line));
}

const history = new History(join(dir, 'operations.jsonl'));
const over = new AbortController();
setMaxListeners(0, over.signal);
const working: Promise<void>[] = [];
const clients: EtcdClient[] = [];
let workers = 0;
for (const [index, [client, more]] of Object.entries(clientOptions).entries()) {
  const etcd = await connect({ ...withAuth, ...more });
  clients.push(etcd);
  const work = (name: string): Work => ({
    etcd,
    client,
    worker: `${client}/${name}`,
    history,
    random: randomFrom(seed * 1_000 + ++workers),
    over: over.signal,
  });
  for (const name of chosen) {
    for (let copy = 1; copy <= copies; copy++)
      working.push(...(workload[name] as Workload)(work, index, copy));
  }
}
const admin = await connect({ ...withAuth, endpoints: direct });
const random = randomFrom(seed);
await injectFaults(
  {
    cluster,
    history,
    random,
    // A comparison is over before the next fault.
    pauseMs: () => (beside ? 6_000 : 1_000 + random(3_000)),
    compact: async () => {
      if (recorded > 50n) await admin.compact(recorded - 10n).catch(() => {});
    },
    moveLeader: async (to) => {
      await admin.maintenance.moveLeader(ids[to] as bigint, { timeoutMs: 5_000 }).catch(() => {});
    },
  },
  faults,
  Date.now() + minutes * 60_000,
);
await delay(2_000);
over.abort();
const stuck = await Promise.race([Promise.all(working).then(() => false), delay(60_000).then(() => true)]);
if (stuck) console.log('VIOLATION bounds: workers did not end within 60 s of the last fault');
// Leases that are revoked in the background have time until then.
await delay(beside ? 0 : 5_000);
for (const id of await admin.lease.list()) {
  const lease = await admin.lease.timeToLive(id);
  if (lease !== undefined) {
    history.add('left', { lease: id.toString(16), ttl: lease.grantedTtlSeconds, from: history.now() });
  }
}
await Promise.all([...clients, admin].map((client) => client.close()));
history.close();
const ended = once(recorder, 'exit');
recorder.stdin?.end();
await ended;
await Promise.all(
  besidePrograms.map((program) => {
    program.stdin?.end();
    return once(program, 'close');
  }),
);
appendFileSync(join(dir, 'operations.jsonl'), besideLines.map((line) => `${line}\n`).join(''));
await cluster.stop();
const judge = spawn(judgeProgram, ['judge', dir], { stdio: 'inherit' });
children.push(judge);
const [code] = (await once(judge, 'exit')) as [number];
keep ||= code !== 0;
if (code !== 0) console.log(`the history is in ${dir}`);
process.exit(code === 0 && !stuck ? 0 : 1);
