// @ts-check
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../lib/command.mjs';
import { onPath, works } from '../lib/find-program.mjs';
import { inCache } from '../lib/paths.mjs';
import { recordProvided } from '../lib/provided.mjs';
import { notice, step } from '../lib/step.mjs';
import { installFromNpm } from './npm-package.mjs';

// Contains a headless Chromium for Linux on x64, with the libraries that a minimal system lacks. It needs no root.
const PACKAGE = '@sparticuz/chromium';
const VERSION = '147.0.0'; // later ones need Node 22
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** A Chromium for the tests of the tester's HTML page: `CHROMIUM_BIN`, or one on PATH, or else one from npm. */
export async function provideChromium() {
  const found = process.env.CHROMIUM_BIN ?? onPath(...NAMES).find(works) ?? (await fromNpm());
  recordProvided('chromium', found);
  if (found === undefined) notice('there is no Chromium: the tests of the HTML page are skipped');
}

async function fromNpm() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const program = inCache('chromium', VERSION, 'start');
  if (works(program)) return program;
  const otherwise = 'the tests of the HTML page are skipped';
  const folder = await installFromNpm(`chromium-${VERSION}`, `${PACKAGE}@${VERSION}`, otherwise);
  if (folder === undefined) return undefined;
  await step('unpack Chromium', () => unpack(folder));
  return works(program) ? program : undefined;
}

/**
 * The package unpacks itself into the temporary directory, but unpacks its libraries only if it is on AWS Lambda.
 * @param {string} folder
 */
async function unpack(folder) {
  const fresh = inCache('chromium', `${VERSION}.${process.pid}`);
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  const script = `const { default: chromium } = await import('${PACKAGE}'); await chromium.executablePath();`;
  const { code, output } = await run([process.execPath, '--input-type=module', '-e', script], {
    cwd: folder,
    env: { TMPDIR: fresh, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs22.x' },
  });
  if (code !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    notice(`Chromium can't be unpacked: ${output.trim()}`);
    return;
  }
  const place = inCache('chromium', VERSION);
  writeFileSync(
    join(fresh, 'start'),
    `#!/bin/sh
here=${quoted(place)}
LD_LIBRARY_PATH="\${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$here/al2023/lib"
export LD_LIBRARY_PATH
if [ ! -e /etc/fonts/fonts.conf ]; then
  FONTCONFIG_PATH="$here/fonts"
  export FONTCONFIG_PATH
fi
exec "$here/chromium" "$@"
`,
    { mode: 0o755 },
  );
  rmSync(place, { recursive: true, force: true });
  renameSync(fresh, place);
}

const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", "'\\''")}'`;
