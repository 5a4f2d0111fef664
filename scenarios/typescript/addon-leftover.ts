// addon-leftover.js ADDON METHOD: ends workers in the middle of work, and looks for what they leave in the process. The
// exit code is 1 if there are sockets or threads of the addon.
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { workDone } from 'quiesce/work-done';
import { load, port } from './addon.js';

const ROUNDS = 5;
const WORKERS = 2;
const SETTLE_MS = 1000;
const ADDONS_THREAD = /^(?:tokio|napi-owned)/;
const words: string[] = isMainThread ? process.argv.slice(2) : workerData;
const [name = '', method = ''] = words;
// Loaded in the main thread, too, so that it stays loaded while its workers come and go.
const addon = name === '' ? undefined : load(name);

interface Left {
  readonly sockets: number;
  readonly threads: number;
}

/** How many entries of a folder in /proc pass the test. Entries that disappear meanwhile don't. */
function count(folder: string, passes: (entry: string) => boolean): number {
  return readdirSync(folder).filter((entry) => {
    try {
      return passes(`${folder}/${entry}`);
    } catch {
      return false;
    }
  }).length;
}

const left = (): Left => ({
  sockets: count('/proc/self/fd', (file) => readlinkSync(file).startsWith('socket:')),
  threads: count('/proc/self/task', (task) => ADDONS_THREAD.test(readFileSync(`${task}/comm`, 'utf8'))),
});

async function endWorkers(workerData: string[]): Promise<void> {
  const workers = Array.from({ length: WORKERS }, () => new Worker(new URL(import.meta.url), { workerData }));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  await Promise.all(workers.map((worker) => worker.terminate()));
}

/** Threads and connections may end a moment later. */
async function settled(fine: (now: Left) => boolean): Promise<Left> {
  const until = performance.now() + SETTLE_MS;
  let now = left();
  while (!fine(now) && performance.now() < until) {
    await sleep(20);
    now = left();
  }
  return now;
}

async function main(): Promise<void> {
  // What the host keeps for its workers stays. Deno, for example, keeps two sockets from the fourth worker on.
  for (let round = 0; round < ROUNDS; round++) await endWorkers([]);
  const before = left();
  for (let round = 0; round < ROUNDS; round++) await endWorkers(words);
  const clean = ({ sockets, threads }: Left): boolean =>
    sockets <= before.sockets && threads <= before.threads;
  const after = await settled(clean);
  if (!clean(after)) console.error('before:', before, 'after ten workers:', after);
  workDone();
  process.exit(clean(after) ? 0 : 1);
}

function inWorker(): void {
  for (let i = 0; addon !== undefined && i < 3; i++) {
    addon.subscribe(port, 1000, () => {});
    addon.sleep(600_000).catch(() => {});
    const watch = addon.watch(port, 1000);
    watch[method as 'next' | 'nextCloned']().catch(() => {});
  }
  setTimeout(() => parentPort?.postMessage('at work'), 50);
  setInterval(() => {}, 60_000);
}

if (isMainThread) await main();
else inWorker();
