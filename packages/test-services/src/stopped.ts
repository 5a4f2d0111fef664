import { readdirSync, readFileSync } from 'node:fs';

/**
 * Whether a process has stopped after SIGSTOP, with all of its threads. On a busy machine each thread continues until
 * the kernel next runs it, and the first one may stop before the others. Only Linux reports that.
 */
export function isStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    try {
      // The thread's name, in parentheses, may contain spaces. The state follows it.
      return /\) T [^)]*$/.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8'));
    } catch (error) {
      // The thread has ended since it was listed.
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return true;
      throw error;
    }
  });
}
