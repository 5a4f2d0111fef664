import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Which thread each CPU runs, who is woken, and when a TCP segment is in the socket of its receiver. */
const EVENTS = ['sched/sched_switch', 'sched/sched_waking', 'sched/sched_wakeup', 'tcp/tcp_probe'] as const;

/** Memory for each CPU's events. Once it is full, the oldest are lost. */
const BUFFER_KIB = 48 * 1024;

const TRACEFS = '/sys/kernel/tracing';

/** The signals that end a benchmark, and its exit codes. */
const INTERRUPTS = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const;

/** Why this machine can't trace, with what to do about it; `undefined` if it can. */
export function traceMissing(): string | undefined {
  if (process.platform !== 'linux') return 'only Linux has a trace of the kernel';
  if (process.getuid?.() !== 0) return 'the trace of the kernel needs root';
  if (!existsSync(join(TRACEFS, 'instances')))
    return `there is no trace of the kernel (mount -t tracefs tracefs ${TRACEFS})`;
  const missing = EVENTS.filter((event) => !existsSync(join(TRACEFS, 'events', event)));
  return missing.length > 0 ? `the kernel doesn't trace ${missing.join(', ')}` : undefined;
}

/**
 * The kernel's trace of the whole machine (Documentation/trace/ftrace.rst), in an instance of its own, which no other
 * tracer sees. Its times are those of CLOCK_MONOTONIC, as are the clients'. It ends with this process at the latest.
 */
export class KernelTrace implements Disposable {
  readonly #folder = join(TRACEFS, 'instances', `quiesce-${process.pid}`);

  constructor() {
    mkdirSync(this.#folder);
    process.once('exit', this.#remove);
    for (const [signal, code] of INTERRUPTS) process.once(signal, () => process.exit(code));
    this.#set('tracing_on', '0');
    this.#set('trace_clock', 'mono');
    this.#set('buffer_size_kb', String(BUFFER_KIB));
    for (const event of EVENTS) this.#set(join('events', event, 'enable'), '1');
  }

  /** Drops what was traced, and begins. */
  start(): void {
    this.#set('trace', '');
    this.#set('tracing_on', '1');
  }

  stop(): void {
    this.#set('tracing_on', '0');
  }

  /** Each line is an event, in the order of time. */
  lines(): AsyncIterable<string> {
    return createInterface({ input: createReadStream(join(this.#folder, 'trace'), 'latin1') });
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#remove);
    this.#remove();
  }

  readonly #remove = (): void => {
    this.stop();
    rmdirSync(this.#folder);
  };

  #set(file: string, value: string): void {
    writeFileSync(join(this.#folder, file), value);
  }
}

/** A thread of a process. */
export interface Thread {
  readonly id: number;
  readonly name: string;
}

/** The threads of a process; none where `/proc` can't be read. */
export function threadsOf(pid: number | 'self'): Thread[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((id) => ({
      id: Number(id),
      name: readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8').trim(),
    }));
  } catch {
    return [];
  }
}
