import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { GateOp } from './gate/floors.js';

/** One batch of a living client: so many operations, so many of them in flight. */
export interface Batch {
  readonly op: GateOp;
  readonly concurrency: number;
  readonly ops: number;
}

/** What one batch took. */
export interface BatchTaken {
  readonly seconds: number;
  /** User and system time of the client's process. */
  readonly cpuSeconds: number;
  /** Of single operations; 0 where more than one was in flight. */
  readonly p50Micros: number;
  readonly p99Micros: number;
}

/** A client's process that does one batch when it is asked to, and waits otherwise. */
export interface LivingClient extends AsyncDisposable {
  readonly name: string;
  run(batch: Batch): Promise<BatchTaken>;
}

/** Starts a program that answers each line, a {@link Batch} as JSON, by a line that is a {@link BatchTaken}. */
export function startLiving(name: string, [file, ...args]: readonly [string, ...string[]]): LivingClient {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.stdin.once('error', reject);
  });
  // Heard where a batch waits; otherwise the next one hears of it.
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
