import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { link, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { onProcessExit } from '../process/exit-guard.js';

const BEAT_MS = 2_000;
const STALE_MS = 10_000;
const POLL_MS = 100;

/**
 * Does some work while no other process does work under the same lock file, on whatever machine that shares it. Waits
 * for the one that does, at most 10 s after that was killed: whoever has the lock touches its file every 2 s.
 * @throws what the work throws; the signal's reason when aborted while it waits; a system error when the file can't be
 * made.
 */
export async function withLock<T>(
  file: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  for (;;) {
    signal?.throwIfAborted();
    if (await take(file)) break;
    await delay(POLL_MS);
  }
  const beat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => {}); // a file that is gone is made by whoever takes the lock next
  }, BEAT_MS);
  const release = onProcessExit(() => rmSync(file, { force: true }));
  try {
    return await work();
  } finally {
    clearInterval(beat);
    rmSync(file, { force: true });
    release();
  }
}

async function take(file: string): Promise<boolean> {
  try {
    await writeFile(file, `${process.pid}\n`, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const found = await stat(file).catch(() => undefined);
  if (found !== undefined && Date.now() - found.mtimeMs > STALE_MS) await removeStale(file, found.ino);
  return false;
}

/** Moves it away first: another process may have done the same, and may have the lock by now. */
async function removeStale(file: string, inode: number): Promise<void> {
  const aside = `${file}.${randomUUID()}`;
  try {
    await rename(file, aside);
    if ((await stat(aside)).ino !== inode) await link(aside, file);
    await rm(aside);
  } catch {
    // The other was quicker.
  }
}
