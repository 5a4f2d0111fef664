// @ts-check
// npm run field: public cases of crashes and hangs at exit (scenarios/field/cases.json), each installed into .cache/field: does
// the tester find it, how soon, does it name the right kind, and does it pass the version known good? `-- --only TEXT` chooses
// cases by name, `--ci` the few that CI runs, `--runs N` how often each is run; `--write` writes docs/measurements/field.md.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prepare } from '../build/prepare.mjs';
import { parse } from '../lib/arguments.mjs';
import { SetupError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';
import { mustRun, notice, step } from '../lib/step.mjs';

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {'npm' | 'pypi'} registry
 * @property {string[]} packages what is installed; the first is the one that fails
 * @property {string | null} bad its version that fails; null where it is the host itself
 * @property {string | null} good one that doesn't, where that is known
 * @property {string[]} program in scenarios/field/programs, with its arguments
 * @property {string | null} report where the public said so
 * @property {string[]} kinds what the tester may name
 * @property {string} [timeout] default 20s
 * @property {number} [runs] of each way, where one is enough
 * @property {boolean} [ci]
 */
/**
 * What was seen of a case; a count is of failed runs.
 * @typedef {object} Row
 * @property {Case} one
 * @property {number} runs
 * @property {number} truth without the tester
 * @property {number} plain
 * @property {number} amplified
 * @property {number | null} firstPlain number of the first run that failed
 * @property {number | null} firstAmplified
 * @property {string[]} kinds that were named
 * @property {boolean | null} goodClean null where no good version is known
 * @property {boolean} right
 */

const HINT = 'npm run field -- [--only <text>] [--ci] [--runs <n>] [--write]';
const RUNS = 10;

await main(async (args) => {
  const { values } = parse(
    {
      args,
      options: {
        only: { type: 'string', default: '' },
        ci: { type: 'boolean', default: false },
        write: { type: 'boolean', default: false },
        runs: { type: 'string', default: String(RUNS) },
      },
    },
    HINT,
  );
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new SetupError(`--runs ${values.runs}`, { hint: HINT });
  /** @type {Case[]} */
  const all = JSON.parse(readFileSync(inRoot('scenarios', 'field', 'cases.json'), 'utf8'));
  const chosen = all.filter((one) => one.name.includes(values.only) && (one.ci === true || !values.ci));
  if (chosen.length === 0) throw new SetupError(`no case has ${values.only} in its name`, { hint: HINT });
  await prepare();
  const rows = [];
  let missing = 0;
  for (const one of chosen) {
    try {
      const row = await step(one.name, () => tryCase(one, one.runs ?? runs));
      console.log(`  ${line(row)}`);
      rows.push(row);
    } catch (error) {
      // One that can't be installed here says nothing of the others.
      if (!(error instanceof SetupError)) throw error;
      notice(`${one.name}: ${error.message}`);
      missing++;
    }
  }
  const wrong = rows.filter(({ right }) => !right);
  for (const { one } of wrong)
    console.log(`not as expected: ${one.name} (expected ${one.kinds.join(' or ')})`);
  if (values.write) writeFileSync(inRoot('docs', 'measurements', 'field.md'), report(rows));
  console.log(`${rows.length - wrong.length} of ${chosen.length} cases as expected`);
  return wrong.length + missing === 0 ? 0 : 1;
});

/**
 * @param {Case} one
 * @param {number} runs
 * @returns {Promise<Row>}
 */
async function tryCase(one, runs) {
  const bad = await install(one, one.bad);
  const truth = await withoutTester(one, bad, runs);
  const [plain, amplified] = [await test(one, bad, runs, false), await test(one, bad, runs, true)];
  const kinds = [...new Set([...plain.kinds, ...amplified.kinds])];
  let goodClean = null;
  if (one.good !== null) {
    const good = await install(one, one.good);
    goodClean =
      (await test(one, good, runs, false)).failed + (await test(one, good, runs, true)).failed === 0;
  }
  const found = plain.failed + amplified.failed > 0;
  // What doesn't fail here at all says nothing of the tester.
  const right =
    (found || truth === 0) && kinds.every((kind) => one.kinds.includes(kind)) && goodClean !== false;
  return {
    ...{ one, runs, truth, plain: plain.failed, amplified: amplified.failed, kinds, goodClean, right },
    ...{ firstPlain: plain.first, firstAmplified: amplified.first },
  };
}

/**
 * A folder with the packages in `node_modules`, or an environment of Python.
 * @param {Case} one
 * @param {string | null} version
 */
async function install({ registry, packages: [first, ...others] }, version) {
  const name = `${first ?? 'none'}-${version ?? ''}`.replace(/[^\w.-]/g, '_');
  const folder = inCache('field', registry, name);
  // Written last: an interrupted installation is made again, where it was, as an environment of Python can't be moved.
  const mark = join(folder, 'installed');
  if (existsSync(mark)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  /** @param {string} sign between a name and its version */
  const wanted = (sign) => [...(first === undefined ? [] : [`${first}${sign}${version}`]), ...others];
  if (registry === 'npm') {
    // Binaries are in the packages; scripts would build or download others.
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    await mustRun(['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', ...wanted('@')], {
      cwd: folder,
    });
  } else {
    await mustRun(['python3', '-m', 'venv', folder]);
    const pip = [join(folder, 'bin', 'python'), '-m', 'pip', 'install', '-q', '--disable-pip-version-check'];
    if (first !== undefined) await mustRun([...pip, '--only-binary', ':all:', ...wanted('==')]);
  }
  writeFileSync(mark, '');
  return folder;
}

/**
 * @param {Case} one
 * @param {string} folder
 */
function commandOf({ registry, program: [file = '', ...words] }, folder) {
  const interpreter = registry === 'npm' ? process.execPath : join(folder, 'bin', 'python');
  return [interpreter, inRoot('scenarios', 'field', 'programs', file), ...words];
}

/**
 * How many of so many runs fail with nobody near.
 * @param {Case} one
 * @param {string} folder
 * @param {number} runs
 */
async function withoutTester(one, folder, runs) {
  const { spawnGroup } = await import('../../packages/quiesce/dist/src/process/process-group.js');
  const { parseDuration } = await import('../../packages/quiesce/dist/src/duration.js');
  const timeoutMs = parseDuration(one.timeout ?? '20s');
  let failed = 0;
  for (let i = 0; i < runs; i++) {
    const group = await spawnGroup(commandOf(one, folder), {
      ...{ cwd: folder, env: process.env, stdio: 'ignore' },
    });
    const timeout = setTimeout(() => group.kill('SIGKILL'), timeoutMs);
    const { code } = await group.exited;
    clearTimeout(timeout);
    group.kill('SIGKILL');
    group.release();
    if (code !== 0) failed++;
  }
  return failed;
}

/**
 * @param {Case} one
 * @param {string} folder
 * @param {number} runs
 * @param {boolean} amplify
 */
async function test(one, folder, runs, amplify) {
  const { run } = await import('../../packages/quiesce/dist/src/index.js');
  const result = await run({
    ...{ command: commandOf(one, folder), cwd: folder, runs, timeout: one.timeout ?? '20s' },
    ...(amplify && { perturb: 'amplify', seed: 1 }),
  });
  return {
    failed: result.failed,
    first: result.runs.find(({ failed }) => failed)?.run ?? null,
    kinds: result.failures.map(({ kind }) => kind?.id ?? 'none'),
  };
}

/** @param {Row} row */
function line({ runs, truth, plain, amplified, kinds, goodClean }) {
  const good = goodClean === null ? '' : `; the good version is ${goodClean ? 'clean' : 'NOT clean'}`;
  return `${truth} of ${runs} fail alone, ${plain} under the tester, ${amplified} amplified: ${kinds.join(', ') || 'no kind'}${good}`;
}

/** @param {Row[]} rows */
function report(rows) {
  const found = rows.filter((row) => row.plain + row.amplified > 0);
  const real = rows.filter((row) => row.truth + row.plain + row.amplified > 0);
  const named = found.filter(({ one, kinds }) => kinds.every((kind) => one.kinds.includes(kind)));
  const good = rows.filter(({ goodClean }) => goodClean !== null);
  const cells = rows.map(
    ({ one, runs, truth, plain, amplified, firstPlain, firstAmplified, kinds, goodClean }) => {
      const subject = one.packages.length === 0 ? 'the host itself' : `${one.packages[0]} ${one.bad}`;
      return [
        one.report === null ? one.name : `[${one.name}](${one.report})`,
        subject,
        `${truth} of ${runs}`,
        `${plain}, from run ${firstPlain ?? '-'}`,
        `${amplified}, from run ${firstAmplified ?? '-'}`,
        kinds.join(', ') || '-',
        goodClean === null ? '-' : `${one.good}: ${goodClean ? 'clean' : 'fails'}`,
      ];
    },
  );
  const head = ['case', 'fails', 'alone', 'plain', 'amplified', 'named', 'good version'];
  const table = [head, head.map(() => '---'), ...cells].map((words) => `| ${words.join(' | ')} |`);
  return `# The field

Public reports of crashes and hangs at exit, with programs written for them (\`scenarios/field\`). \`npm run field -- --write\`
wrote this page: each program was run alone, under the tester, and amplified.

- Found: ${found.length} of the ${real.length} cases that fail here at all.
- Named right: ${named.length} of ${found.length}.
- Good versions that pass: ${good.filter(({ goodClean }) => goodClean).length} of ${good.length}.

${table.join('\n')}
`;
}
