import { writeSync } from 'node:fs';

/**
 * Tells the tester that the program's work is over and that what follows is its exit. Writes the line `done` to
 * the file descriptor that `QUIESCE_DONE_FD` names, synchronously. Does nothing outside the tester, and never
 * throws: a program under test must not fail because nobody listens.
 */
export function workDone(): void {
  const fd = Number(process.env.QUIESCE_DONE_FD);
  if (!Number.isInteger(fd) || fd < 0 || process.env.QUIESCE_DONE_FD === '') return;
  try {
    writeSync(fd, 'done\n');
  } catch {
    // The descriptor was closed, or the tester is gone.
  }
}
