// @ts-check
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { run } from '../lib/command.mjs';
import { inRoot, tester } from '../lib/paths.mjs';
import { mustRun, step } from '../lib/step.mjs';
import { terminalSvg } from '../lib/terminal-svg.mjs';

const PAGE = inRoot('docs', 'crash-at-exit.md');
const OUT = inRoot('docs', 'pictures');

/**
 * Runs the program of docs/crash-at-exit.md under the tester, and makes pictures of the result: of the terminal, and if
 * there is a Chromium, of the HTML report.
 * @param {string | undefined} chromium
 */
export async function makePictures(chromium) {
  const page = readFileSync(PAGE, 'utf8');
  const [, program = ''] = /<!-- file: worker\.cjs -->\n\n```js\n([\s\S]*?)^```$/m.exec(page) ?? [];
  const [, crashing = ''] = /npm install (lightningcss@[\d.]+)/.exec(page) ?? [];
  const dir = mkdtempSync(join(tmpdir(), 'quiesce-pictures-'));
  try {
    writeFileSync(join(dir, 'package.json'), '{ "private": true }');
    writeFileSync(join(dir, 'worker.cjs'), program);
    await step(`install ${crashing}`, () =>
      mustRun(['npm', 'install', '--no-audit', '--no-fund', crashing], { cwd: dir }),
    );
    mkdirSync(OUT, { recursive: true });
    const args = 'run -n 20 --html report.html -- node worker.cjs';
    // In a terminal of its own, so that the tester writes colours.
    const command = `stty cols 110; '${process.execPath}' '${tester}' ${args} 2>/dev/null`;
    const { stdout } = await run(['script', '--quiet', '--command', command, '/dev/null'], {
      cwd: dir,
      env: { TERM: 'xterm-256color', NO_COLOR: undefined, CI: undefined, GITHUB_ACTIONS: undefined },
    });
    const text = `$ npx quiesce run -n 20 -- node worker.cjs\n\n${beginning(stdout).trim()}\n`;
    const title =
      'quiesce run: 20 of 20 runs ended by SIGSEGV, the likely kind, and the stack of the thread that died';
    writeFileSync(join(OUT, 'terminal.svg'), terminalSvg(text, title));
    if (chromium !== undefined) await photograph(chromium, join(dir, 'report.html'), join(OUT, 'report.png'));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/**
 * Keeps everything up to the stack of the thread that died. The other threads' stacks are long.
 * @param {string} output
 */
function beginning(output) {
  const second = [...output.matchAll(/^.*thread \d+ "/gm)][1];
  return second === undefined ? output : `${output.slice(0, second.index)}    …\n`;
}

/**
 * @param {string} executablePath
 * @param {string} page
 * @param {string} picture
 */
async function photograph(executablePath, page, picture) {
  const { chromium } = await import('playwright-core');
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const tab = await browser.newPage({ viewport: { width: 1000, height: 720 }, colorScheme: 'light' });
    await tab.goto(pathToFileURL(page).href);
    await tab.screenshot({ path: picture });
  } finally {
    await browser.close();
  }
}
