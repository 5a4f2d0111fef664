// @ts-check
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { XmlDocument, XmlElement } from 'libxml2-wasm';
import { run } from '../lib/command.mjs';
import { SetupError } from '../lib/errors.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';

/** A file that hangs fails, and the others continue. In seconds. */
const FILE_TIMEOUT = 240;

/**
 * How each kind of runtime runs a test file and reports in JUnit's format. The tests set their own time limits.
 * @type {Record<string, (binary: string, file: string, report: string) => string[]>}
 */
const COMMANDS = {
  node: (binary, file, report) => [
    ...[binary, '--test', '--test-reporter=junit', `--test-reporter-destination=${report}`],
    ...['--test-timeout=120000', file],
  ],
  // By default, Bun gives a test 5 s, and Deno checks types.
  bun: (binary, file, report) => [
    ...[
      binary,
      'test',
      '--timeout',
      '120000',
      '--reporter=junit',
      `--reporter-outfile=${report}`,
      `./${file}`,
    ],
  ],
  deno: (binary, file, report) => [
    ...[binary, 'test', '--allow-all', '--no-check', '--quiet', `--junit-path=${report}`, file],
  ],
};

/**
 * @typedef {{ name: string, outcome: 'passed' | 'failed' | 'skipped' }} TestOutcome
 */

/**
 * Runs a file of the client's tests on a runtime.
 * @param {string} runtime its name
 * @param {string} binary
 * @param {string} file of packages/etcd/test, without `.test.ts`
 * @param {Record<string, string>} [env]
 * @returns {Promise<{ crashed: boolean, tests: TestOutcome[], output: string }>}
 */
export async function runFile(runtime, binary, file, env = {}) {
  const report = inCache('runtimes', 'reports', `${runtime}-${file}.xml`);
  mkdirSync(dirname(report), { recursive: true });
  rmSync(report, { force: true });
  const command = COMMANDS[runtime.replace(/\d+$/, '')]?.(
    binary,
    `packages/etcd/dist/test/${file}.test.js`,
    report,
  );
  if (command === undefined) throw new SetupError(`setup/hosts/run-file.mjs can't run tests on ${runtime}`);
  const dir = mkdtempSync(join(tmpdir(), 'quiesce-host-'));
  const clean = () => {
    endProcessesOf(dir);
    rmSync(dir, { recursive: true, force: true });
  };
  // After an interrupt the process exits without returning here.
  process.on('exit', clean);
  let ended;
  try {
    ended = await run(['timeout', '--kill-after=5', String(FILE_TIMEOUT), ...command], {
      cwd: inRoot(),
      env: { NO_COLOR: '1', TMPDIR: dir, ...env },
    });
  } finally {
    process.off('exit', clean);
    clean();
  }
  const { code, output } = ended;
  let xml = '';
  try {
    xml = readFileSync(report, 'utf8');
  } catch {
    // The process died before it could write.
  }
  const tests = xml === '' ? [] : readReport(xml);
  const failed = tests.some(({ outcome }) => outcome === 'failed');
  // Something failed that is not a test: a hook, an import, or the process.
  const crashed = tests.length === 0 || (code !== 0 && !failed);
  return { crashed, tests, output: crashed ? `${output.trim()}\nexit code ${code}` : output };
}

/**
 * Runs a program of scenarios/host-bugs on a runtime.
 * @param {string} runtime
 * @param {string} binary
 * @param {string[]} words the program and its arguments
 * @returns {Promise<boolean>} whether the host has the bug
 */
export async function hasBug(runtime, binary, [program = '', ...args]) {
  const file = inRoot('scenarios', 'host-bugs', program);
  const command = runtime === 'deno' ? [binary, 'run', '--allow-all', file] : [binary, file];
  return (await run(['timeout', '--kill-after=5', '30', ...command, ...args])).code !== 0;
}

/**
 * Ends the servers that a crashed process left behind. They are recognized by their temporary directory.
 * @param {string} dir
 */
function endProcessesOf(dir) {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`TMPDIR=${dir}`)) continue;
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // The process is gone, or belongs to another user.
    }
  }
}

/**
 * The tests in a JUnit report of Node, Bun or Deno, without the suites that contain them.
 * @param {string} xml
 */
export function readReport(xml) {
  const all = testcases(xml);
  // Deno reports suites as tests, too. If a suite failed but none of its tests did, one of its hooks failed.
  return all.filter(({ name, outcome }) => {
    const inside = all.filter((other) => other.name.startsWith(`${name} > `));
    return (
      inside.length === 0 || (outcome === 'failed' && inside.every((other) => other.outcome !== 'failed'))
    );
  });
}

/**
 * @param {string} xml
 * @returns {TestOutcome[]}
 */
function testcases(xml) {
  const document = XmlDocument.fromString(xml);
  const nameOf = (/** @type {import('libxml2-wasm').XmlNode} */ node) =>
    node instanceof XmlElement ? (node.attr('name')?.value ?? '') : '';
  try {
    return document.find('//testcase').map((element) => {
      const path = element
        .find('ancestor::testsuite')
        .map(nameOf)
        // Bun has a suite for the file, Deno one for each source.
        .filter((name) => !/\.[mc]?[jt]s$/.test(name));
      return {
        name: [...path, nameOf(element)].join(' > '),
        outcome: element.get('skipped') ? 'skipped' : element.get('failure | error') ? 'failed' : 'passed',
      };
    });
  } finally {
    document.dispose();
  }
}
