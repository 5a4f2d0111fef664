import { readFileSync, readlinkSync } from 'node:fs';
import { delimiter, dirname, resolve } from 'node:path';
import { z } from 'zod';
import { findExecutable } from '../process/executable.js';
import { runToEnd } from '../process/run-to-end.js';
import type { InterpretedFrame } from './stack-trace.js';

const PY_SPY_TIMEOUT_MS = 20_000;
const MOST_FRAMES = 64;

const dump = z.array(
  z.looseObject({
    os_thread_id: z.int().nullable(),
    frames: z.array(z.looseObject({ name: z.string(), filename: z.string(), line: z.int() })),
  }),
);

/**
 * The Python frames of a process's threads, by the threads' numbers: from py-spy, where it is installed beside the
 * program's own Python or in `PATH`, and may look. Empty elsewhere; docs/diagnosis/README.md.
 * @param stopped the process is stopped, and is to stay so.
 */
export async function pythonFrames(
  pid: number,
  options: { stopped: boolean; signal?: AbortSignal | undefined },
): Promise<Map<number, readonly InterpretedFrame[]>> {
  const frames = new Map<number, readonly InterpretedFrame[]>();
  if (!/\/(?:lib)?python\d[^/\n]*$/m.test(read(`/proc/${pid}/maps`))) return frames;
  const tool = pySpy(pid);
  if (tool === undefined) return frames;
  const words = ['dump', '--json', '--pid', String(pid), ...(options.stopped ? ['--nonblocking'] : [])];
  const { stdout } = await runToEnd([tool, ...words], {
    ...{ cwd: process.cwd(), timeoutMs: PY_SPY_TIMEOUT_MS, signal: options.signal },
    keep: [1024 * 1024, 0],
  });
  for (const { os_thread_id: tid, frames: own } of parseDump(stdout)) {
    if (tid === null) continue;
    frames.set(
      tid,
      own.slice(0, MOST_FRAMES).map(({ name, filename, line }) => ({ name, file: filename, line })),
    );
  }
  return frames;
}

function parseDump(text: string): z.infer<typeof dump> {
  try {
    return dump.parse(JSON.parse(text));
  } catch {
    return []; // it couldn't look, or says it otherwise
  }
}

/** A virtual environment has it beside the `python` that was called, which is a link to one elsewhere. */
function pySpy(pid: number): string | undefined {
  const [called = ''] = read(`/proc/${pid}/cmdline`).split('\0');
  const folders = [
    ...(called.includes('/') ? [dirname(resolve(linked(`/proc/${pid}/cwd`), called))] : []),
    dirname(linked(`/proc/${pid}/exe`)),
    process.env.PATH ?? '',
  ];
  return findExecutable('py-spy', process.cwd(), folders.join(delimiter)).path;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function linked(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '/';
  }
}
