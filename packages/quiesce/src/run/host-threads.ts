import { isHostThread } from '../hosts.js';
import { isAllowedThread } from './allowed-threads.js';
import type { LeftThread } from './witness.js';

/** Starts the thread that calls Java's `main`. */
const LAUNCHER = /\/libjli\.so$/;

/** The left threads that aren't the language host's own and harmless. */
export function withoutHostThreads(threads: readonly LeftThread[]): LeftThread[] {
  // The first thread of Java only waits for the one that calls `main`, and `System.exit` leaves both.
  const inJava = threads.some(({ library }) => library !== null && LAUNCHER.test(library));
  return threads.filter(({ name, library, main }) => {
    if (library === null) return !(main && inJava);
    return !isHostThread(name, library) && !LAUNCHER.test(library);
  });
}

/** The left threads that make a run fail under `strict`. */
export const unwantedThreads = (threads: readonly LeftThread[], allowed: readonly string[]): LeftThread[] =>
  withoutHostThreads(threads).filter((thread) => !isAllowedThread(thread, allowed));
