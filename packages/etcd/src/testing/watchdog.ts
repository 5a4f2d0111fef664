import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reason } from '../util/kinds.js';
import { EtcdStartError } from './start-error.js';

/**
 * The script of the shell. It remembers the process group that it is given. When its input ends without a message,
 * because this process is gone, it kills that group and removes the directory.
 */
const SCRIPT = `
group=
while read -r word value; do
  case $word in
    group) group=$value ;;
    done) exit 0 ;;
  esac
done
if [ -n "$group" ]; then
  kill -s KILL -- "-$group" 2>/dev/null
  tries=0
  while kill -s 0 -- "-$group" 2>/dev/null && [ "$tries" -lt 20 ]; do sleep 0.1; tries=$((tries + 1)); done
fi
rm -rf -- "$1"
`;

/**
 * A temporary directory, and a watchdog. The watchdog removes the directory, and kills the process group that works in
 * it, when this process is gone: even if it was killed, so that none of its handlers ran. On Windows, which has no such
 * shell, the directory is removed when this process exits.
 */
export class Watchdog {
  readonly dir: string;
  readonly #shell: ChildProcess | undefined;
  readonly #remove: () => void;

  /** @throws EtcdStartError where the system can't provide a directory or a process. */
  constructor() {
    const dir = temporaryDirectory();
    this.dir = dir;
    this.#remove = () => rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
    if (process.platform === 'win32') {
      process.once('exit', this.#remove);
      return;
    }
    // In its own group, which Ctrl-C at a terminal doesn't reach.
    const shell = spawn('/bin/sh', ['-c', SCRIPT, 'quiesce-etcd-watchdog', dir], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: '/',
    });
    shell.on('error', () => {});
    if (shell.pid === undefined) {
      this.#remove();
      throw new EtcdStartError(
        "/bin/sh can't be run, but it has to end the etcd when this process is gone: does it exist, and does this process have file descriptors left?",
      );
    }
    shell.stdin.on('error', () => {});
    release(shell);
    this.#shell = shell;
  }

  /** From now on this group is killed when this process ends; `undefined` for none. */
  guard(group: number | undefined): void {
    this.#shell?.stdin?.write(`group ${group ?? ''}\n`);
  }

  /** Removes the directory now, when the group has already ended. */
  end(): void {
    this.#remove();
    process.off('exit', this.#remove);
    this.#shell?.stdin?.end('done\n');
  }
}

function temporaryDirectory(): string {
  try {
    return mkdtempSync(join(tmpdir(), 'quiesce-etcd-data-'));
  } catch (error) {
    throw new EtcdStartError(`there is no directory for the data of an etcd: ${reason(error)}; check TMPDIR`);
  }
}

/** Lets a child that is no longer of interest not keep this process alive. */
export function release(child: ChildProcess): void {
  child.unref();
  for (const stream of child.stdio) (stream as { unref?: () => void } | null)?.unref?.();
}
