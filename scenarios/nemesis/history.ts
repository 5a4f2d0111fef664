import { closeSync, openSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { EtcdError } from '@quiesce/etcd';

/** What is known about a call that has succeeded. */
export interface Answer {
  readonly revision?: bigint;
  readonly mod?: bigint;
  readonly found?: string;
  readonly applied?: boolean;
  readonly expect?: string;
}

/** A call that is about to be made. */
export interface Call {
  readonly client: string;
  readonly worker: string;
  readonly kind: string;
  readonly key: string;
  readonly value?: string;
  readonly expect?: string;
  /** The longest time that the call is given, in ms. */
  readonly bound: number;
}

/** The file with everything that the workload did and saw; judge/history.go describes its lines. */
export class History {
  readonly #file: number;
  readonly #lateness: NodeJS.Timeout;
  #lines: string[] = [];
  #operations = 0;
  readonly #awaited = new Map<string, () => void>();

  constructor(path: string) {
    this.#file = openSync(path, 'w');
    const stepMs = 20;
    let last = this.now();
    this.#lateness = setInterval(() => {
      const now = this.now();
      const ms = now - last - stepMs;
      if (ms > 5) this.add('late', { at: now, ms });
      last = now;
    }, stepMs);
  }

  /** In ms, by a clock that all processes of the machine share and that never goes back. */
  now(): number {
    return performance.timeOrigin + performance.now();
  }

  add(kind: string, record: object): void {
    const whole = (_name: string, value: unknown): unknown =>
      typeof value === 'bigint' ? Number(value) : value;
    this.#lines.push(JSON.stringify({ t: kind, ...record }, whole));
    if (this.#lines.length >= 1_000) this.#flush();
  }

  /** Makes a call and records its result. */
  async call<T>(call: Call, make: () => Promise<T>, answer: (result: T) => Answer = () => ({})): Promise<T> {
    const id = ++this.#operations;
    this.#awaited.get(call.kind)?.();
    const start = this.now();
    try {
      const result = await make();
      this.add('op', { id, ...call, start, end: this.now(), ok: true, ...answer(result) });
      return result;
    } catch (error) {
      this.add('op', { id, ...call, start, end: this.now(), ok: false, error: describe(error) });
      throw error;
    }
  }

  /** Resolves when the next call of that kind begins, or after this time. */
  async next(kind: string, atMostMs: number): Promise<void> {
    const control = new AbortController();
    this.#awaited.set(kind, () => control.abort());
    await delay(atMostMs, undefined, { signal: control.signal }).catch(() => {});
    this.#awaited.delete(kind);
  }

  close(): void {
    clearInterval(this.#lateness);
    this.#flush();
    closeSync(this.#file);
  }

  #flush(): void {
    if (this.#lines.length > 0) writeSync(this.#file, `${this.#lines.join('\n')}\n`);
    this.#lines = [];
  }
}

function describe(error: unknown): object {
  if (error instanceof EtcdError) {
    const { name, code, details, sent, mayBeApplied, message } = error;
    return { name, code, details, sent, mayBeApplied, message };
  }
  // The reason of a signal that the workload itself aborted.
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    const { name, message } = error;
    return { name, code: 0, details: message, sent: true, mayBeApplied: true, message };
  }
  throw error;
}
