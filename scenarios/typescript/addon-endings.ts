// addon-endings.js ADDON METHOD ENDING: works with an addon, and ends as ENDING says, without closing anything. METHOD
// asks a watch for its next tick: `next` or `nextCloned`.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { workDone } from 'quiesce/work-done';
import { load, port } from './addon.js';

const WORKERS = 3;
const EVERY_US = 300;
const words: string[] = isMainThread ? process.argv.slice(2) : workerData;
const [name = '', method = '', ending = ''] = words;
const addon = load(name);

async function follow(watch: ReturnType<typeof addon.watch>): Promise<void> {
  while ((await watch[method as 'next' | 'nextCloned']()) !== null);
}

/** Returns in the middle of watches and a subscription. */
async function work(watches = 3): Promise<void> {
  for (let i = 0; i < watches; i++) follow(addon.watch(port, EVERY_US)).catch(() => {});
  addon.subscribe(port, EVERY_US, () => {});
  await Promise.all(Array.from({ length: 20 }, () => addon.request(port, Buffer.alloc(100))));
  await sleep(30);
}

function callsInFlight(): void {
  for (let i = 0; i < 50; i++) addon.request(port, Buffer.alloc(100)).catch(() => {});
  addon.sleep(60_000).catch(() => {});
}

/** The next call follows each answer, so that the number in flight stays the same: more would swamp the server. */
async function keepCalling(): Promise<void> {
  for (;;) await addon.request(port, Buffer.alloc(100)).catch(() => {});
}

/** In the middle of calls as well, in a callback. */
function leave(how: () => void): void {
  callsInFlight();
  workDone();
  how();
}

interface Started {
  readonly worker: Worker;
  readonly exited: Promise<unknown>;
}

/** Workers in the middle of calls; some may have ended by then. */
async function workers(): Promise<Started[]> {
  const all = Array.from({ length: WORKERS }, () => {
    const worker = new Worker(new URL(import.meta.url), { workerData: words });
    return { worker, exited: once(worker, 'exit'), atWork: once(worker, 'message') };
  });
  await Promise.all(all.map(({ atWork }) => atWork));
  return all;
}

const endings: Readonly<Record<string, () => Promise<void>>> = {
  async fall() {
    // A pending call of a watch would hold the event loop.
    await work(0);
    workDone();
  },
  async exit() {
    await work();
    setTimeout(() => leave(() => process.exit(0)), 5);
  },
  async exception() {
    await work();
    setTimeout(
      () =>
        leave(() => {
          throw new Error('leaving by an exception');
        }),
      5,
    );
  },
  async SIGTERM() {
    await work();
    leave(() => process.kill(process.pid, 'SIGTERM'));
  },
  async 'SIGTERM-handler'() {
    await work();
    process.on('SIGTERM', () => leave(() => process.exit(0)));
    process.kill(process.pid, 'SIGTERM');
  },
  async 'SIGINT-handler'() {
    await work();
    process.on('SIGINT', () => leave(() => process.exit(0)));
    process.kill(process.pid, 'SIGINT');
  },
  async terminate() {
    const all = await workers();
    await Promise.all(all.map(({ worker }) => worker.terminate()));
    workDone();
  },
  async 'terminate-exit'() {
    for (const { worker } of await workers()) void worker.terminate();
    workDone();
    process.exit(0);
  },
  async 'worker-exit'() {
    const all = await workers();
    await Promise.all(all.map(({ exited }) => exited));
    workDone();
  },
  async 'exit-with-workers'() {
    await work();
    await workers();
    leave(() => process.exit(0));
  },
};

if (isMainThread) {
  const run = endings[ending];
  if (run === undefined) throw new Error(`unknown ending ${JSON.stringify(ending)}`);
  await run();
} else {
  await work();
  parentPort?.postMessage('at work');
  callsInFlight();
  if (ending === 'worker-exit') setTimeout(() => process.exit(0), 5);
  else for (let i = 0; i < 50; i++) void keepCalling();
}
