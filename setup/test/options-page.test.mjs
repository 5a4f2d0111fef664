// @ts-check
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { optionsPage, variables, variablesInSources } from '../build/options-page.mjs';
import { inRoot } from '../lib/paths.mjs';

describe('docs/options.md', () => {
  it('is what the tester has', async () => {
    const page = readFileSync(inRoot('docs', 'options.md'), 'utf8');
    assert.equal(page, await optionsPage(), 'node setup/build/options-page.mjs writes it');
  });

  it('has each environment variable of the sources, and no other', () => {
    assert.deepEqual([...variables].sort(), variablesInSources());
  });
});
