import { delimiter, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { EnvironmentError } from '../../errors.js';
import { makeTemporaryDirectory } from '../../files/temporary-directory.js';
import { findExecutable } from '../../process/executable.js';
import { linkOfProc, readProc } from '../../process/proc.js';
import { procFolder } from '../../process/processes.js';
import { runToEnd } from '../../process/run-to-end.js';
import { gdb } from '../gdb.js';
import { type InterpretedFrame, parseHandles } from '../stack-trace.js';
import { NOTHING, type OwnThread, type OwnThreads, type Questioned } from './own-threads.js';

const PY_SPY_TIMEOUT_MS = 20_000;
const TRACEBACK_TIMEOUT_MS = 20_000;
const MOST_FRAMES = 64;

type Threads = OwnThreads['threads'];

const dump = z.array(
  z.looseObject({
    os_thread_id: z.int().nullable(),
    thread_name: z.string().nullish(),
    frames: z.array(z.looseObject({ name: z.string(), filename: z.string(), line: z.int() })),
  }),
);

const NO_PY_SPY = 'py-spy is neither beside its Python nor in PATH';

/**
 * The threads of a program of Python, from py-spy if it is installed, otherwise, for a hang, from Python itself.
 * Nothing if Python isn't in the process.
 */
export async function pythonThreads(process: Questioned): Promise<OwnThreads> {
  const { pid, hung, diedFrom, stopped, traced } = process;
  if (!/\/(?:lib)?python\d[^/\n]*$/m.test(readProc(`${procFolder(pid)}/maps`))) return NOTHING;
  const none = (why: string): OwnThreads => ({ ...NOTHING, problem: `no Python frames: ${why}` });
  const pySpy = findPySpy(pid);
  if (pySpy !== undefined) {
    const seen = await framesFromPySpy(pySpy, process);
    if (!('problem' in seen)) return { threads: seen, problem: null };
    return none(hung ? seen.problem : `${seen.problem}; ${faultHandlerText(pid, diedFrom)}`);
  }
  if (!hung) return none(`${NO_PY_SPY}, and would show them; ${faultHandlerText(pid, diedFrom)}`);
  if (stopped) return none(`${NO_PY_SPY}, and a signal has stopped it`);
  if (!traced) return none(`${NO_PY_SPY}, and without it gdb is needed`);
  const threads = await framesFromPython(process);
  return threads.size > 0
    ? { threads, problem: null }
    : none(`${NO_PY_SPY}, and gdb could not make Python write them, as if its symbols were stripped`);
}

/** Whether faulthandler, which prints the frames, would do that for such a crash of a process, and how to switch it on. */
function faultHandlerText(pid: number, diedFrom: NodeJS.Signals | undefined): string {
  return faultHandlerAdvice(readProc(`${procFolder(pid)}/cmdline`).split('\0'), diedFrom);
}

/** The same for a program with this command. */
export function faultHandlerAdvice(command: readonly string[], diedFrom: NodeJS.Signals | undefined): string {
  if (diedFrom !== undefined && !HANDLED.has(diedFrom)) return `faulthandler prints none for ${diedFrom}`;
  // Python's own options come before the program.
  const program = command.findIndex((word, i) => i > 0 && !word.startsWith('-'));
  const options = command.slice(1, program < 0 ? undefined : program);
  const isolated = options.some((word) => /^-[bBdEhiIOPqRsSuvVx]*[EI]/.test(word));
  const how = isolated ? '-X faulthandler' : 'PYTHONFAULTHANDLER=1';
  return `faulthandler prints them, if ${how} or the program has switched it on`;
}

/** The signals for which faulthandler prints the frames. */
const HANDLED: ReadonlySet<NodeJS.Signals> = new Set<NodeJS.Signals>([
  'SIGSEGV',
  'SIGFPE',
  'SIGABRT',
  'SIGBUS',
  'SIGILL',
]);

/**
 * Path of py-spy for a process. It is beside the program's own Python or in `PATH`. In a virtual environment, the
 * `python` that was called is a link to one elsewhere, and py-spy is beside the link.
 */
function findPySpy(pid: number): string | undefined {
  const [called = ''] = readProc(`/proc/${pid}/cmdline`).split('\0');
  const folders = [
    ...(called.includes('/') ? [dirname(resolve(linkOfProc(`/proc/${pid}/cwd`) || '/', called))] : []),
    dirname(linkOfProc(`/proc/${pid}/exe`) || '/'),
    process.env.PATH ?? '',
  ];
  return findExecutable('py-spy', process.cwd(), folders.join(delimiter)).path;
}

/** The Python frames of a process's threads, or why py-spy has none. */
async function framesFromPySpy(
  tool: string,
  { pid, hung, signal }: Questioned,
): Promise<Threads | { readonly problem: string }> {
  // A process that crashed is stopped, and must stay so.
  const words = ['dump', '--json', '--pid', String(pid), ...(hung ? [] : ['--nonblocking'])];
  const { stdout, stderr } = await runToEnd([tool, ...words], {
    ...{ cwd: process.cwd(), timeoutMs: PY_SPY_TIMEOUT_MS, signal },
    keep: [1024 * 1024, 0],
  }).catch((error: unknown) => {
    // Without py-spy there are still the native stacks.
    if (error instanceof EnvironmentError) return { stdout: '', stderr: error.message };
    throw error;
  });
  const threads = new Map<number, OwnThread>();
  for (const { os_thread_id: tid, thread_name, frames } of parseDump(stdout)) {
    if (tid === null) continue;
    threads.set(tid, {
      name: thread_name ?? undefined,
      frames: frames
        .slice(0, MOST_FRAMES)
        .map(({ name, filename, line }) => ({ name, file: filename, line })),
    });
  }
  if (threads.size > 0) return threads;
  return { problem: `py-spy could not read them (${errorOf(stderr) || 'it said nothing'})` };
}

/** The error in what a program of Rust printed, without the backtrace that may follow. */
export function errorOf(stderr: string): string {
  const [said = ''] = stderr.split(/^\s*(?:stack backtrace|note): *.*$/im);
  const lines = said.split('\n').flatMap((line) => line.trim() || []);
  return lines.slice(-MOST_ERROR_LINES).join(' ').slice(0, LONGEST_WORDS);
}

const MOST_ERROR_LINES = 3;

const LONGEST_WORDS = 300;

function parseDump(text: string): z.infer<typeof dump> {
  try {
    return dump.parse(JSON.parse(text));
  } catch {
    return []; // py-spy couldn't read the process, or has another format
  }
}

/** For a hang only: this runs code in the program. That isn't safe if the program must continue, or if its heap is broken. */
async function framesFromPython({ pid, signal }: Questioned): Promise<Threads> {
  const directory = makeTemporaryDirectory('quiesce-traceback');
  try {
    const file = join(directory.path, 'traceback');
    const commands = ['thread apply all -c backtrace 1', ...tracebackCommands(file)];
    const ended = await gdb(pid, commands, { timeoutMs: TRACEBACK_TIMEOUT_MS, signal });
    return parseTraceback(readProc(file), parseHandles(typeof ended === 'string' ? '' : ended.stdout));
  } finally {
    directory.remove();
  }
}

/**
 * gdb commands that make Python write the frames of all its threads to a file. They call the function behind
 * faulthandler. It allocates nothing and takes no lock, so it works in any thread, whatever the thread was doing. No
 * other thread runs meanwhile.
 */
const tracebackCommands = (file: string): string[] => [
  'set scheduler-locking on',
  'set unwindonsignal on',
  // O_WRONLY | O_CREAT | O_TRUNC
  `call ((int (*)(const char *, int, int)) open)("${file}", 01 | 0100 | 01000, 0600)`,
  'call ((const char *(*)(int, void *, void *)) _Py_DumpTracebackThreads)($, 0, 0)',
];

/**
 * The threads in what Python wrote.
 * @param threads the threads' numbers, by the `pthread_t` that Python prints.
 */
function parseTraceback(text: string, threads: ReadonlyMap<bigint, number>): Threads {
  const found = new Map<number, OwnThread>();
  let own: InterpretedFrame[] = [];
  for (const line of text.split('\n')) {
    // Python 3.14 and later print the name.
    const head = /^(?:Current thread|Thread) 0x([0-9a-f]+)(?: \[(.*)\])? \(/.exec(line);
    if (head !== null) {
      own = [];
      const tid = threads.get(BigInt(`0x${head[1]}`));
      if (tid !== undefined) found.set(tid, { name: head[2], frames: own });
      continue;
    }
    const [, file, number, name] = /^ {2}File "(.*)", line (\d+) in (.*)$/.exec(line) ?? [];
    if (file === undefined || name === undefined || own.length === MOST_FRAMES) continue;
    own.push({ name, file, line: Number(number) });
  }
  return found;
}
