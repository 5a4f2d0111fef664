// The cures that `npm run nemesis -- --without` takes out can still be taken out.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cures } from '../build/without.mjs';
import { inRoot } from '../lib/paths.mjs';

const checks = readFileSync(inRoot('scenarios', 'nemesis', 'judge', 'checks.go'), 'utf8');
const docs = readFileSync(inRoot('docs', 'measurements', 'reliability.md'), 'utf8');

for (const { name, file, wrong, check } of cures()) {
  test(`${name} can be taken out, and is in docs/measurements/reliability.md`, () => {
    execFileSync('git', ['apply', '--check', '--directory=packages/etcd', file], { cwd: inRoot() });
    assert.match(wrong, /\.$/);
    assert.ok(checks.includes(`{"${check}", `), `the judge has no check named ${check}`);
    assert.ok(docs.includes(`| \`${name}\``), `docs/measurements/reliability.md does not describe ${name}`);
  });
}
