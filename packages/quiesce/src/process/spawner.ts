import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { EnvironmentError } from '../errors.js';
import { isStopped } from './processes.js';
import { signalName } from './signal-names.js';
import type { ExitStatus, Output, Start, StartedProgram, Starter } from './started-program.js';
import { shareWith } from './temporary-path.js';

/** File of the spawner (crates/spawner), if it is built. */
export const SPAWNER_FILE = fileURLToPath(
  new URL(`../../../native/spawner.${process.platform}-${process.arch}`, import.meta.url),
);

/** Version of the frames, which the spawner must know. */
const PROTOCOL = '3';

/** How long a spawner without programs stays, for the next one. */
const IDLE_MS = 1_000;

const END_MS = 1_000;

/** How often it is looked at whether somebody has stopped the spawner. */
const WATCH_MS = 500;

// In Bun, the pipes to a child can't be unreferenced: they would keep the process alive.
const usable = existsSync(SPAWNER_FILE) && process.versions.bun === undefined;
let current: Promise<Spawner | undefined> | undefined;

/** The spawner of this thread, started if there is none yet; `undefined` if it can't be started. */
export function startedSpawner(): Promise<Starter | undefined> {
  if (usable) current ??= launch();
  return current ?? Promise.resolve(undefined);
}

/**
 * Ends the spawner of this thread, and waits at most a second for that. Otherwise it would be an orphan for a moment,
 * and would stay a zombie if process 1 doesn't reap, as in many containers.
 */
export async function endSpawner(): Promise<void> {
  const spawner = await current;
  current = undefined;
  await spawner?.end();
}

let sequences = 0;

/** Whether programs can be given a `sequence`: only the spawner knows them. */
export async function knowsSequences(): Promise<boolean> {
  return (await startedSpawner()) !== undefined;
}

/** The number of a new sequence of programs. */
export const newSequence = (): number => ++sequences;

/** Starts none of the programs of a sequence that still wait. */
export function cancelSequence(sequence: number): void {
  void current?.then((spawner) => spawner?.cancel(sequence));
}

