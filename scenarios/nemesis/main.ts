// npm run nemesis: a workload on a real cluster with faults, judged by judge/. docs/reliability.md tells of it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type ConnectOptions, connect, type EtcdClient } from '@quiesce/etcd';
import { randomFrom } from '@quiesce/test-services';
import { Cluster } from './cluster.js';
import { faultNames, injectFaults } from './faults.js';
import { History } from './history.js';
import { barriers, counters, elections, leases, locks, registers, type Work, watches } from './workload.js';

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    transport: { type: 'string', default: 'native' },
    tls: { type: 'boolean', default: false },
    tokens: { type: 'boolean', default: false },
    beside: { type: 'boolean', default: false },
    faults: { type: 'string', default: faultNames.join(',') },
    judge: { type: 'string', default: join('.cache', 'nemesis', 'judge') },
    keep: { type: 'string' },
  },
});
const { transport } = options;
if (transport !== 'native' && transport !== 'grpc-js') throw new Error(`no transport is named ${transport}`);
const seed = Number(options.seed);
const faults = options.faults.split(',');
const unknown = faults.find((name) => !faultNames.includes(name));
if (unknown !== undefined)
  throw new Error(`no fault is named ${unknown}; there are ${faultNames.join(', ')}`);

const dir = options.keep ?? join('.cache', 'nemesis', `seed-${seed}-${process.pid}`);
mkdirSync(dir, { recursive: true });
let keep = options.keep !== undefined;
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

console.log(
  `seed ${seed}, ${options.minutes} min, ${transport}${options.tls ? ', TLS' : ''}${options.tokens ? ', tokens of 3 s' : ''}`,
);
const cluster = await Cluster.start(options.tls, options.tokens);
const { endpoints, direct, ids, ca, caFile } = cluster.at;
const auth = options.tokens ? { username: 'root', password: 'nemesis' } : undefined;
const common: ConnectOptions = {
  endpoints,
  transport,
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
  const child = spawn(options.judge, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}
const recorder = goProgram('record', direct, `-output=${join(dir, 'store.jsonl')}`);
let recorded = 0n;
createInterface({ input: recorder.stdout as NodeJS.ReadableStream }).on('line', (line) => {
  recorded = BigInt(line);
});
const besideLines: string[] = [];
const beside = options.beside ? goProgram('beside', endpoints) : undefined;
if (beside?.stdout) createInterface({ input: beside.stdout }).on('line', (line) => besideLines.push(line));

const history = new History(join(dir, 'operations.jsonl'));
const keepAlive = { intervalMs: 5_000, timeoutMs: 1_000 };
const kinds: Readonly<Record<string, ConnectOptions>> = {
  default: {},
  keepAlive: { keepAlive },
  attempts: { attemptTimeoutMs: 1_000 },
  both: { keepAlive, attemptTimeoutMs: 1_000, timeoutMs: 5_000 },
};
const over = new AbortController();
const working: Promise<void>[] = [];
const clients: EtcdClient[] = [];
let workers = 0;
for (const [index, [client, more]] of Object.entries(kinds).entries()) {
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
  working.push(
    registers(work('registers')),
    counters(work('counters')),
    locks(work('locks1')),
    locks(work('locks2')),
    elections(work('elections')),
    barriers(work('barriers'), index < 2 ? 'a' : 'b'),
    leases(work('leases')),
    watches(work('watch-registers'), 'nem/r/'),
    watches(work('watch-all'), 'nem/'),
  );
}
const admin = await connect({ ...withAuth, endpoints: direct });
await injectFaults(
  {
    cluster,
    history,
    random: randomFrom(seed),
    compact: async () => {
      if (recorded > 50n) await admin.compact(recorded - 10n).catch(() => {});
    },
    moveLeader: async (to) => {
      await admin.maintenance.moveLeader(ids[to] as bigint, { timeoutMs: 5_000 }).catch(() => {});
    },
  },
  faults,
  Date.now() + Number(options.minutes) * 60_000,
);
await delay(2_000);
over.abort();
const stuck = await Promise.race([Promise.all(working).then(() => false), delay(60_000).then(() => true)]);
if (stuck) console.log('VIOLATION bounds: workers did not end within 60 s of the last fault');
await Promise.all([...clients, admin].map((client) => client.close()));
history.close();
const ended = once(recorder, 'exit');
recorder.stdin?.end();
await ended;
if (beside !== undefined) {
  beside.stdin?.end();
  await once(beside, 'exit');
  appendFileSync(join(dir, 'operations.jsonl'), besideLines.map((line) => `${line}\n`).join(''));
}
await cluster.stop();
const judge = spawn(options.judge, ['judge', dir], { stdio: 'inherit' });
children.push(judge);
const [code] = (await once(judge, 'exit')) as [number];
keep ||= code !== 0;
if (code !== 0) console.log(`the history is in ${dir}`);
process.exit(code === 0 && !stuck ? 0 : 1);
