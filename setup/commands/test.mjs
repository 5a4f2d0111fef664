// @ts-check
// npm test: all checks and tests. `npm test -- --only node,rust` runs some of them; further arguments name parts of
// paths of Node test files: `npm test -- --only node proxy`.
import { prepare } from '../build/prepare.mjs';
import { checks } from '../checks/checks.mjs';
import { parse } from '../lib/arguments.mjs';
import { refuseUnknown } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { seconds, tail } from '../lib/step.mjs';

await main(async (args) => {
  const known = [...new Set(checks([]).map(({ group }) => group))];
  const hint = `npm test -- [--only ${known.join(',')}] [part of a test file's path …]`;
  const { values, positionals } = parse(
    { args, options: { only: { type: 'string' } }, allowPositionals: true },
    hint,
  );
  const groups = values.only?.split(',') ?? known;
  refuseUnknown(groups, known, (group) => `there is no group of checks named '${group}'`, hint);
  await prepare();
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const check of checks(positionals)) {
    if (!groups.includes(check.group)) continue;
    const { passed = 0, failed = 0, skipped = 0 } = await report(check);
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
  if (total.skipped > 0) console.log(`\n${total.skipped} skipped`);
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? 0 : 1;
});

/** @param {import('../checks/checks.mjs').Check} check */
async function report({ title, run }) {
  console.log(`\n▶ ${title}`);
  const start = performance.now();
  const result = await run();
  const { passed = 0, failed = 0, skipped = 0, output, skipReason } = result;
  if (failed > 0 && output) console.log(tail(output));
  const counts = Object.entries({ passed, failed, skipped }).filter(([, n]) => n > 0);
  const summary = skipReason ?? counts.map(([name, n]) => `${n} ${name}`).join(', ');
  console.log(`${failed > 0 ? '✖' : '✔'} ${title}: ${summary} (${seconds(performance.now() - start)})`);
  return result;
}
