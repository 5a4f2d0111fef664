// @ts-check
// What README.md says about a shell loop and hyperfine, in comparison with the tester.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { onPath } from '../lib/find-program.mjs';
import { tester } from '../lib/paths.mjs';

/** @param {string[]} command */
function run([program = '', ...args]) {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 60_000 });
  return { status, output: stdout + stderr };
}

const quiesce = (/** @type {string[]} */ ...args) => run([process.execPath, tester, 'run', ...args]);

describe('a shell loop', () => {
  // `timeout` ends the program, too.
  const loop = (/** @type {string} */ program, seconds = '50') =>
    run(['timeout', seconds, 'sh', '-c', `for i in 1 2 3; do sh -c '${program}' || exit 1; done`]);

  it("doesn't see a fatal message under exit code 0, and the tester does", () => {
    const program = 'echo "Fatal Python error: PyGILState_Release" >&2';
    assert.equal(loop(program).status, 0);
    const { status, output } = quiesce('-n', '3', '--', 'sh', '-c', program);
    assert.equal(status, 1);
    assert.match(output, /3 dirty output/);
  });

  it("hangs with its program, and the tester doesn't", () => {
    assert.equal(loop('sleep 30', '2').status, 124);
    const { status, output } = quiesce('-n', '1', '--timeout', '1s', '--', 'sleep', '30');
    assert.equal(status, 1);
    assert.match(output, /1 hang/);
  });
});

describe('hyperfine', { skip: onPath('hyperfine').length === 0 && 'it is not installed' }, () => {
  const program = "sh -c 'exit 3'";

  it('stops at the first exit code that is not 0', () => {
    const { status, output } = run(['hyperfine', '-N', '-r', '3', program]);
    assert.equal(status, 1);
    assert.match(output, /non-zero exit code/);
  });

  it('ignores all of them with --ignore-failure', () => {
    assert.equal(run(['hyperfine', '-N', '-r', '3', '--ignore-failure', program]).status, 0);
  });
});
