import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { reason } from '../util/kinds.js';
import { EtcdStartError } from './start-error.js';
import { untilStopped } from './stopped.js';
import { release } from './watchdog.js';

/** How a process ended. One of the two fields is set. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const LOG_CHARACTERS = 64 * 1024;
const POLL_MS = 10;
/** Printed before the usage. */
const WRONG_FLAG = /^(?:flag provided but not defined: |invalid (?:boolean )?value ).*$/m;
/** How etcd, or Go, reports an address that it can't listen on. */
const PORT_TAKEN = /listen tcp ([\d.]+:\d+): bind: address already in use/;
/** How long the process may take to end after it was asked to. */
const GRACE_MS = 5_000;

/** A server in a process group of its own, which is ended as a whole. It doesn't keep this process alive. */
export class ServerProcess {
  readonly pid: number;
  readonly exited: Promise<ProcessEnd>;
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  #log = '';
  #end: ProcessEnd | undefined;

  private constructor(child: ChildProcessByStdio<null, Readable, Readable>, pid: number) {
    this.#child = child;
    this.pid = pid;
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#end = { code, signal };
        resolve(this.#end);
      });
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('error', () => {});
      stream.on('data', (text: string) => {
        this.#log = (this.#log + text).slice(-LOG_CHARACTERS);
      });
    }
    release(child);
  }

  /** @throws EtcdStartError where the program can't be run. */
  static async start(program: string, args: readonly string[]): Promise<ServerProcess> {
    let child: ChildProcessByStdio<null, Readable, Readable>;
    try {
      child = spawn(program, args, {
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: cleanEnv(),
      });
    } catch (cause) {
      throw cannotRun(program, cause);
    }
    const { pid } = child;
    if (pid === undefined) {
      throw cannotRun(program, await new Promise((resolve) => child.once('error', resolve)));
    }
    child.on('error', () => {});
    return new ServerProcess(child, pid);
  }

  get running(): boolean {
    return this.#end === undefined;
  }

  /** The last part of its output. */
  get log(): string {
    return this.#log;
  }

  /**
   * Waits until its output contains these words.
   *
   * @throws EtcdStartError when the process ends before that, or takes too long; the signal's reason when it aborts.
   */
  async untilItSays(words: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!this.#log.includes(words)) {
      signal?.throwIfAborted();
      if (this.#end !== undefined) {
        // Its last output may still be in the pipe.
        await sleep(POLL_MS);
        const { code, signal: by } = this.#end;
        const how = by === null ? `exited with code ${code}` : `was killed by ${by}`;
        const [, taken] = PORT_TAKEN.exec(this.#log) ?? [];
        const [flag] = WRONG_FLAG.exec(this.#log) ?? [];
        const why = taken === undefined ? '' : `, as ${taken} is in use by another process`;
        const wrong = flag === undefined ? '' : `: ${flag}`;
        throw new EtcdStartError(`etcd ${how} before it was ready${why}${wrong}`, this.#log);
      }
      if (performance.now() >= deadline) {
        throw new EtcdStartError(`etcd was not ready within ${timeoutMs} ms`, this.#log);
      }
      await sleep(POLL_MS);
    }
  }

  /** Sends a signal to the whole process group. */
  kill(signal: NodeJS.Signals): void {
    if (this.#end !== undefined) return;
    // The end must reach those who wait for it.
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') this.#child.ref();
    try {
      if (process.platform === 'win32') this.#child.kill(signal);
      else process.kill(-this.pid, signal);
    } catch (error) {
      // The process has ended by itself, and the event that reports it is on its way.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      return;
    }
    // Each thread receives it when it next runs, and may answer a call until then.
    if (signal === 'SIGSTOP') untilStopped(this.pid);
  }

  /** Ends the process, by force if it doesn't end in time. */
  async stop(): Promise<void> {
    if (this.#end === undefined) {
      // A frozen process would not react to the second signal.
      this.kill('SIGCONT');
      this.kill('SIGTERM');
      const overdue = setTimeout(() => this.kill('SIGKILL'), GRACE_MS);
      await this.exited;
      clearTimeout(overdue);
    }
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
  }
}

function cannotRun(program: string, cause: unknown): EtcdStartError {
  return new EtcdStartError(`${program} can't be run: ${reason(cause)}`);
}

/** Variables that a shell has set for etcdctl or another etcd must not configure this server. */
function cleanEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !name.startsWith('ETCD_') || name === 'ETCD_UNSUPPORTED_ARCH',
    ),
  );
}
