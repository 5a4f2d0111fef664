// @ts-check
// Runs the commands of some pages as a reader would: in a new folder, in order, each with the exit code and output that
// the page shows.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { it } from 'node:test';
import { inCache, inRoot, tester } from '../lib/paths.mjs';

const PAGES = ['crash-at-exit.md'];

/** A placeholder for a reader's own command, which is not run. */
const PLACEHOLDER = 'your-command';

/**
 * @typedef {{ file: string, content: string }} File
 * @typedef {{ command: string, exit: number, outputs: string[] }} Command
 */

/**
 * What a page tells its reader to do. `<!-- file: NAME -->` before a block makes it a file; `<!-- exit: N -->` before a
 * command states its exit code; `text` blocks up to the next command are parts of its output.
 * @param {string} page
 * @returns {(File | Command)[]}
 */
function steps(page) {
  /** @type {(File | Command)[]} */
  const found = [];
  /** @type {Command | undefined} */
  let last;
  const blocks = /(?:<!-- (file|exit): (.+?) -->\n\n)?^```(\w+)\n([\s\S]*?)^```$/gm;
  for (const [, mark, value = '', language, code = ''] of page.matchAll(blocks)) {
    if (mark === 'file') found.push({ file: value, content: code });
    else if (language === 'sh') {
      last = { command: code, exit: mark === 'exit' ? Number(value) : 0, outputs: [] };
      if (!code.includes(PLACEHOLDER)) found.push(last);
    } else if (language === 'text') last?.outputs.push(code);
  }
  return found;
}

/** A folder with an `npx` that runs the tester of this checkout, as it would run the published package. */
function readersFolder() {
  const dir = mkdtempSync(join(tmpdir(), 'quiesce-document-'));
  const npx = join(dir, 'npx');
  writeFileSync(
    npx,
    `#!/bin/sh\n[ "$1" = quiesce ] && shift && exec '${process.execPath}' '${tester}' "$@"\nexit 127\n`,
  );
  chmodSync(npx, 0o755);
  writeFileSync(join(dir, 'package.json'), '{ "private": true }');
  return dir;
}

/** Numbers differ from one machine to another. */
const comparable = (/** @type {string} */ text) => text.replace(/\d+/g, 'N').replace(/[ \t]+/g, ' ');

for (const name of PAGES) {
  it(`docs/${name} says what happens`, { timeout: 400_000 }, () => {
    const dir = readersFolder();
    try {
      const todo = steps(readFileSync(inRoot('docs', name), 'utf8'));
      assert.ok(todo.length > 3);
      for (const step of todo) {
        if ('file' in step) {
          writeFileSync(join(dir, step.file), step.content);
          continue;
        }
        const { status, stdout, stderr } = spawnSync('sh', ['-ec', step.command], {
          cwd: dir,
          encoding: 'utf8',
          timeout: 180_000,
          env: {
            ...process.env,
            PATH: [dir, process.env.PATH].join(delimiter),
            QUIESCE_CACHE: inCache('documents'),
            GITHUB_ACTIONS: '',
            // A registry that doesn't answer for a moment is asked again, within the time of the command.
            npm_config_fetch_retries: '5',
            npm_config_fetch_retry_mintimeout: '1000',
            npm_config_fetch_retry_maxtimeout: '20000',
          },
        });
        assert.equal(status, step.exit, `${step.command}\n${stdout}\n${stderr}`);
        for (const line of step.outputs.join('').trimEnd().split('\n')) {
          assert.ok(
            comparable(stdout).includes(comparable(line)),
            `${step.command} doesn't print: ${line}\n${stdout}`,
          );
        }
      }
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
}
