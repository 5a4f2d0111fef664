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

  it("has the exit amplifier's limits, and the page on its sensitivity too", () => {
    const source = readFileSync(inRoot('crates', 'exit-amplifier', 'src', 'config.rs'), 'utf8');
    const page = readFileSync(inRoot('docs', 'options.md'), 'utf8');
    const limits = [...source.matchAll(/pub static (\w+_MS): AtomicU64 = AtomicU64::new\(([\d_]+)\)/g)].map(
      ([, name = '', ms = '']) => ({ name, ms: ms.replace('_', '') }),
    );
    assert.equal(limits.length, 4);
    for (const { name, ms } of limits) {
      assert.match(page, new RegExp(`\`QUIESCE_AMPLIFY_${name}\` .*\\(default: ${ms}\\)`));
    }
    const ofOne = (/** @type {string} */ wanted) => limits.find(({ name }) => name === wanted)?.ms;
    const text = readFileSync(inRoot('docs', 'measurements', 'sensitivity.md'), 'utf8').replace(/\s+/g, ' ');
    assert.ok(
      text.includes(
        `a hold lasts at most ${ofOne('HOLD_MS')} ms, a delay while lingering ${ofOne('LINGER_MS')} ms`,
      ),
    );
    assert.ok(text.includes(`or ${ofOne('HOLD_MS')} ms have passed`), 'how long a hold lasts');
  });
});
