const pending = new Set<() => void>();

/**
 * Runs `cleanup` synchronously when this process exits, unless it was released before. It covers `process.exit()`, a
 * natural end and an uncaught exception, but not a signal that kills this process outright.
 * @returns the function that releases it.
 */
export function onProcessExit(cleanup: () => void): () => void {
  if (pending.size === 0) process.on('exit', runExitGuards);
  pending.add(cleanup);
  return () => {
    if (pending.delete(cleanup) && pending.size === 0) process.off('exit', runExitGuards);
  };
}

/** Runs everything pending, latest first: a directory is removed after the program that writes into it was killed. */
export function runExitGuards(): void {
  for (const cleanup of [...pending].reverse()) {
    try {
      cleanup();
    } catch {
      // A clean-up that fails must not keep the others from running.
    }
  }
}
