// @ts-check
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { constants, getPriority } from 'node:os';
import { root } from './paths.mjs';

/**
 * Children that are running, by process id; each leads its own process group.
 * @type {Map<number, Promise<unknown>>}
 */
const running = new Map();

/** Set by an interrupt: from then on nothing starts, and no result of an ended child is reported. */
let ending = false;

/**
 * @typedef {object} Ended
 * @property {number} code 128 + n for a signal, 127 when it can't be started
 * @property {string} stdout
 * @property {string} output stdout and stderr in the order of arrival
 */

/**
 * Runs a program in the repository's top folder.
 *
 * Each gets its own process group, so that an interrupt reaches it exactly once: from `endChildren`, not also from
 * the terminal.
 * @param {readonly string[]} command program and arguments
 * @param {{ cwd?: string, env?: Record<string, string | undefined>, show?: boolean }} [options] `show`: sends the
 * output to this process's output, and not into the result
 * @returns {Promise<Ended>}
 */
export function run([program = '', ...args], { cwd = root, env, show = false } = {}) {
  return new Promise((resolve) => {
    if (ending) return;
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
      detached: true,
    });
    /** @type {Buffer[]} */
    const stdout = [];
    /** @type {Buffer[]} */
    const output = [];
    child.stdout?.on('data', (chunk) => {
      stdout.push(chunk);
      output.push(chunk);
    });
    child.stderr?.on('data', (chunk) => output.push(chunk));
    /** @type {Promise<{ code: number, why: string }>} */
    const closed = new Promise((done) => {
      child.once('error', (error) => done({ code: 127, why: error.message }));
      child.once('close', (code, signal) =>
        done({ code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]), why: '' }),
      );
    });
    const { pid } = child;
    if (pid !== undefined) {
      running.set(pid, closed);
      beNice(pid);
    }
    void closed.then(({ code, why }) => {
      if (pid !== undefined) running.delete(pid);
      if (ending) return;
      const text = (/** @type {Buffer[]} */ chunks) => Buffer.concat(chunks).toString('utf8');
      resolve({ code, stdout: text(stdout), output: text(output) + why });
    });
  });
}

/**
 * Makes a child's session as nice as this process. Linux's autogroups give each session an equal share of the
 * processors, and the niceness of a process counts only within its session. Each child here leads its own session.
 * @param {number} pid
 */
function beNice(pid) {
  const niceness = getPriority();
  if (process.platform !== 'linux' || niceness <= 0) return;
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(niceness));
  } catch {
    // The child has ended, or the kernel has no autogroups.
  }
}

/**
 * Runs a program that writes its output itself.
 * @param {readonly string[]} command
 * @returns {Promise<number>} its exit code
 */
export async function show(command) {
  return (await run(command, { show: true })).code;
}

/**
 * Sends a signal to all children and their groups, and waits until they are gone.
 * @param {NodeJS.Signals} signal
 */
export async function endChildren(signal) {
  ending = true;
  for (const pid of running.keys()) {
    try {
      process.kill(-pid, signal);
    } catch {
      // it has ended meanwhile
    }
  }
  await Promise.all(running.values());
}

/**
 * The output of a short command (stdout and stderr), or `undefined` if it doesn't exist or fails.
 * @param {readonly string[]} command
 */
export function outputOf([program = '', ...args]) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? `${stdout}${stderr}`.trim() : undefined;
}
