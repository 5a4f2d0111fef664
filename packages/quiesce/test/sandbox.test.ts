// A program that restricts its own system calls (seccomp) ends as it does without the tester's libraries.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Outcome, run } from '../src/index.js';
import { AMPLIFIER_FILE } from '../src/perturb/perturb.js';
import { findExecutable } from '../src/process/executable.js';
import { WITNESS_FILE } from '../src/run/witness.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('sandbox');
const skip =
  !existsSync(WITNESS_FILE) || !existsSync(AMPLIFIER_FILE)
    ? 'the witness or the amplifier was not built'
    : findExecutable('gcc', '/').path === undefined && 'gcc is missing';

/** A program that allows itself little, then runs these statements. */
function compiled(name: string, statements: string): string {
  const program = join(dir, name);
  const source = `
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#define ALLOW(n) BPF_JUMP(BPF_JMP|BPF_JEQ|BPF_K,n,0,1), BPF_STMT(BPF_RET|BPF_K,SECCOMP_RET_ALLOW)
static void restrict_calls(void) {
  struct sock_filter filter[] = { BPF_STMT(BPF_LD|BPF_W|BPF_ABS,offsetof(struct seccomp_data,nr)),
    ALLOW(SYS_write), ALLOW(SYS_exit_group), ALLOW(SYS_exit), ALLOW(SYS_brk), ALLOW(SYS_mmap), ALLOW(SYS_munmap),
    ALLOW(SYS_mprotect), ALLOW(SYS_fstat), ALLOW(SYS_newfstatat), ALLOW(SYS_ioctl), ALLOW(SYS_getrandom),
    ALLOW(SYS_clone), ALLOW(SYS_clone3), ALLOW(SYS_futex), ALLOW(SYS_set_robust_list), ALLOW(SYS_rseq),
    ALLOW(SYS_madvise), ALLOW(SYS_rt_sigprocmask), ALLOW(SYS_rt_sigaction), BPF_STMT(BPF_RET|BPF_K,SECCOMP_RET_KILL_PROCESS) };
  struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) _exit(3);
}
static void *nothing(void *x) { return x; }
static int *volatile nowhere;
static void crash(void) { *nowhere = 1; }
int main() { ${statements} }`;
  execFileSync('gcc', ['-w', '-pthread', '-x', 'c', '-', '-o', program], { input: source });
  return program;
}

describe('a program that restricts its system calls', { skip }, () => {
  for (const [name, statements, outcome] of [
    ['returns', 'restrict_calls(); puts("restricted"); return 0;', { kind: 'clean' }],
    [
      'uses-threads',
      `restrict_calls(); pthread_t t; if (pthread_create(&t, 0, nothing, 0)) return 4; pthread_join(t, 0); return 0;`,
      { kind: 'clean' },
    ],
    [
      'crashes',
      'restrict_calls(); atexit(crash); return 0;',
      { kind: 'signal', signal: 'SIGSEGV', exitCode: null },
    ],
    [
      'is-strict',
      'if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) return 3; write(1, "x\\n", 2); syscall(SYS_exit, 0);',
      { kind: 'clean' },
    ],
  ] as [string, string, Outcome][]) {
    for (const perturb of ['none', 'amplify']) {
      test(`and ${name.replaceAll('-', ' ')} ends as it does alone (${perturb})`, async () => {
        const { runs } = await run({
          command: [compiled(name, statements)],
          runs: 3,
          perturb,
          timeline: true,
        });
        assert.deepEqual(
          runs.map((one) => one.outcome),
          Array(3).fill(outcome),
        );
      });
    }
  }
});
