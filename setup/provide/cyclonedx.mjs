// @ts-check
import { existsSync } from 'node:fs';
import { onPath } from '../lib/find-program.mjs';
import { inCache } from '../lib/paths.mjs';
import { mustRun, step } from '../lib/step.mjs';

const CYCLONEDX = '0.5.9';

/** The program cargo-cyclonedx: one on PATH, or else one built here. */
export async function provideCyclonedx() {
  const [found] = onPath('cargo-cyclonedx');
  if (found !== undefined) return found;
  const root = inCache('cargo-cyclonedx', CYCLONEDX);
  const program = `${root}/bin/cargo-cyclonedx`;
  if (!existsSync(program)) {
    await step(`build cargo-cyclonedx ${CYCLONEDX} (some minutes, once)`, () =>
      mustRun(['cargo', 'install', `cargo-cyclonedx@${CYCLONEDX}`, '--locked', '--root', root]),
    );
  }
  return program;
}
