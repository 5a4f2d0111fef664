// @ts-check
// Tests docker/Dockerfile, as far as that is possible without a container: apt knows the packages that it installs, its
// version is that of the packages, and it calls the tester with arguments that the tester knows.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { outputOf } from '../lib/command.mjs';
import { inRoot, tester } from '../lib/paths.mjs';
import { version } from '../pack/published.mjs';

const text = readFileSync(inRoot('docker', 'Dockerfile'), 'utf8').replace(/\\\n/g, ' ');
/** The last step's command: `quiesce` with its arguments. */
const smoke = /&& quiesce (.+)$/m.exec(text)?.[1] ?? '';
const packages = /--no-install-recommends (.+?) &&/.exec(text)?.[1]?.trim().split(/\s+/) ?? [];
const debian = outputOf(['apt-cache', 'policy', 'gdb'])?.includes('Candidate: ') === true;

describe('the Dockerfile', () => {
  it('installs the version of this repository', () => {
    assert.equal(/^ARG QUIESCE_VERSION=(.+)$/m.exec(text)?.[1], version());
  });

  it("installs packages that Debian has, gdb's helper for Python among them", {
    skip: !debian && 'no apt',
  }, () => {
    assert.ok(packages.includes('gdb') && packages.includes('python3-dbg'), packages.join(' '));
    // apt prints one line of "NAME:" for each package that it knows, and then its versions.
    const known = outputOf(['apt-cache', 'policy', ...packages]) ?? '';
    const candidates = [...known.matchAll(/^([^\s:]+):\n.*\n +Candidate: (?!\(none\))/gm)].map(
      ([, name]) => name,
    );
    assert.deepEqual(candidates.sort(), [...packages].sort());
  });

  it('tries the tester with a command that passes', () => {
    assert.match(smoke, /^run /);
    const { status, stdout, stderr } = spawnSync(process.execPath, [tester, ...smoke.split(' ')], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal(status, 0, stdout + stderr);
  });
});
