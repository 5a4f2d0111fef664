#!/usr/bin/env sh
':' /*
# Node gives all signals their default action when it starts. Only a shell can say which ones are to be ignored, as
# with nohup, and for what a script starts with "&". To a shell, what is above does nothing.
if [ -r /proc/self/status ]; then
  while read -r name mask && [ "$name" != SigIgn: ]; do :; done </proc/self/status
  export QUIESCE_IGNORED_SIGNALS="$mask"
fi
exec node "$0" "$@"
*/;
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
