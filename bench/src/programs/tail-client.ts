// @quiesce/etcd makes one get after another: prints, as a JSON line, what happened during each.
import { readdirSync, readFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '@quiesce/etcd';
import { keyName } from '../cell.js';
import type { SingleCall } from '../tail/tail.js';
import { SchedulerStatistics } from './scheduler-statistics.js';

const [endpoint = '', seconds, warmup] = process.argv.slice(2);
const etcd = await connect(endpoint);
const javaScript = new SchedulerStatistics();
const runtime = new SchedulerStatistics(threadNamed('quiesce-etcd'));
const collections: { readonly startTime: number; readonly duration: number }[] = [];
const observer = new PerformanceObserver((list) => collections.push(...list.getEntries()));
observer.observe({ entryTypes: ['gc'] });

const starts: number[] = [];
const calls: SingleCall[] = [];
for (const [length, kept] of [
  [Number(warmup), false],
  [Number(seconds), true],
] as const) {
  for (let turn = 0, end = performance.now() + length * 1000; performance.now() < end; turn++) {
    const waited = javaScript.waitedMs();
    const runtimeWaited = runtime.waitedMs();
    const start = performance.now();
    await etcd.get(keyName(turn % 1000));
    const ms = performance.now() - start;
    if (!kept) continue;
    starts.push(start);
    calls.push({
      ms,
      waitedMs: javaScript.waitedMs() - waited,
      runtimeWaitedMs: runtime.waitedMs() - runtimeWaited,
      collectedMs: 0,
    });
  }
}
// Collections are reported some turns later.
await sleep(100);
observer.disconnect();
let at = 0;
for (const { startTime, duration } of collections) {
  while (at + 1 < starts.length && (starts[at + 1] as number) <= startTime) at += 1;
  const call = calls[at];
  if (call !== undefined && startTime < (starts[at] as number) + call.ms)
    calls[at] = { ...call, collectedMs: call.collectedMs + duration };
}
await etcd.close();
console.log(JSON.stringify(calls));

/** The number of this process's thread with that name; the main thread's if there is none, or no list of threads. */
function threadNamed(name: string): number {
  try {
    const found = readdirSync('/proc/self/task').find(
      (thread) => readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').trim() === name,
    );
    return Number(found ?? process.pid);
  } catch {
    return process.pid;
  }
}
