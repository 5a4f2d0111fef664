// @quiesce/etcd under pressure: prints one JSON line. bench/go/pressure.go does the same for Go, without threads.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { connect, type EtcdClient, op, prefix } from '@quiesce/etcd';
import { keyName } from '../cell.js';
import { type Load, type LoadMeasurement, type LoadSize, quantileMicros } from '../pressure/measurement.js';
import { manyKey, PUTS_PER_TXN, REPLAY_PREFIX } from '../watch.js';
import { watchLateness } from './event-loop-lateness.js';
import { measureResources } from './resources.js';
import { prepareSessions } from './session-loads.js';

/** How long the slow consumer takes for an event, in ms. */
const SLOW_MS = 20;

/** The load of one run: how many events or calls, and the time of each in ms, if it is known. */
interface Done {
  readonly ops: number;
  readonly latencies: readonly number[];
  readonly maxStallMs?: number;
}

if (isMainThread) await main();
else await work(workerData as Parameters<typeof work>[0]);

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    strict: false,
    options: Object.fromEntries(
      'endpoint load watches bursts events startRevision slow threads concurrency seconds sessions shared times'
        .split(' ')
        .map((name) => [name, text]),
    ),
  });
  const { endpoint = '', load, startRevision = '0' } = values as Record<string, string>;
  const number = (name: keyof LoadSize): number => Number(values[name] ?? 0);
  const size: LoadSize = {
    watches: number('watches'),
    bursts: number('bursts'),
    events: number('events'),
    startRevision: BigInt(startRevision),
    slow: number('slow'),
    threads: number('threads'),
    concurrency: number('concurrency'),
    seconds: number('seconds'),
    sessions: number('sessions'),
    shared: number('shared'),
    times: number('times'),
  };
  const etcd = await connect(endpoint);
  const run = await prepare(load as Exclude<Load, 'idle'>, etcd, endpoint, size);
  const resources = measureResources();
  // To watch the event loop takes CPU time, which counts where calls wait for one another.
  const endLateness =
    load === 'locks' || load === 'elections' ? () => ({ maxStallMs: 0, maxOwnStallMs: 0 }) : watchLateness();
  const start = performance.now();
  const { ops, latencies, maxStallMs } = await run();
  const seconds = (performance.now() - start) / 1000;
  const used = resources();
  const lateness = endLateness();
  await etcd.close();
  const micros = quantileMicros(latencies);
  const measurement: LoadMeasurement = {
    client: '@quiesce/etcd',
    ops,
    seconds,
    p50Micros: micros(0.5),
    p99Micros: micros(0.99),
    ...used,
    ...lateness,
    ...(maxStallMs !== undefined && { maxStallMs, maxOwnStallMs: 0 }),
  };
  console.log(JSON.stringify(measurement));
}

async function prepare(
  load: Exclude<Load, 'idle'>,
  etcd: EtcdClient,
  endpoint: string,
  size: LoadSize,
): Promise<() => Promise<Done>> {
  switch (load) {
    case 'bursts':
      return () => bursts(etcd, size);
    case 'slow':
      return () => slow(etcd, size);
    case 'workers':
      return () => workers(endpoint, size);
    default: {
      const timed = await prepareSessions(load, etcd, size);
      return async () => {
        const latencies = await timed();
        return { ops: latencies.length, latencies };
      };
    }
  }
}

/**
 * All keys change at once, again and again, and each watch sees its own key. Measures how long after the start of a
 * burst.
 */
async function bursts(etcd: EtcdClient, { watches: count, bursts: times }: LoadSize): Promise<Done> {
  const watches = Array.from({ length: count }, (_, i) => etcd.watch(manyKey(i)));
  await Promise.all(watches.map(({ ready }) => ready));
  const latencies: number[] = [];
  let begun = 0;
  const consumers = watches.map(async (watch) => {
    let left = times;
    for await (const _event of watch) {
      latencies.push(performance.now() - begun);
      if (--left === 0) break;
    }
  });
  for (let burst = 1; burst <= times; burst++) {
    begun = performance.now();
    const puts = Array.from({ length: count }, (_, i) => op.put(manyKey(i), 'value'));
    const txns = Array.from({ length: Math.ceil(count / PUTS_PER_TXN) }, (_, i) =>
      etcd.txn({ success: puts.slice(i * PUTS_PER_TXN, (i + 1) * PUTS_PER_TXN) }),
    );
    await Promise.all(txns);
    while (latencies.length < burst * count) await sleep(1);
  }
  await Promise.all(consumers);
  return { ops: count * times, latencies };
}

/** Fast consumers of a long history, with or without a slow one that never reaches its end. */
async function slow(
  etcd: EtcdClient,
  { watches, events, startRevision, slow: slowOnes }: LoadSize,
): Promise<Done> {
  const watch = () => etcd.watch(prefix(REPLAY_PREFIX), { startRevision });
  const behind = Array.from({ length: slowOnes }, async () => {
    for await (const _event of watch()) await sleep(SLOW_MS, undefined, { ref: false });
  });
  for (const each of behind) each.catch(() => {});
  await Promise.all(
    Array.from({ length: watches }, async () => {
      let left = events;
      for await (const _event of watch()) if (--left === 0) break;
    }),
  );
  return { ops: watches * events, latencies: [] };
}

/** Threads that get keys, each with its own client. */
async function workers(endpoint: string, { threads, concurrency, seconds }: LoadSize): Promise<Done> {
  const done = await Promise.all(
    Array.from({ length: threads }, async () => {
      const worker = new Worker(fileURLToPath(import.meta.url), {
        workerData: { endpoint, concurrency, seconds },
      });
      const [answer] = (await once(worker, 'message')) as [Done];
      await once(worker, 'exit');
      return answer;
    }),
  );
  return {
    ops: done.reduce((sum, { ops }) => sum + ops, 0),
    latencies: done.flatMap(({ latencies }) => latencies),
    maxStallMs: Math.max(...done.map(({ maxStallMs = 0 }) => maxStallMs)),
  };
}

/** One of these threads. */
async function work({
  endpoint,
  concurrency,
  seconds,
}: { endpoint: string } & Pick<LoadSize, 'concurrency' | 'seconds'>): Promise<void> {
  const etcd = await connect(endpoint);
  const endLateness = watchLateness();
  const latencies: number[] = [];
  const end = performance.now() + seconds * 1000;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      for (let before = performance.now(); before < end; ) {
        await etcd.get(keyName(latencies.length % 1000));
        const now = performance.now();
        latencies.push(now - before);
        before = now;
      }
    }),
  );
  const { maxStallMs } = endLateness();
  await etcd.close();
  parentPort?.postMessage({ ops: latencies.length, latencies, maxStallMs } satisfies Done);
}
