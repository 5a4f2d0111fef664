import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { preloadPath } from '../files/preload-path.js';
import { isMusl } from '../process/c-library.js';
import { procProblem } from '../process/proc.js';
import type { Way } from '../process/process-group.js';
import { signalName } from '../process/signal-names.js';
import { libraryName } from './stack-trace.js';

/** A thread that still ran when its process ended. */
export interface LeftThread {
  /** As the kernel has it: at most 15 characters. */
  readonly name: string;
  /** File of the library or program whose code started it; `null` if that isn't known. */
  readonly library: string | null;
  /** File of the runtime that started it, such as libstdc++ or OpenMP; absent if there was none. */
  readonly runtime?: string;
  /** Whether that library has been unloaded: the thread dies as soon as it runs on. Otherwise absent. */
  readonly unloaded?: true;
  /** Whether it is the main thread, and another one ended the process; otherwise absent. */
  readonly main?: true;
}

/** An internet socket that was still open when its process ended. */
export interface LeftSocket {
  readonly state: 'listening' | 'connected' | 'unconnected';
  /** Its own address if it listens or isn't connected, otherwise that of its peer: `127.0.0.1:80`, `[::1]:80`. */
  readonly address: string;
}

/** A process under test that is about to die from a signal. It has stopped, and waits for the tester to examine it. */
export interface CrashReport {
  readonly pid: number;
  /** The thread that died, and its name. */
  readonly tid: number;
  readonly thread: string;
  readonly signal: NodeJS.Signals;
  /** What the process and the thread were doing, a word for each fact: the words of docs/diagnosis/README.md. */
  readonly states: readonly string[];
  /**
   * What the thread ran or used when it died, or had been started to run, was at this address, in this library, which
   * the process had unloaded before.
   */
  readonly unloaded?: { readonly address: bigint; readonly library: string };
}

/** The descriptor on which a program and its witness report: the value of `QUIESCE_DONE_FD`. */
export const DONE_FD = 3;

/** Signals that the witness sees a process die from (crates/exit-witness/src/crash.rs). */
export const WATCHED_SIGNALS: ReadonlySet<NodeJS.Signals> = new Set<NodeJS.Signals>([
  'SIGABRT',
  'SIGSEGV',
  'SIGBUS',
  'SIGILL',
  'SIGFPE',
  'SIGTRAP',
  'SIGSYS',
]);

/** What comes on that descriptor. */
export type WitnessLine =
  | { readonly type: 'done' }
  | ({ readonly type: 'crash' } & CrashReport)
  /** A process whose timeline is taken begins to exit. */
  | { readonly type: 'exiting'; readonly pid: number }
  | ({ readonly type: 'thread'; readonly pid: number; readonly tid: number } & LeftThread)
  /** Sent after the last `thread` of a process: how many there were. */
  | { readonly type: 'threads'; readonly pid: number; readonly count: number }
  | ({ readonly type: 'socket'; readonly pid: number } & LeftSocket);

/** File of the witness, if it is built; docs/diagnosis/README.md. */
export const WITNESS_FILE = fileURLToPath(
  new URL(`../../../native/exit-witness.${process.platform}-${process.arch}.so`, import.meta.url),
);

/** Why the witness isn't available here, and what to do; `undefined` if it is. */
export function witnessProblem(): string | undefined {
  if (process.platform !== 'linux') return `it is a Linux preload library, and this is ${process.platform}`;
  if (isMusl()) return 'it needs glibc, and this system has musl';
  // Without it, nothing of a process that the witness stops can be found.
  const blind = procProblem();
  if (blind !== undefined) return blind;
  if (existsSync(WITNESS_FILE)) return undefined;
  return `it was not built (${WITNESS_FILE} is missing): install Rust from https://rustup.rs, then npm run build`;
}

const usable = witnessProblem() === undefined;

