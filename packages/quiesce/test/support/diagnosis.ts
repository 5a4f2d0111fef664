// Programs for tests of what the tester sees of a crash, a hang and an exit, and what those tests need of the machine.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { FailureGroup } from '../../src/index.js';
import { findExecutable } from '../../src/process/executable.js';
import { SPAWNER_FILE } from '../../src/process/spawner.js';
import { WITNESS_FILE } from '../../src/run/witness.js';
import { cli } from './cli.js';
import { temporaryDirectory } from './temporary-directory.js';

export const node = (program: string): string[] => [process.execPath, '-e', program];
export const has = (program: string): boolean => findExecutable(program, process.cwd()).path !== undefined;
export const spawned = existsSync(SPAWNER_FILE);
export const unseen = existsSync(WITNESS_FILE)
  ? false
  : 'no witness was built here (cargo is missing, or not Linux)';
export const untraced = unseen || (has('gdb') ? false : 'gdb is missing');
export const gccless = has('gcc') && has('g++') ? false : 'gcc is missing';
export const pythonless = unseen || (has('python3') ? false : 'python3 is missing');

// As if Yama forbade it (kernel.yama.ptrace_scope 2 or 3): seccomp makes ptrace fail with EPERM in what is run this
// way.
const withoutPtrace = `
import ctypes, os, struct, sys
number = {"x86_64": 101, "aarch64": 117}[os.uname().machine]
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
filters = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filters, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])`;
/** What the tester reports about a program's first failure if no debugger may attach. */
export function withoutDebugger(program: string[]): FailureGroup {
  const words = ['run', '-n', '1', '--timeout', '1500ms', '--json', '-', '--', ...program];
  const { stdout } = spawnSync('python3', ['-c', withoutPtrace, process.execPath, cli, ...words], {
    ...{ encoding: 'utf8', timeout: 240_000 },
  });
  return JSON.parse(stdout).scenarios[0].failures[0];
}

/** A program in C. */
export function compiled(name: string, source: string): string {
  const program = join(temporaryDirectory('diagnosis'), name);
  execFileSync('gcc', ['-w', '-g', '-pthread', '-x', 'c', '-', '-o', program], { input: source });
  return program;
}
