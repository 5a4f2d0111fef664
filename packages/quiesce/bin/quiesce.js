#!/usr/bin/env node
// In the package from the first, so that npm links it before the rest is built.
try {
  await import('../dist/src/cli.js');
} catch (error) {
  // Not 1, which says that the program under test failed.
  process.exitCode = 3;
  const { code, message, stack } = /** @type {NodeJS.ErrnoException} */ (error);
  if (code === 'EMFILE') console.error(`quiesce: error: ${message} (raise ulimit -n)`);
  else console.error(`quiesce: error: can't be loaded: ${stack}`);
}
