// npm run soak: thousands of exits, spread over the grid. Writes report.json and report.html (the tester's own),
// summary.json and summary.md.
import { randomInt } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { htmlReport, jsonReport, type ProgressEvent, runPlan } from 'quiesce';
import { type Cell, cellName } from './grid/cells.js';
import { soakCells, soakPlan } from './grid/soak-plan.js';
import { endLabel, holds, isAbnormal, soakLines, soakMarkdown, soakSummary } from './grid/soak-summary.js';
import { onInterruption } from './interruption.js';

const USAGE = `npm run soak -- [options]
  --runs N     exits of programs with the client (default: 10000); further ones without it are added
  --jobs N     runs at a time (default: 2)
  --only TEXT  only cells whose name holds TEXT, such as 'deno, close' (repeatable)
  --seed N     of the exit amplifier (default: a new one)
  --out DIR    for the reports (default: .cache/soak)`;
const REPORT_EVERY_MS = 10_000;
const PLAN_FILE = 'scenarios/grid.plan.ts';

const options = parse(process.argv.slice(2));
const interruption = onInterruption();

const wanted = (cell: Cell): boolean =>
  options.only.length === 0 || options.only.some((part) => cellName(cell).includes(part));
const soaked = soakCells(options.runs, wanted);
if (soaked.length === 0) fail(`no cell's name holds ${options.only.join(' or ')}`);
mkdirSync(options.out, { recursive: true });
const total = soaked.reduce((sum, { runs }) => sum + runs, 0);
const started = performance.now();
console.log(`${total} runs, ${options.jobs} at a time, --seed ${options.seed}`);

const result = await runPlan(await soakPlan(soaked, options), {
  interleave: true,
  signal: interruption.signal,
  onProgress: reporter(),
});
const summary = soakSummary(soaked, result);
// So that its commands to repeat a failure name the plan.
const report = { ...result, planFile: PLAN_FILE };
write('report.json', JSON.stringify(jsonReport(report)));
write('report.html', htmlReport(report));
write('summary.json', JSON.stringify(summary, null, 2));
write('summary.md', soakMarkdown(summary));
console.log(
  `\n${soakLines(summary)}\n${join(options.out, 'summary.md')}, report.html and report.json have more.`,
);
process.exitCode = interruption.exitCode ?? (holds(summary) ? 0 : 1);

function reporter(): (event: ProgressEvent) => void {
  let reported = started;
  let failed = 0;
  return (event) => {
    if (event.type !== 'run') return;
    const now = performance.now();
    if (isAbnormal(event.run)) {
      failed++;
      console.log(`✖ ${event.scenario.name}: ${endLabel(event.run)} (${event.run.perturbation ?? 'plain'})`);
    }
    if (now - reported < REPORT_EVERY_MS) return;
    reported = now;
    const left = ((now - started) / event.completed) * (total - event.completed);
    console.log(`${event.completed} of ${total}, ${failed} abnormal, ${Math.ceil(left / 60_000)} min left`);
  };
}

function write(name: string, text: string): void {
  writeFileSync(join(options.out, name), `${text.trimEnd()}\n`);
}

function parse(args: string[]): { runs: number; jobs: number; only: string[]; seed: number; out: string } {
  if (args.includes('--help')) {
    console.log(USAGE);
    process.exit();
  }
  try {
    const { values } = parseArgs({
      args,
      options: {
        runs: { type: 'string', default: '10000' },
        jobs: { type: 'string', default: '2' },
        only: { type: 'string', multiple: true, default: [] },
        seed: { type: 'string', default: String(randomInt(2 ** 32)) },
        out: { type: 'string', default: '.cache/soak' },
      },
    });
    const count = (name: 'runs' | 'jobs' | 'seed', least: number): number => {
      const value = Number(values[name]);
      if (/^\d+$/.test(values[name]) && value >= least && value < 2 ** 32) return value;
      throw new TypeError(
        `--${name} is ${JSON.stringify(values[name])}; it must be an integer of ${least} or more`,
      );
    };
    return {
      ...{ runs: count('runs', 1), jobs: count('jobs', 1), seed: count('seed', 0) },
      ...{ only: values.only, out: resolve(values.out) },
    };
  } catch (error) {
    return fail((error as Error).message);
  }
}

function fail(message: string): never {
  console.error(`✖ ${message}\n${USAGE}`);
  process.exit(2);
}
