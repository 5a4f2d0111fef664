// @ts-check
// Runs the commands of examples/tester as their READMEs say, and checks the workflows beside them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { provided } from '@quiesce/test-services';
import { parse } from 'yaml';
import { outputOf } from '../lib/command.mjs';
import { inRoot, tester } from '../lib/paths.mjs';
import { testerExamples } from '../pack/published.mjs';

const FOLDER = inRoot('examples', 'tester');
const folders = testerExamples();

/** What the first command of each example, which has the mistake, must show. */
const MISTAKES = /** @type {Record<string, RegExp>} */ ({
  'cpp-program': /joinable-thread-destroyed/,
  'node-addon': /thread-left-at-exit/,
  'python-module': /SIG(ABRT|SEGV)/,
  service: /event-loop-alive/,
});

const addons = provided('addons')?.['addon-napi-owned'];

/** Why the program of a folder can't be run here. */
function missing(/** @type {string} */ name) {
  if (/addon|module/.test(name) && addons === undefined) return 'the addons are not built';
  if (name === 'python-module' && outputOf(['python3', '--version']) === undefined)
    return 'Python is missing';
  if (name === 'cpp-program' && outputOf(['c++', '--version']) === undefined)
    return 'there is no C++ compiler';
  return false;
}

/** @param {string} readme */
const commands = (readme) =>
  [...readme.matchAll(/(?:<!-- exit: (\d) -->\n\n)?^```sh\n([\s\S]*?)^```$/gm)].map(
    ([, exit = '0', command = '']) => ({ exit: Number(exit), command }),
  );

/**
 * @param {string} command
 * @param {string} cwd
 */
async function shell(command, cwd) {
  const npx = join(cwd, 'npx');
  writeFileSync(npx, `#!/bin/sh\nshift\nexec '${process.execPath}' '${tester}' "$@"\n`);
  chmodSync(npx, 0o755);
  const child = spawn('sh', ['-ec', command], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 240_000,
    env: {
      ...process.env,
      NODE_TEST_CONTEXT: undefined,
      GITHUB_ACTIONS: '',
      ADDONS: dirname(addons ?? ''),
      PATH: [cwd, dirname(process.execPath), process.env.PATH].join(delimiter),
    },
  });
  const ended = once(child, 'close');
  const output = (await Promise.all([text(child.stdout), text(child.stderr)])).join('');
  const [code] = await ended;
  return { code, output };
}

describe('examples/tester', { concurrency: 2 }, () => {
  for (const name of folders) {
    it(`${name} does what its README says`, { skip: missing(name), timeout: 280_000 }, async () => {
      const dir = mkdtempSync(join(tmpdir(), 'quiesce-example-'));
      try {
        cpSync(join(FOLDER, name), dir, { recursive: true });
        const todo = commands(readFileSync(join(dir, 'README.md'), 'utf8'));
        assert.deepEqual(
          todo.map(({ exit }) => exit),
          [1, 0],
        );
        for (const { command, exit } of todo) {
          const { code, output } = await shell(command, dir);
          assert.equal(code, exit, `${command}\n${output}`);
          if (exit === 1) assert.match(output, MISTAKES[name] ?? /there is no such example/);
        }
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    });

    it(`${name} has a workflow that uses the action with inputs that it has`, () => {
      const workflow = parse(readFileSync(join(FOLDER, name, 'workflow.yml'), 'utf8'));
      const { inputs } = parse(readFileSync(inRoot('action.yml'), 'utf8'));
      /** @type {{ uses?: string, with?: Record<string, string> }[]} */
      const steps = workflow.jobs.exits.steps;
      const ours = steps.find(({ uses }) => uses?.startsWith('quiesce/quiesce@'));
      assert.ok(ours?.with?.plan && existsSync(join(FOLDER, name, ours.with.plan)));
      for (const input of Object.keys(ours.with)) assert.ok(input in inputs, input);
    });
  }
});
