import { readdirSync, readFileSync } from 'node:fs';

/** How many threads of the native transport's runtime this process has now. Linux only. */
export function runtimeThreads(): number {
  return readdirSync('/proc/self/task').filter((id) => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim() === 'quiesce-etcd';
    } catch {
      // The thread has ended meanwhile.
      return false;
    }
  }).length;
}
