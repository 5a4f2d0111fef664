import { readdirSync, readFileSync } from 'node:fs';

/** How long {@link untilStopped} waits at most: a thread that waits for a slow disk stops only after that. */
const STOP_TIMEOUT_MS = 1_000;

/**
 * Whether no thread of a process runs, after SIGSTOP or as it has ended. On a busy machine each thread continues until
 * the kernel next runs it, and the first one may stop before the others. Only Linux reports that.
 */
export function isStopped(pid: number): boolean {
  return threads(pid).every((thread) => {
    // The thread's name, in parentheses, may contain spaces. The state follows it: stopped, a zombie, or dead.
    const state = unlessGone(() => readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8'));
    return state === undefined || /\) [TZX] [^)]*$/.test(state);
  });
}

/** Holds this thread until a process to which SIGSTOP was sent has stopped. Other systems than Linux don't report it. */
export function untilStopped(pid: number): void {
  if (process.platform !== 'linux') return;
  const moment = new Int32Array(new SharedArrayBuffer(4));
  const deadline = performance.now() + STOP_TIMEOUT_MS;
  while (!isStopped(pid) && performance.now() < deadline) Atomics.wait(moment, 0, 0, 1);
}

function threads(pid: number): string[] {
  return unlessGone(() => readdirSync(`/proc/${pid}/task`)) ?? [];
}

/** `undefined` where the process, or its thread, has ended in the meantime. */
function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
