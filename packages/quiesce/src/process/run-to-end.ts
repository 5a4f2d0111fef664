import { BoundedOutput } from './bounded-output.js';
import { spawnGroup } from './process-group.js';
import { waitedForCpuMs } from './processes.js';
import type { ExitStatus } from './started-program.js';
import { startLimit, startTimer } from './timer.js';

/** Options for running a program to its end. */
export interface RunToEndOptions {
  readonly cwd: string;
  /** Default: that of this process. */
  readonly env?: NodeJS.ProcessEnv;
  /** Time after which the program is killed, in ms. Time in which it waits for a CPU doesn't count. */
  readonly timeoutMs: number;
  /** Kills the program when aborted. */
  readonly signal?: AbortSignal | undefined;
  /** How many bytes of its standard output are kept, from the beginning and from the end. */
  readonly keep: readonly [number, number];
}

/** The result of a program that has ended. */
export interface EndedProgram {
  readonly status: ExitStatus;
  readonly stdout: string;
  /** The first 2 KB and the last 8 KB. */
  readonly stderr: string;
}

const DRAIN_MS = 1_000;

/**
 * Runs a program to its end, without standard input, and kills what it leaves of its process group.
 * @returns how it ended: by SIGKILL if it took too long or was aborted.
 * @throws EnvironmentError when the system can't start it.
 */
export async function runToEnd(
  command: readonly string[],
  { cwd, env = process.env, timeoutMs, signal, keep: [head, tail] }: RunToEndOptions,
): Promise<EndedProgram> {
  const group = await spawnGroup(command, { cwd, env, outputs: 2 });
  const [stdout, stderr] = [new BoundedOutput(head, tail), new BoundedOutput(2_000, 8_000)];
  for (const [i, output] of [stdout, stderr].entries()) {
    group.output[i]?.read((chunk) => output.push(chunk));
  }
  const stop = (): void => group.kill('SIGKILL');
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  const end = startLimit(timeoutMs, stop, () => waitedForCpuMs(group.pid));
  const status = await group.exited;
  end();
  signal?.removeEventListener('abort', stop);
  stop();
  // A process that left the group may hold the pipes. It must not delay the result.
  const drained = startTimer(DRAIN_MS);
  await Promise.race([group.closed, drained.passed]);
  drained.stop();
  for (const stream of group.output) stream.close();
  group.release();
  return { status, stdout: stdout.toString(), stderr: stderr.toString() };
}
