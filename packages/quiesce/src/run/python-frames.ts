import { delimiter, dirname, resolve } from 'node:path';
import { z } from 'zod';
import { EnvironmentError } from '../errors.js';
import { findExecutable } from '../process/executable.js';
import { linkOfProc, readProc } from '../process/proc.js';
import { procFolder } from '../process/processes.js';
import { runToEnd } from '../process/run-to-end.js';
import type { InterpretedFrame } from './stack-trace.js';

const PY_SPY_TIMEOUT_MS = 20_000;
const MOST_FRAMES = 64;

/** What Python knows of a thread. */
export interface PythonThread {
  /** As the program named it; `undefined` if Python doesn't say. */
  readonly name: string | undefined;
  readonly frames: readonly InterpretedFrame[];
}

/** Threads by their numbers. */
export type PythonThreads = ReadonlyMap<number, PythonThread>;

const dump = z.array(
  z.looseObject({
    os_thread_id: z.int().nullable(),
    thread_name: z.string().nullish(),
    frames: z.array(z.looseObject({ name: z.string(), filename: z.string(), line: z.int() })),
  }),
);

/** Whether a process has Python in it. */
export const hasPython = (pid: number): boolean =>
  /\/(?:lib)?python\d[^/\n]*$/m.test(readProc(`${procFolder(pid)}/maps`));

/**
 * Path of py-spy for a process. It is beside the program's own Python or in `PATH`. In a virtual environment, the
 * `python` that was called is a link to one elsewhere, and py-spy is beside the link.
 */
export function findPySpy(pid: number): string | undefined {
  const [called = ''] = readProc(`/proc/${pid}/cmdline`).split('\0');
  const folders = [
    ...(called.includes('/') ? [dirname(resolve(linkOfProc(`/proc/${pid}/cwd`) || '/', called))] : []),
    dirname(linkOfProc(`/proc/${pid}/exe`) || '/'),
    process.env.PATH ?? '',
  ];
  return findExecutable('py-spy', process.cwd(), folders.join(delimiter)).path;
}

/**
 * The Python frames of a process's threads, from py-spy; none if it may not read them.
 * @param stopped the process is stopped, and must stay so.
 */
export async function framesFromPySpy(
  tool: string,
  pid: number,
  options: { stopped: boolean; signal?: AbortSignal | undefined },
): Promise<PythonThreads> {
  const words = ['dump', '--json', '--pid', String(pid), ...(options.stopped ? ['--nonblocking'] : [])];
  const { stdout } = await runToEnd([tool, ...words], {
    ...{ cwd: process.cwd(), timeoutMs: PY_SPY_TIMEOUT_MS, signal: options.signal },
    keep: [1024 * 1024, 0],
  }).catch((error: unknown) => {
    // Without py-spy there are still the native stacks.
    if (error instanceof EnvironmentError) return { stdout: '' };
    throw error;
  });
  const threads = new Map<number, PythonThread>();
  for (const { os_thread_id: tid, thread_name, frames } of parseDump(stdout)) {
    if (tid === null) continue;
    threads.set(tid, {
      name: thread_name ?? undefined,
      frames: frames
        .slice(0, MOST_FRAMES)
        .map(({ name, filename, line }) => ({ name, file: filename, line })),
    });
  }
  return threads;
}

function parseDump(text: string): z.infer<typeof dump> {
  try {
    return dump.parse(JSON.parse(text));
  } catch {
    return []; // py-spy couldn't read the process, or has another format
  }
}

/**
 * gdb commands that make Python write the frames of all its threads to a file. They call the function behind
 * faulthandler. It allocates nothing and takes no lock, so it works in any thread, whatever the thread was doing. No
 * other thread runs meanwhile.
 */
export const tracebackCommands = (file: string): string[] => [
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
export function parseTraceback(text: string, threads: ReadonlyMap<bigint, number>): PythonThreads {
  const found = new Map<number, PythonThread>();
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
