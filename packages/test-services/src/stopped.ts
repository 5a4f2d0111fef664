import { readdirSync, readFileSync } from 'node:fs';

/**
 * Whether a process has stopped after SIGSTOP, with all of its threads: on a busy machine each continues until the kernel
 * next runs it, the first one no later than others. Linux alone reports it.
 */
export function isStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    try {
      // Its name, in parentheses, may have spaces; the state follows.
      return /\) T [^)]*$/.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8'));
    } catch (error) {
      // It has ended since it was listed.
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return true;
      throw error;
    }
  });
}
