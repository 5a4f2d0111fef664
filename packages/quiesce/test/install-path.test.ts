// Where the tester is installed makes no difference: LD_PRELOAD can't hold a path with a blank or a colon, as Jenkins' are.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { AMPLIFIER_FILE } from '../src/perturb/perturb.js';
import { WITNESS_FILE } from '../src/run/witness.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('install-path');
const here = fileURLToPath(new URL('../../', import.meta.url));
const missing = [WITNESS_FILE, AMPLIFIER_FILE].some((file) => !existsSync(file)) && 'no preload libraries';

test('a path with blanks, a colon and letters of other languages', { skip: missing }, () => {
  const at = join(dir, 'my job: ünï cödé');
  mkdirSync(at);
  cpSync(join(here, 'dist', 'src'), join(at, 'dist', 'src'), { recursive: true });
  for (const part of ['native', 'package.json'])
    cpSync(join(here, part), join(at, part), { recursive: true });
  symlinkSync(join(here, '..', '..', 'node_modules'), join(at, 'node_modules'));
  const temporary = join(dir, 'tmp');
  mkdirSync(temporary);
  const run = (...words: string[]): { stdout: string; status: number | null } =>
    spawnSync(process.execPath, [join(at, 'dist', 'src', 'cli.js'), ...words], {
      ...{ encoding: 'utf8', cwd: dir, timeout: 240_000, env: { ...process.env, TMPDIR: temporary } },
    });
  const crashed = run('run', '-n', '1', '--json', '-', '--', 'sh', '-c', 'kill -SEGV $$');
  assert.equal(JSON.parse(crashed.stdout).scenarios[0].failures[0].diedIn, 'sh');
  const amplified = run('run', '-n', '1', '--perturb', 'amplify', '--strict', '--', 'sleep', '0');
  assert.equal(amplified.status, 0);
  assert.match(amplified.stdout, /no thread of the main process was left at exit in any of 1 run/);
  assert.doesNotMatch(amplified.stdout, /not amplified/);
  assert.deepEqual(readdirSync(temporary), []);
});
