// @quiesce/etcd makes one call after another: prints, as a JSON line, when each was and what happened during it.
// `node tail-client.js <endpoint> <get or put> <seconds> <warm-up in seconds> <value bytes> [counters]`
import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '@quiesce/etcd';
import { keyName } from '../cell.js';
import type { SingleCall } from '../tail/call-parts.js';
import { threadsOf } from '../tail/kernel-trace.js';
import type { TailRun } from '../tail/tail.js';
import { SchedulerStatistics } from './scheduler-statistics.js';

const [endpoint = '', op, seconds, warmup, valueBytes, counters] = process.argv.slice(2);
const etcd = await connect(endpoint);
const value = 'v'.repeat(Number(valueBytes));
const call = op === 'put' ? (key: string) => etcd.put(key, value) : (key: string) => etcd.get(key);
const threads = threadsOf('self');
// The kernel's counters, where there is no trace. To read them takes time between the calls.
const javaScript = counters === undefined ? undefined : new SchedulerStatistics();
const runtime = counters === undefined ? undefined : new SchedulerStatistics(runtimeThread());
const collections: { readonly startTime: number; readonly duration: number }[] = [];
const observer = new PerformanceObserver((list) => collections.push(...list.getEntries()));
observer.observe({ entryTypes: ['gc'] });

// The clock of the kernel's trace, in µs.
const now = (): number => {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
};
const calls: SingleCall[] = [];
for (const [length, kept] of [
  [Number(warmup), false],
  [Number(seconds), true],
] as const) {
  for (let turn = 0, end = now() + length * 1e6; now() < end; turn++) {
    const waited = javaScript?.waitedMs() ?? 0;
    const runtimeWaited = runtime?.waitedMs() ?? 0;
    const startAt = now();
    await call(keyName(turn % 1000));
    const micros = now() - startAt;
    if (!kept) continue;
    calls.push({
      startAt,
      micros,
      collected: 0,
      waited: ((javaScript?.waitedMs() ?? 0) - waited) * 1000,
      runtimeWaited: ((runtime?.waitedMs() ?? 0) - runtimeWaited) * 1000,
    });
  }
}
// Collections are reported some turns later.
await sleep(100);
observer.disconnect();
const zero = originOfPerformance();
let at = 0;
for (const { startTime, duration } of collections) {
  const began = zero + startTime * 1000;
  while (at + 1 < calls.length && (calls[at + 1] as SingleCall).startAt <= began) at += 1;
  const during = calls[at];
  if (during?.collected !== undefined && began >= during.startAt && began < during.startAt + during.micros)
    calls[at] = { ...during, collected: during.collected + duration * 1000 };
}
await etcd.close();
console.log(JSON.stringify({ threads, calls } satisfies TailRun));

function runtimeThread(): number {
  return threads.find(({ name }) => name === 'quiesce-etcd')?.id ?? process.pid;
}

/** The time at which `performance.now()` was 0. Of several readings that with the least time between the two clocks. */
function originOfPerformance(): number {
  const readings = Array.from({ length: 20 }, () => {
    const before = now();
    const ms = performance.now();
    return { took: now() - before, origin: before - ms * 1000 };
  });
  return readings.reduce((best, reading) => (reading.took < best.took ? reading : best)).origin;
}
