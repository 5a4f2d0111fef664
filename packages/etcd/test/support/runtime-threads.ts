import { readdirSync, readFileSync } from 'node:fs';

/** How many threads of the native transport's runtime this process has now. Linux only. */
export function runtimeThreads(): number {
  return threads().filter((id) => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim() === 'quiesce-etcd';
    } catch {
      // The thread has ended meanwhile.
      return false;
    }
  }).length;
}

/** Linux' list may lack a thread while others end. */
function threads(): string[] {
  for (let before = ''; ; ) {
    const now = readdirSync('/proc/self/task');
    if (now.join() === before) return now;
    before = now.join();
  }
}
