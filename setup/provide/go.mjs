// @ts-check
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { outputOf } from '../lib/command.mjs';
import { mustFetch } from '../lib/fetch.mjs';
import { unlessUpToDate } from '../lib/stamp.mjs';
import { mustRun, step } from '../lib/step.mjs';

const FLAGS = ['-trimpath', '-ldflags=-s -w'];

/** Downloads the modules that the Go module in a folder and its tests need: Go itself asks for each just once. */
export const FETCH_MODULES = ['go', 'list', '-deps', '-test', './...'];

/** Whether a Go toolchain is available. */
export function hasGo() {
  return outputOf(['go', 'version']) !== undefined;
}

/**
 * Builds the Go program in `dir`, unless it is up to date.
 * @param {string} title
 * @param {string} dir the folder of its module, which contains all its source
 * @param {string} output
 * @param {string} hint what to do when it fails
 */
export function buildGoProgram(title, dir, output, hint) {
  const files = readdirSync(dir).sort();
  return unlessUpToDate(output, { files: files.map((file) => join(dir, file)), also: FLAGS }, () =>
    step(title, async () => {
      await mustFetch(FETCH_MODULES, { cwd: dir, hint });
      await mustRun(['go', 'build', ...FLAGS, '-o', output, '.'], {
        cwd: dir,
        env: { CGO_ENABLED: '0' },
        hint,
      });
    }),
  );
}
