// Measures the cost of argument checks in @quiesce/etcd, compared with its calls. Prints one line for each operation:
// ChecksTaken.
import { parseArgs } from 'node:util';
import { compare, connect, op } from '@quiesce/etcd';
import { keyName } from '../cell.js';
import type { ChecksTaken, ChecksWorkload } from '../checks/checks.js';
import { measureResources } from './resources.js';

/** The parts of the client's own modules that are measured: see util/options.ts and util/methods.ts there. */
interface Options {
  readonly Description: { readonly prototype: { check(this: unknown, given: unknown): void } };
}
interface Methods {
  guardMethods(type: object, isOurs: (it: object) => boolean, most: object): void;
}
const module = async <T>(name: string): Promise<T> =>
  (await import(new URL(name, import.meta.resolve('@quiesce/etcd')).href)) as T;
const { prototype } = (await module<Options>('./util/options.js')).Description;
const { guardMethods } = await module<Methods>('./util/methods.js');

const TIMEOUT_MS = 10_000;
const { values } = parseArgs({
  options: { endpoint: { type: 'string' }, workload: { type: 'string' } },
});
const { concurrency, rounds, batchMs, valueBytes } = JSON.parse(values.workload ?? '') as ChecksWorkload;
const etcd = await connect(values.endpoint ?? '');
const keys = Array.from({ length: 1000 }, (_, i) => keyName(i));
const value = Buffer.alloc(valueBytes, 'v');
/** With options, as a program passes them: absent options cost no check. */
const calls: Readonly<Record<ChecksTaken['op'], (key: string) => Promise<unknown>>> = {
  get: (key) => etcd.get(key, { timeoutMs: TIMEOUT_MS }),
  put: (key) => etcd.put(key, value, { timeoutMs: TIMEOUT_MS }),
  txn: (key) =>
    etcd.txn(
      { compare: [compare.version(key, '>', 0)], success: [op.put(key, value, { ignoreLease: true })] },
      { timeoutMs: TIMEOUT_MS },
    ),
};

type Checked = readonly [description: unknown, given: unknown];
const original = prototype.check;
let record: Checked[] | undefined;
let checking = true;
let last = 0;
prototype.check = function (given) {
  record?.push([this, given]);
  if (checking) original.call(this, given);
};

/** A method that is guarded like the client's, and one that isn't. */
class Guarded {
  readonly #here = 1;
  call(one: number, two: number): number {
    return this.#here + one + two;
  }
  static {
    guardMethods(Guarded, (it: object) => #here in it, { promised: {}, direct: { call: 2 } });
  }
}
class Plain {
  readonly #here = 1;
  call(one: number, two: number): number {
    return this.#here + one + two;
  }
}

for (const name of ['get', 'put', 'txn'] as const) {
  console.log(JSON.stringify(await measure(name)));
}
await etcd.close();

async function measure(name: ChecksTaken['op']): Promise<ChecksTaken> {
  const call = calls[name];
  record = [];
  await call(keys[0] as string);
  const checked = record;
  record = undefined;
  let ops = concurrency;
  // Doubles until a batch takes its time, which also warms it up.
  while ((await batch(call, ops, true)).seconds * 1000 < batchMs) ops *= 2;
  const repeats = repeatsFor((count) => replay(checked, count));
  const guards = repeatsFor((count) => callOften(new Guarded(), count));
  const samples = [];
  for (let round = 0; round < rounds; round++) {
    // Each goes first in turn.
    const first = round % 2 === 0;
    const one = await batch(call, ops, first);
    const other = await batch(call, ops, !first);
    const checks = replay(checked, repeats) / repeats;
    const guard = callOften(new Guarded(), guards) / guards - callOften(new Plain(), guards) / guards;
    const [checkedBatch, unchecked] = first ? [one, other] : [other, one];
    samples.push({
      checkNanos: checks * 1e6,
      guardNanos: guard * 1e6,
      cpuMicros: checkedBatch.cpuMicros,
      uncheckedCpuMicros: unchecked.cpuMicros,
    });
  }
  return { op: name, checks: checked.length, samples };
}

/** Makes this many operations, with the checks of options or without. */
async function batch(
  call: (key: string) => Promise<unknown>,
  ops: number,
  checks: boolean,
): Promise<{ readonly seconds: number; readonly cpuMicros: number }> {
  checking = checks;
  let begun = 0;
  const worker = async (): Promise<void> => {
    while (begun < ops) await call(keys[begun++ % keys.length] as string);
  };
  const used = measureResources();
  const start = performance.now();
  await Promise.all(Array.from({ length: concurrency }, worker));
  checking = true;
  const seconds = (performance.now() - start) / 1000;
  return { seconds, cpuMicros: (used().cpuSeconds / ops) * 1e6 };
}

/** Repeats the checks of one call this many times. Returns the CPU time in ms. */
function replay(checked: readonly Checked[], count: number): number {
  const used = measureResources();
  for (let i = 0; i < count; i++)
    for (const [description, given] of checked) original.call(description, given);
  return used().cpuSeconds * 1000;
}

/** Calls a method this many times. Returns the CPU time in ms. */
function callOften(it: { call(one: number, two: number): number }, count: number): number {
  const used = measureResources();
  // Without a use of the result, V8 would remove the calls.
  for (let i = 0; i < count; i++) last = it.call(i & 7, last & 7);
  return used().cpuSeconds * 1000;
}

/** How many repetitions take 10 ms. */
function repeatsFor(run: (count: number) => number): number {
  for (let count = 1000; ; count *= 2) if (run(count) >= 10) return count;
}