/** The variables that put the witness into a program with this environment; none without a witness. */
export function witnessVariables(
  env: NodeJS.ProcessEnv,
  { pid, socket }: Way,
): Readonly<Record<string, string>> {
  if (!usable) return {};
  return {
    LD_PRELOAD: [env.LD_PRELOAD, preloadPath(WITNESS_FILE)].filter(Boolean).join(':'),
    QUIESCE_WITNESS: String(pid),
    ...(socket !== undefined && { QUIESCE_WITNESS_SOCKET: socket }),
    // AddressSanitizer refuses to start behind another preload library, though this one does no harm.
    ASAN_OPTIONS: [env.ASAN_OPTIONS, 'verify_asan_link_order=0'].filter(Boolean).join(':'),
  };
}

const MOST_LINE = 512;

/** How a line of the witness begins. */
const WITNESSED = /(?:crash|exiting|threads?|socket)\t\d/;

/**
 * Separates what the program and the witnesses of its processes write to one descriptor. A witness writes each of its lines
 * at once, but a program may be in the middle of its own then.
 */
export class WitnessLines {
  /** The line that a newline hasn't ended yet. */
  #last = '';
  /** What the program had written of a line when a witness wrote its own. */
  #begun = '';

  /** The reports that these bytes complete. */
  push(chunk: Buffer): WitnessLine[] {
    const lines = (this.#last + chunk.toString('utf8')).split('\n');
    this.#last = (lines.pop() ?? '').slice(-MOST_LINE);
    return lines.flatMap((line) => {
      const begin = line.search(WITNESSED);
      const own = this.#begun + (begin < 0 ? line : line.slice(0, begin));
      this.#begun = begin < 0 ? '' : own.slice(-MOST_LINE);
      return parseWitnessLine(begin < 0 ? own : line.slice(begin)) ?? [];
    });
  }
}

/** Reads one line; `undefined` if it is none of the known reports. */
export function parseWitnessLine(line: string): WitnessLine | undefined {
  const [type, ...fields] = line.split('\t');
  if (type === 'done' && fields.length === 0) return { type };
  const [first = '', second = '', third = '', fourth = '', fifth = '', sixth = '', seventh = ''] = fields;
  const pid = Number(first);
  if (!Number.isSafeInteger(pid) || pid < 1) return undefined;
  switch (type) {
    case 'crash': {
      const signal = signalName(Number(third));
      const states = fifth === '' ? [] : fifth.split(' ');
      const unloaded = /^[0-9a-f]{1,16}$/.test(sixth) &&
        seventh !== '' && { unloaded: { address: BigInt(`0x${sixth}`), library: seventh } };
      return signal && { type, pid, tid: Number(second), thread: fourth, signal, states, ...unloaded };
    }
    case 'exiting':
      return { type, pid };
    case 'thread':
      return {
        ...{ type, pid, tid: Number(second), name: third, library: fourth === '' ? null : fourth },
        ...(fifth !== '' && { runtime: fifth }),
        ...(sixth === 'unloaded' && { unloaded: true as const }),
        ...(Number(second) === pid && { main: true as const }),
      };
    case 'threads':
      return { type, pid, count: Number(second) };
    case 'socket':
      if (third !== 'listening' && third !== 'connected' && third !== 'unconnected') return undefined;
      return { type, pid, state: third, address: fourth };
    default:
      return undefined;
  }
}

/** A left thread in a few words: `tokio-runtime-w (etcd_client.abi3.so)`. */
export function leftThreadLabel({ name, library, runtime, unloaded, main }: LeftThread): string {
  if (main) return `${name} (the main thread: another one ended the process)`;
  const by = library === null ? 'library unknown' : libraryName(library);
  const through = runtime === undefined ? '' : ` by ${libraryName(runtime)}`;
  const gone = unloaded ? `; ${by} has been unloaded` : '';
  return `${name === '' ? 'unnamed' : name} (${by}${through}${gone})`;
}