function launch(): Promise<Spawner | undefined> {
  const retire = (): void => {
    if (current === launched) current = undefined;
  };
  const launched = new Promise<Spawner | undefined>((resolve) => {
    // In a session of its own, so that a signal from this process's terminal doesn't end it before it has cleaned up.
    const child = spawn(SPAWNER_FILE, [PROTOCOL], {
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    child.once('error', ({ code = '' }: NodeJS.ErrnoException) => {
      resolve(undefined);
      // Any other error, such as too many open files, may be temporary.
      if (!NEVER_STARTS.has(code)) retire();
    });
    child.once('spawn', () => resolve(new Spawner(child, child.pid as number, retire)));
  });
  return launched;
}

/** Errors of a spawner that is for another system, or on a file system that allows no programs. */
const NEVER_STARTS: ReadonlySet<string> = new Set(['EACCES', 'ENOENT', 'ENOEXEC']);

interface Program {
  readonly name: string;
  readonly output: readonly OutputOfProgram[];
  started(pid: number, at: number): void;
  /** Called if it couldn't be started, or if how it ends can no longer be known. */
  failed(error: Error): void;
  exited(status: ExitStatus, at: number, flags: number): void;
}

/** A stream as the spawner passes it on. A Node stream would take a tenth of a run's time. */
class OutputOfProgram implements Output {
  readonly ended: Promise<void>;
  #held: [chunk: Buffer, at: number][] = [];
  #listener: ((chunk: Buffer, at: number) => void) | undefined;
  #open = true;
  #end = (): void => {};
  readonly #close: () => void;

  /** @param close tells the spawner that the stream is no longer read. */
  constructor(close: () => void) {
    this.#close = close;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  read(listener: (chunk: Buffer, at: number) => void): void {
    this.#listener = listener;
    for (const [chunk, at] of this.#held.splice(0)) listener(chunk, at);
  }

  close(): void {
    if (this.#open) this.#close();
    this.end();
  }

  push(chunk: Buffer, at: number): void {
    if (!this.#open) return;
    if (this.#listener === undefined) this.#held.push([chunk, at]);
    else this.#listener(chunk, at);
  }

  end(): void {
    this.#open = false;
    this.#end();
  }
}

const START = 0;
const CLOSE = 1;
const REMEMBER = 2;
const FORGET = 3;
const OVER = 4;
const CANCEL = 5;
/** Length, kind, program number, sequence, streams, and number of words. */
const HEAD_OF_START_BYTES = 18;
/** An answer's kind, the program number, a number, and a time. */
const HEAD_BYTES = 17;
/** Flags of an answer about a program's end: nothing that it started is left, and the next of its sequence starts. */
const ALONE = 1;
const PASSED = 2;

/** CLOCK_MONOTONIC at the zero of `performance.now()`, in ms. */
const ZERO_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** The counterpart of crates/spawner/src/protocol.rs, which describes the frames. */
class Spawner implements Starter {
  readonly #child: ChildProcess;
  readonly #requests: Socket;
  readonly #answers: Socket;
  readonly #programs = new Map<number, Program>();
  #input: Buffer = Buffer.alloc(0);
  #next = 0;
  #idle: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;

  readonly #retire: () => void;
  readonly #unshare: () => void;
  /** Numbers of the paths that it removes when this process is gone. */
  readonly #paths = new Map<string, number>();

  readonly listens = true;

  /** @param retire called once it takes no more programs. */
  constructor(
    child: ChildProcess,
    readonly pid: number,
    retire: () => void,
  ) {
    this.#child = child;
    this.#retire = retire;
    this.#requests = child.stdin as Socket;
    this.#answers = child.stdout as Socket;
    this.#answers.on('data', (chunk: Buffer) => this.#take(chunk));
    for (const stream of [this.#requests, this.#answers]) stream.on('error', () => {});
    child.on('error', () => {});
    child.once('close', (code, signal) => {
      retire();
      this.#unshare();
      clearInterval(this.#watch);
      const lost = new EnvironmentError(
        `the spawner (process ${pid}) ended with ${signal ?? `code ${code}`}`,
      );
      for (const program of this.#programs.values()) program.failed(lost);
      this.#programs.clear();
    });
    this.#unshare = shareWith({
      remember: (path) => {
        const id = this.#next++ & 0xffff_ffff;
        this.#paths.set(path, id);
        this.#ask(REMEMBER, id, Buffer.from(path));
      },
      forget: (path) => {
        const id = this.#paths.get(path);
        if (id !== undefined && this.#paths.delete(path)) this.#ask(FORGET, id);
      },
    });
    this.#rest();
  }

  async start(what: Start): Promise<StartedProgram> {
    const { command, cwd, env, added = {}, socket, outputs, sequence = 0 } = what;
    // If a variable occurs twice, the last value counts.
    const texts = inFrame([cwd, socket, ...command]) + variables(env) + variables(added);
    this.#wake();
    const id = this.#next++ & 0xffff_ffff;
    const length = Buffer.byteLength(texts);
    const head = Buffer.allocUnsafe(HEAD_OF_START_BYTES + length);
    head.writeUInt32LE(HEAD_OF_START_BYTES - 4 + length, 0);
    head.writeUInt8(START, 4);
    head.writeUInt32LE(id, 5);
    head.writeUInt32LE(sequence, 9);
    head.writeUInt8(outputs, 13);
    head.writeUInt32LE(command.length, 14);
    head.write(texts, HEAD_OF_START_BYTES);
    const started = this.#add(id, outputs, command[0] ?? '', sequence);
    this.#requests.write(head);
    return started;
  }

  cancel(sequence: number): void {
    this.#ask(CANCEL, sequence);
  }

  end(): Promise<void> {
    this.#retire();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      const patience = setTimeout(resolve, END_MS);
      this.#child.ref();
      this.#child.once('exit', () => {
        clearTimeout(patience);
        resolve();
      });
      this.#farewell();
    });
  }

  /** Lets it end. What it was to remove is still in use. */
  #farewell(): void {
    this.#unshare();
    this.#requests.end();
  }

  /** Sends a request of few bytes. */
  #ask(kind: number, id: number, content: Uint8Array = Buffer.alloc(0)): void {
    const head = Buffer.alloc(9);
    head.writeUInt32LE(5 + content.length, 0);
    head.writeUInt8(kind, 4);
    head.writeUInt32LE(id, 5);
    this.#requests.write(Buffer.concat([head, content]));
  }

  #add(id: number, outputs: number, name: string, sequence: number): Promise<StartedProgram> {
    const output = Array.from({ length: outputs }, (_, i) => this.#stream(id, i + 1));
    const ends = output.map(({ ended }) => ended);
    return new Promise((resolve, reject) => {
      let exit: Pick<Program, 'exited' | 'failed'> = { exited() {}, failed() {} };
      let ended = { flags: 0, at: () => performance.now() };
      const exited = new Promise<ExitStatus>((resolve, reject) => {
        exit = {
          exited(status, at, flags) {
            ended = { flags, at: () => at };
            resolve(status);
          },
          failed: reject,
        };
      });
      const closed = Promise.allSettled([exited, ...ends]).then(() => {
        this.#programs.delete(id);
        if (this.#programs.size === 0) this.#rest();
      });
      const failed = (error: Error): void => {
        for (const stream of output) stream.close();
        exit.failed(error);
        reject(error);
      };
      const started = (pid: number, startedAt: number): void =>
        resolve({
          ...{ pid, startedAt, output, exited, closed },
          endedAt: () => ended.at(),
          leftNothing: () => (ended.flags & ALONE) !== 0,
          over: () => {
            if (sequence !== 0 && (ended.flags & PASSED) === 0) this.#ask(OVER, id);
          },
        });
      this.#programs.set(id, { name, output, started, failed, exited: exit.exited });
    });
  }

  #stream(id: number, number: number): OutputOfProgram {
    return new OutputOfProgram(() => this.#ask(CLOSE, id, Buffer.of(number)));
  }

  #take(chunk: Buffer): void {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    let at = 0;
    while (this.#input.length - at >= 4 + HEAD_BYTES) {
      const end = at + 4 + this.#input.readUInt32LE(at);
      if (this.#input.length < end) break;
      this.#answer(this.#input.subarray(at + 4, end));
      at = end;
    }
    this.#input = this.#input.subarray(at);
  }

  #answer(frame: Buffer): void {
    const program = this.#programs.get(frame.readUInt32LE(1));
    const number = frame.readUInt32LE(5);
    if (program === undefined) return;
    const at = (frame.readUInt32LE(9) + frame.readUInt32LE(13) * 2 ** 32) / 1_000 - ZERO_MS;
    const flags = frame[HEAD_BYTES] ?? 0;
    switch (frame[0]) {
      case 0:
        program.started(number, at);
        break;
      case 1:
        program.failed(systemError(program.name, errorName(number)));
        break;
      case 2:
        program.output[number - 1]?.push(frame.subarray(HEAD_BYTES), at);
        break;
      case 3:
        program.output[number - 1]?.end();
        break;
      case 4:
        program.exited({ code: number, signal: null }, at, flags);
        break;
      case 5: {
        const signal = signalName(number) ?? (`SIG${number}` as NodeJS.Signals);
        program.exited({ code: null, signal }, at, flags);
        break;
      }
    }
  }

  /** Keeps this process alive while a program runs. */
  #wake(): void {
    clearTimeout(this.#idle);
    for (const handle of [this.#child, this.#requests, this.#answers]) handle.ref();
    // A program may stop its parent.
    this.#watch ??= setInterval(() => {
      if (isStopped(this.pid)) process.kill(this.pid, 'SIGCONT');
    }, WATCH_MS).unref();
  }

  /** Without a program, the spawner doesn't keep this process alive, and after a while it ends. */
  #rest(): void {
    for (const handle of [this.#child, this.#requests, this.#answers]) handle.unref();
    clearInterval(this.#watch);
    this.#watch = undefined;
    this.#idle = setTimeout(() => {
      this.#retire();
      this.#farewell();
    }, IDLE_MS).unref();
  }
}

/**
 * Texts in the encoding of a frame.
 * @throws when one contains a NUL character, which terminates each text in a frame.
 */
function inFrame(texts: readonly string[]): string {
  const wrong = texts.find((text) => text.includes('\0'));
  if (wrong !== undefined) throw new Error(`${JSON.stringify(wrong)} has a NUL character in it`);
  return texts.map((text) => `${text}\0`).join('');
}

const prepared = new WeakMap<NodeJS.ProcessEnv, string>();

function variables(env: NodeJS.ProcessEnv): string {
  const known = prepared.get(env);
  if (known !== undefined) return known;
  const texts = inFrame(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
  );
  if (Object.isFrozen(env)) prepared.set(env, texts);
  return texts;
}

/** An error like Node's own. */
const systemError = (program: string, code: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`spawn ${program} ${code}`), { code });

/** The name of an `errno`; libuv has none for `ENOEXEC`. */
const errorName = (number: number): string =>
  Object.entries(constants.errno).find(([, value]) => value === number)?.[0] ?? `errno ${number}`;
