// @ts-check
// npm run field: public cases of crashes and hangs at exit (scenarios/field/cases.json) and correct programs
// (controls.json), each installed into .cache/field. It shows whether the tester finds what fails, and how soon;
// whether it names the right kind; whether it passes the known good version; and whether it accuses a correct program.
// Each result is saved in scenarios/field/results.json at once, so that an interrupted run can continue.
// docs/measurements/field.md is written from the results. `-- --only TEXT` chooses by name, `--again` repeats
// measurements that are up to date, `--runs N` sets how often each is run, and `--keep` keeps the installations. `--ci`
// runs the few that CI runs, and writes nothing.
import { existsSync, writeFileSync } from 'node:fs';
import { prepare } from '../build/prepare.mjs';
import { parse } from '../lib/arguments.mjs';
import { SetupError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { inRoot } from '../lib/paths.mjs';
import { mustRun, notice, step } from '../lib/step.mjs';
import { FILES_AT_ONCE, inTurns } from '../lib/turns.mjs';

const HINT = 'npm run field -- [--only <text>] [--again] [--runs <n>] [--keep] [--ci]';
const RUNS = 10;
/** A control is run in three ways, and a failure in any of them is one too many. */
const CONTROL_RUNS = 5;

await main(async (args) => {
  const { values } = parse(
    {
      args,
      options: {
        only: { type: 'string', default: '' },
        again: { type: 'boolean', default: false },
        ci: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        runs: { type: 'string' },
      },
    },
    HINT,
  );
  const runs = values.runs === undefined ? undefined : Number(values.runs);
  if (runs !== undefined && (!Number.isInteger(runs) || runs < 1))
    throw new SetupError(`--runs ${values.runs}`, { hint: HINT });
  await prepare();
  const { cases, controls, install, stateOf } = await import('../field/cases.mjs');
  const { tryCase, tryControl } = await import('../field/try.mjs');
  const {
    RESULTS,
    PAGE,
    page,
    readResults,
    accused,
    goodIsClean,
    kindsOf,
    namedRight,
    outdated,
    reproduced,
  } = await import('../field/page.mjs');
  /** @type {import('../field/page.mjs').Results} */
  const results = !values.ci && existsSync(RESULTS) ? readResults() : { cases: {}, controls: {} };
  /** @param {import('../field/cases.mjs').Subject} one */
  const chosen = (one) => one.name.includes(values.only) && (one.ci === true || !values.ci);
  const chosenCases = cases().filter(chosen);
  const chosenControls = controls().filter(chosen);
  const total = chosenCases.length + chosenControls.length;
  if (total === 0) throw new SetupError(`nothing has ${values.only} in its name`, { hint: HINT });

  if (values.ci) await step('install what CI runs', () => installAhead([...chosenCases, ...chosenControls]));

  const missing = /** @type {string[]} */ ([]);
  const keep = values.keep || values.ci;
  for (const one of chosenCases)
    if (values.again || results.cases[one.name]?.state !== stateOf(one)) {
      const often = runs ?? one.runs ?? RUNS;
      await measure(one.name, async () => {
        results.cases[one.name] = await tryCase(one, often, { keep, brief: values.ci });
      });
    }
  for (const one of chosenControls)
    if (values.again || results.controls[one.name]?.state !== stateOf(one))
      await measure(one.name, async () => {
        results.controls[one.name] = await tryControl(one, runs ?? (values.ci ? 1 : CONTROL_RUNS), keep);
      });

  /**
   * @param {string} name
   * @param {() => Promise<void>} work
   */
  async function measure(name, work) {
    try {
      await step(name, work);
      if (!values.ci) writeFileSync(RESULTS, `${JSON.stringify(results, null, 2)}\n`);
    } catch (error) {
      // A case that can't be installed here says nothing about the others.
      if (!(error instanceof SetupError)) throw error;
      notice(`${name}: ${error.message}`);
      missing.push(name);
    }
  }

  /**
   * Installs several at a time, as most of the time is spent waiting.
   * @param {(import('../field/cases.mjs').Case | import('../field/cases.mjs').Control)[]} subjects
   */
  async function installAhead(subjects) {
    const wanted = subjects.flatMap((one) =>
      ('version' in one ? [one.version] : [one.bad, ...(one.good === null ? [] : [one.good])]).map(
        (version) => ({ one, version }),
      ),
    );
    await inTurns(FILES_AT_ONCE, wanted, async ({ one, version }) => {
      // If an installation fails, its measurement reports that.
      await install(one, version).catch(() => {});
    });
  }

  const wrong = [
    ...chosenCases.flatMap((one) => {
      const result = results.cases[one.name];
      if (result === undefined) return [];
      const { plain, amplified } = result;
      // A case that CI runs always fails. For the others, a case that doesn't fail here says nothing about the tester.
      if (!reproduced(result)) return values.ci ? [`${one.name}: nothing failed`] : [];
      if (amplified.failed === 0) return [`${one.name}: not found amplified`];
      if (!namedRight(one, result)) {
        const said = kindsOf(plain, amplified).join(', ');
        return [`${one.name}: named ${said}, not ${one.kinds.join(' or ')}`];
      }
      return goodIsClean(result) ? [] : [`${one.name}: the good version ${one.good} fails`];
    }),
    ...chosenControls.flatMap((one) => {
      const result = results.controls[one.name];
      return result !== undefined && accused(result) ? [`${one.name}: accused, and is correct`] : [];
    }),
  ];
  for (const line of wrong) console.log(`not as expected: ${line}`);
  console.log(`${total - wrong.length - missing.length} of ${total} as expected`);
  if (!values.ci) {
    for (const known of /** @type {const} */ (['cases', 'controls'])) {
      const names = new Set((known === 'cases' ? cases() : controls()).map(({ name }) => name));
      for (const name of Object.keys(results[known])) if (!names.has(name)) delete results[known][name];
    }
    writeFileSync(RESULTS, `${JSON.stringify(results, null, 2)}\n`);
    writeFileSync(PAGE, page(results));
    await mustRun([inRoot('node_modules', '.bin', 'biome'), 'format', '--write', RESULTS, PAGE]);
    const left = outdated(results);
    if (left.length > 0) console.log(`not measured: ${left.join(', ')}`);
  }
  return wrong.length + missing.length === 0 ? 0 : 1;
});
