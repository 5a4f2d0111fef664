import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { type FileHandle, link, open, rename, rm, stat, utimes } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { onProcessExit } from '../process/exit-guard.js';

const BEAT_MS = 2_000;
const STALE_MS = 10_000;
const POLL_MS = 50;

/** How long to wait for a lock. */
export interface LockOptions {
  /** Ends the wait. No effect once the lock is held. */
  readonly signal?: AbortSignal | undefined;
  /** In ms. Longer than the 10 s after which a dead holder's lock is taken over; default: forever. */
  readonly waitMs?: number;
}

/**
 * Does some work while no other process does work under the same lock file, on any machine that shares the file. It
 * waits for the holder. If the holder was killed, it waits at most 10 s: a living holder touches the file every 2 s.
 * @throws what the work throws; the signal's reason when aborted while waiting; an Error when the wait timed out; a
 * system error when the file can't be made.
 */
export async function withLock<T>(
  file: string,
  { signal, waitMs = Number.POSITIVE_INFINITY }: LockOptions,
  work: () => Promise<T>,
): Promise<T> {
  const token = `${process.pid} ${randomUUID()}\n`;
  const deadline = performance.now() + waitMs;
  for (;;) {
    signal?.throwIfAborted();
    if (await take(file, token)) break;
    if (performance.now() >= deadline) throw new Error(`${file} is locked by another process`);
    await delay(POLL_MS);
  }
  const beat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => {}); // if the file is gone, the next holder makes it
  }, BEAT_MS);
  // A process that was stopped for longer than a lock lasts has lost the lock, and another may hold it.
  const giveBack = (): void => {
    if (contentOf(file) === token) rmSync(file, { force: true });
  };
  const release = onProcessExit(giveBack);
  try {
    return await work();
  } finally {
    clearInterval(beat);
    giveBack();
    release();
  }
}

async function take(file: string, token: string): Promise<boolean> {
  let made: FileHandle;
  try {
    made = await open(file, 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (await isStale(file)) await removeStale(file);
    return false;
  }
  try {
    await made.writeFile(token);
    return true;
  } catch (error) {
    await rm(file, { force: true }); // the disk is full
    throw error;
  } finally {
    await made.close();
  }
}

const isStale = async (file: string): Promise<boolean> => {
  const found = await stat(file).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > STALE_MS;
};

/** Moves the file away first: another process may have done the same, and may hold the lock by now. */
async function removeStale(file: string): Promise<void> {
  const aside = `${file}.${randomUUID()}`;
  try {
    await rename(file, aside);
    if (!(await isStale(aside))) await link(aside, file);
    await rm(aside);
  } catch {
    // Another process was quicker.
  }
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
