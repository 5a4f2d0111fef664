// @ts-check
// docs/measurements/field.md matches scenarios/field: each case and control was measured in its current state. The runs
// without the tester leave nothing behind.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { cases, controls } from '../field/cases.mjs';
import { outdated, PAGE, page, readResults } from '../field/page.mjs';
import { withoutTester } from '../field/try.mjs';
import { inRoot } from '../lib/paths.mjs';

it('every case and control is measured as it stands', () => {
  assert.deepEqual(outdated(readResults()), [], 'npm run field measures them');
});

it('the page is what the results say', () => {
  const format = [inRoot('node_modules', '.bin', 'biome'), 'format', `--stdin-file-path=${PAGE}`];
  const { stdout, status, stderr } = spawnSync(/** @type {string} */ (format[0]), format.slice(1), {
    input: page(readResults()),
    encoding: 'utf8',
    timeout: 30_000,
  });
  assert.equal(status, 0, stderr);
  assert.equal(readFileSync(PAGE, 'utf8'), stdout, 'npm run field writes it');
});

it('names are unique, and CI runs five', () => {
  const all = [...cases(), ...controls()];
  assert.equal(new Set(all.map(({ name }) => name)).size, all.length);
  assert.equal(all.filter(({ ci }) => ci === true).length, 5);
});

it('runs without the tester have temporary directories of their own, which go with them', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'quiesce-field-test-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const command = ['sh', '-c', 'echo "$TMPDIR" >> said; touch "$TMPDIR/left"; exit 3'];
  assert.deepEqual(await withoutTester({}, { folder, command }, 2, 2), { runs: 2, failed: 2 });
  const said = readFileSync(join(folder, 'said'), 'utf8').trim().split('\n');
  assert.equal(said.length, 2);
  for (const directory of said) {
    assert.notEqual(directory, tmpdir());
    assert.ok(!existsSync(directory), directory);
  }
});
