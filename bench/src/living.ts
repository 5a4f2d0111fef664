import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { GateOp } from './gate/floors.js';

/** One batch of a living client: this many operations, and this many of them in flight. */
export interface Batch {
  /** `raw watch`, which only Go's program does: the same as `watch`, with events that are counted and not decoded. */
  readonly op: GateOp | 'raw watch';
  readonly concurrency: number;
  readonly ops: number;
}

/** The cost of one batch. */
export interface BatchTaken {
  readonly seconds: number;
  /** User and system time of the client's process. */
  readonly cpuSeconds: number;
  /** For single operations; 0 if more than one was in flight. */
  readonly p50Micros: number;
  readonly p99Micros: number;
}

/** A client's process that does one batch on request, and waits otherwise. */
export interface LivingClient extends AsyncDisposable {
  readonly name: string;
  run(batch: Batch): Promise<BatchTaken>;
}

/** Starts a program that answers each line, a {@link Batch} as JSON, with a line that is a {@link BatchTaken}. */
export function startLiving(name: string, [file, ...args]: readonly [string, ...string[]]): LivingClient {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.stdin.once('error', reject);
  });
  // A batch that waits gets the error; otherwise the next batch gets it.
  failed.catch(() => undefined);
  const ended = once(child, 'close').catch(() => undefined);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name,
    async run(batch) {
      child.stdin.write(`${JSON.stringify(batch)}\n`);
      const line = await Promise.race([lines.next(), failed]);
      if (line.done === true) throw new Error(`${name} has ended during ${batch.op} x${batch.concurrency}`);
      return JSON.parse(line.value) as BatchTaken;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(timer);
    },
  };
}
