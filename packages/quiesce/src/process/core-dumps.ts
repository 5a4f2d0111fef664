import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

let inherited: boolean | undefined;

/**
 * The command that starts `command` with core dumps off. On Linux, this process sets its own soft limit to zero, once,
 * and everything it starts inherits that. A shell that sets the limit would cost every run a millisecond. On other
 * systems, the command is such a shell.
 */
export function withoutCoreDumps(command: readonly string[]): readonly string[] {
  inherited ??= limitIsZero() || setLimit();
  return inherited ? command : ['/bin/sh', '-c', 'ulimit -c 0; exec "$@"', 'sh', ...command];
}

function setLimit(): boolean {
  if (process.platform !== 'linux') return false;
  spawnSync('prlimit', [`--pid=${process.pid}`, '--core=0:'], { stdio: 'ignore', timeout: 5_000 });
  return limitIsZero();
}

function limitIsZero(): boolean {
  try {
    return /^Max core file size\s+0\s/m.test(readFileSync('/proc/self/limits', 'latin1'));
  } catch {
    return false;
  }
}
