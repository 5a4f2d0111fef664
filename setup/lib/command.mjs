import { spawn, spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { root } from './paths.mjs';

/** Children that run now; each leads its own process group. */
const running = new Map();

/** Set by an interrupt: from then on nothing starts, and nobody hears of what ended. */
let ending = false;

/**
 * Runs a program in the repository's top folder.
 *
 * Each gets its own process group, so that an interrupt reaches it exactly once: from `endChildren`, not also from
 * the terminal.
 * @param {string[]} command program and arguments
 * @param {{ cwd?: string, env?: Record<string, string>, show?: boolean }} [options] `show`: to this process's
 * output rather than into the result
 * @returns {Promise<{ code: number, stdout: string, output: string }>} `output`: stdout and stderr as they came;
 * `code`: 128 + n for a signal, 127 when it can't be started
 */
export function run([program, ...args], { cwd = root, env, show = false } = {}) {
  return new Promise((resolve) => {
    if (ending) return;
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
      detached: true,
    });
    const stdout = [];
    const output = [];
    child.stdout?.on('data', (chunk) => {
      stdout.push(chunk);
      output.push(chunk);
    });
    child.stderr?.on('data', (chunk) => output.push(chunk));
    const closed = new Promise((done) => {
      child.once('error', (error) => done({ code: 127, why: error.message }));
      child.once('close', (code, signal) =>
        done({ code: code ?? 128 + (constants.signals[signal] ?? 0), why: '' }),
      );
    });
    if (child.pid !== undefined) running.set(child.pid, closed);
    void closed.then(({ code, why }) => {
      running.delete(child.pid);
      if (ending) return;
      const text = (chunks) => Buffer.concat(chunks).toString('utf8');
      resolve({ code, stdout: text(stdout), output: text(output) + why });
    });
  });
}

/** Sends a signal to all children and their groups, and waits until they are gone. */
export async function endChildren(signal) {
  ending = true;
  for (const pid of running.keys()) {
    try {
      process.kill(-pid, signal);
    } catch {
      // gone meanwhile
    }
  }
  await Promise.all(running.values());
}

/** What a short command prints (stdout and stderr), or `undefined` when it isn't there or fails. */
export function outputOf([program, ...args]) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? `${stdout}${stderr}`.trim() : undefined;
}
