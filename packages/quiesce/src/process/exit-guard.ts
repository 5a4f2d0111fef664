const pending = new Set<() => void>();

/**
 * Runs `cleanup` synchronously when this process exits, unless released before. Covers `process.exit()`, a
 * natural end and an uncaught exception; not a signal that kills this process outright.
 * @returns the function that releases it.
 */
export function onProcessExit(cleanup: () => void): () => void {
  if (pending.size === 0) process.on('exit', runExitGuards);
  pending.add(cleanup);
  return () => {
    if (pending.delete(cleanup) && pending.size === 0) process.off('exit', runExitGuards);
  };
}

/** Runs what is pending now. The latest first: what a program writes into is removed after the program was killed. */
export function runExitGuards(): void {
  for (const cleanup of [...pending].reverse()) {
    try {
      cleanup();
    } catch {
      // One failed clean-up must not keep the others from running.
    }
  }
}
