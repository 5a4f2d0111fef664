import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { withoutCoreDumps } from './core-dumps.js';
import type { ExitStatus, Output, Starter } from './started-program.js';

/** Starts programs with Node's own functions, which take milliseconds for each. */
export const nodeStarter: Starter = {
  pid: process.pid,
  listens: false,
  async start({ command, cwd, env, added, outputs }) {
    const [program = '', ...words] = withoutCoreDumps(command);
    const piped = [1, 2, 3].slice(0, Math.max(2, outputs));
    const stdio = ['ignore', ...piped.map((number) => (number <= outputs ? 'pipe' : 'ignore'))] as const;
    const startedAt = performance.now();
    let endedAt: number | undefined;
    const child = spawn(program, words, {
      cwd,
      env: { ...env, ...added },
      stdio: [...stdio],
      detached: true,
    });
    if (child.pid === undefined) throw (await once(child, 'error'))[0];
    // Later errors, for example a signal that can't be sent, show in the exit status or not at all.
    child.on('error', () => {});
    const exited = new Promise<ExitStatus>((resolve) => {
      child.once('exit', (code, signal) => {
        endedAt = performance.now();
        resolve({ code, signal });
      });
    });
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const output = (child.stdio.slice(1) as (Readable | null)[])
      .flatMap((stream) => stream ?? [])
      .map(outputOf);
    return {
      ...{ pid: child.pid, startedAt, output, exited, closed },
      endedAt: () => endedAt ?? performance.now(),
      leftNothing: () => false,
      over() {},
    };
  },
};

function outputOf(stream: Readable): Output {
  stream.on('error', () => {});
  return {
    read: (listener) => stream.on('data', (chunk: Buffer) => listener(chunk, performance.now())),
    close: () => stream.destroy(),
  };
}
