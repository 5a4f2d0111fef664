import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { getSystemErrorName } from 'node:util';
import { EnvironmentError } from '../errors.js';
import { signalName } from './signal-names.js';
import type { ExitStatus, Start, StartedProgram, Starter } from './started-program.js';

/** File of the spawner (crates/spawner), once it is built. */
export const SPAWNER_FILE = fileURLToPath(
  new URL(`../../../native/spawner.${process.platform}-${process.arch}`, import.meta.url),
);

/** Version of the frames, which the spawner has to know. */
const PROTOCOL = '1';

/** How long a spawner without a program stays, for the next one. */
const IDLE_MS = 1_000;

const END_MS = 1_000;

// The pipes to a child can't be unreferenced in Bun: they would keep the process alive.
const usable = existsSync(SPAWNER_FILE) && process.versions.bun === undefined;
let current: Promise<Spawner | undefined> | undefined;

/** The spawner of this thread, started where there is none yet; `undefined` where it can't be. */
export function startedSpawner(): Promise<Starter | undefined> {
  if (usable) current ??= launch();
  return current ?? Promise.resolve(undefined);
}

/**
 * Ends the spawner of this thread, and waits for it, at most a second. Without that it is an orphan for a moment, and stays as a
 * zombie where process 1 doesn't reap, as in many containers.
 */
export async function endSpawner(): Promise<void> {
  const spawner = await current;
  current = undefined;
  await spawner?.end();
}

function launch(): Promise<Spawner | undefined> {
  const retire = (): void => {
    if (current === launched) current = undefined;
  };
  const launched = new Promise<Spawner | undefined>((resolve) => {
    // In a session of its own: what ends this process by its terminal doesn't end it before it has cleaned up.
    const child = spawn(SPAWNER_FILE, [PROTOCOL], {
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    child.once('error', ({ code = '' }: NodeJS.ErrnoException) => {
      resolve(undefined);
      // Anything else, such as too many open files, may pass.
      if (!NEVER_STARTS.has(code)) retire();
    });
    child.once('spawn', () => resolve(new Spawner(child, child.pid as number, retire)));
  });
  return launched;
}

/** It is for another system, or its file system allows no programs. */
const NEVER_STARTS: ReadonlySet<string> = new Set(['EACCES', 'ENOENT', 'ENOEXEC']);

interface Program {
  readonly name: string;
  readonly output: readonly Readable[];
  started(pid: number): void;
  /** It couldn't be started, or how it ends can't be known any more. */
  failed(error: Error): void;
  exited(status: ExitStatus): void;
}

const START = 0;
const CLOSE = 1;
/** The length of an answer's frame; its kind, the program's number, and a number. */
const HEAD_BYTES = 4 + 9;

/** The other side of crates/spawner/src/protocol.rs, where the frames are described. */
class Spawner implements Starter {
  readonly #child: ChildProcess;
  readonly #requests: Socket;
  readonly #answers: Socket;
  readonly #programs = new Map<number, Program>();
  #input: Buffer = Buffer.alloc(0);
  #next = 0;
  #idle: NodeJS.Timeout | undefined;

  readonly #retire: () => void;

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
      const lost = new EnvironmentError(
        `the spawner (process ${pid}) ended with ${signal ?? `code ${code}`}`,
      );
      for (const program of this.#programs.values()) program.failed(lost);
      this.#programs.clear();
    });
    this.#rest();
  }

  async start({ command, cwd, env, socket, outputs }: Start): Promise<StartedProgram> {
    const variables = Object.entries(env).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${value}`],
    );
    const texts = [cwd, socket, ...command, ...variables];
    const wrong = texts.find((text) => text.includes('\0'));
    if (wrong !== undefined) throw new Error(`${JSON.stringify(wrong)} has a NUL character in it`);
    this.#wake();
    const id = this.#next++ & 0xffff_ffff;
    const body = Buffer.from(`${texts.join('\0')}\0`);
    const head = Buffer.alloc(14);
    head.writeUInt32LE(10 + body.length, 0);
    head.writeUInt8(START, 4);
    head.writeUInt32LE(id, 5);
    head.writeUInt8(outputs, 9);
    head.writeUInt32LE(command.length, 10);
    const started = this.#add(id, outputs, command[0] ?? '');
    this.#requests.write(Buffer.concat([head, body]));
    return started;
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
      this.#requests.end();
    });
  }

  #add(id: number, outputs: number, name: string): Promise<StartedProgram> {
    const output = Array.from({ length: outputs }, (_, i) => this.#stream(id, i + 1));
    const ends = output.map(
      (stream) => new Promise<void>((resolve) => stream.once('close', () => resolve())),
    );
    return new Promise((resolve, reject) => {
      let exit: Pick<Program, 'exited' | 'failed'> = { exited() {}, failed() {} };
      const exited = new Promise<ExitStatus>((resolve, reject) => {
        exit = { exited: resolve, failed: reject };
      });
      const closed = Promise.allSettled([exited, ...ends]).then(() => {
        this.#programs.delete(id);
        if (this.#programs.size === 0) this.#rest();
      });
      const failed = (error: Error): void => {
        for (const stream of output) stream.destroy();
        exit.failed(error);
        reject(error);
      };
      const started = (pid: number): void => resolve({ pid, output, exited, closed });
      this.#programs.set(id, { name, output, started, failed, exited: exit.exited });
    });
  }

  #stream(id: number, number: number): Readable {
    const close = (): void => {
      const frame = Buffer.alloc(10);
      frame.writeUInt32LE(6, 0);
      frame.writeUInt8(CLOSE, 4);
      frame.writeUInt32LE(id, 5);
      frame.writeUInt8(number, 9);
      this.#requests.write(frame);
    };
    return new Readable({
      read() {},
      destroy(error, done) {
        if (!this.readableEnded) close();
        done(error);
      },
    });
  }

  #take(chunk: Buffer): void {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    let at = 0;
    while (this.#input.length - at >= HEAD_BYTES) {
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
    switch (frame[0]) {
      case 0:
        program.started(number);
        break;
      case 1:
        program.failed(systemError(program.name, getSystemErrorName(-number)));
        break;
      case 2:
      case 3: {
        const stream = program.output[number - 1];
        if (stream?.destroyed === false) stream.push(frame[0] === 2 ? frame.subarray(9) : null);
        break;
      }
      case 4:
        program.exited({ code: number, signal: null });
        break;
      case 5:
        program.exited({ code: null, signal: signalName(number) ?? (`SIG${number}` as NodeJS.Signals) });
        break;
    }
  }

  /** Keeps this process alive as long as a program runs. */
  #wake(): void {
    clearTimeout(this.#idle);
    for (const handle of [this.#child, this.#requests, this.#answers]) handle.ref();
  }

  /** Without a program it doesn't keep this process, and after a while it ends. */
  #rest(): void {
    for (const handle of [this.#child, this.#requests, this.#answers]) handle.unref();
    this.#idle = setTimeout(() => {
      this.#retire();
      this.#requests.end();
    }, IDLE_MS).unref();
  }
}

/** As Node's own. */
const systemError = (program: string, code: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`spawn ${program} ${code}`), { code });
