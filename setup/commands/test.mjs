// npm test: all checks and tests. `npm test -- --only node,rust` runs some of them; further arguments name parts of
// paths of Node test files: `npm test -- --only node proxy`.
import { parseArgs } from 'node:util';
import { buildAddons } from '../build/addons.mjs';
import { buildControls } from '../build/controls.mjs';
import { buildEtcdPrograms } from '../build/etcd-programs.mjs';
import { buildEtcdPython } from '../build/etcd-python.mjs';
import { prepare } from '../build/prepare.mjs';
import { preparePythonBridge } from '../build/python-bridge.mjs';
import { checks } from '../checks/checks.mjs';
import { UsageError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { seconds, tail } from '../lib/step.mjs';
import { provideChromium } from '../provide/chromium.mjs';
import { findPythons } from '../provide/pythons.mjs';
import { provideRuntimes } from '../provide/runtimes.mjs';
import { provideValkey } from '../provide/valkey.mjs';

await main(async (args) => {
  const { groups, files } = parse(args);
  await prepare();
  if (groups === undefined || groups.includes('node')) {
    await provideRuntimes();
    await provideValkey();
    await provideChromium();
    findPythons();
    await buildAddons();
    await buildEtcdPython();
  }
  if (groups === undefined || groups.includes('python')) await preparePythonBridge();
  await buildEtcdPrograms();
  await buildControls();
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const check of checks(files)) {
    if (groups !== undefined && !groups.includes(check.group)) continue;
    const result = await report(check);
    for (const count of Object.keys(total)) total[count] += result[count] ?? 0;
  }
  if (total.skipped > 0) console.log(`\n${total.skipped} skipped`);
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? 0 : 1;
});

function parse(args) {
  const groupsKnown = [...new Set(checks([]).map(({ group }) => group))];
  const hint = `npm test -- [--only ${groupsKnown.join(',')}] [part of a test file's path …]`;
  let parsed;
  try {
    parsed = parseArgs({ args, options: { only: { type: 'string' } }, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error.message.split('. ')[0], hint);
  }
  const groups = parsed.values.only?.split(',');
  const unknown = groups?.find((group) => !groupsKnown.includes(group));
  if (unknown !== undefined) throw new UsageError(`there is no group of checks named '${unknown}'`, hint);
  return { groups, files: parsed.positionals };
}

async function report({ title, run }) {
  console.log(`\n▶ ${title}`);
  const start = performance.now();
  const result = await run();
  const failed = result.failed > 0;
  if (failed && result.output) console.log(tail(result.output));
  const counts = Object.entries(result).filter(([name, n]) => name !== 'output' && n > 0);
  const summary = result.skipReason ?? counts.map(([name, n]) => `${n} ${name}`).join(', ');
  console.log(`${failed ? '✖' : '✔'} ${title}: ${summary} (${seconds(performance.now() - start)})`);
  return result;
}
