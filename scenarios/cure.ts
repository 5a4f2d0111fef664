// npm run cure: exits of addons before and after their cure, and what the cure costs. Writes the tester's report.json
// and report.html, summary.json and speed.json to .cache/cure. After a complete run, writes docs/measurements/cure.md.
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { htmlReport, jsonReport, type ProgressEvent, runPlan, type SavedReport } from 'quiesce';
import { addons, isBuilt } from './cure/addons.js';
import { type CureCell, cureCells, curePlan, type Mode, modes } from './cure/cells.js';
import { Checkpoint } from './cure/checkpoint.js';
import { cureLines, cureMarkdown, speedTable } from './cure/markdown.js';
import { measureSpeed, type Speed, slower } from './cure/speed.js';
import { controlsFail, cureSummary, holds } from './cure/summary.js';
import { onInterruption } from './interruption.js';

const USAGE = `npm run cure -- [build | speed] [options]
  build           only builds the example addons, into .cache/addons
  speed           only measures speed
  --runs N        amplified runs of each ending on ours, over all hosts (default: 300); others are fewer
  --only TEXT     only cells whose name holds TEXT, such as 'owned-runtime-napi / bun' (repeatable)
  --on NAMES      only these hosts, such as python3.11,node20,bun
  --perturb WHAT  none: plain runs alone; amplify: amplified ones alone (default: both)
  --quick         few runs on few hosts
  --jobs N        runs at a time (default: 3)
  --seed N        of the exit amplifier (default: a new one)
  --fresh         doesn't continue from what an interrupted run left
  --out DIR       for the reports (default: .cache/cure)`;
const PLAN_FILE = 'scenarios/cure.plan.ts';
const DOCUMENT = 'docs/measurements/cure.md';
const FULL = 300;
const QUICK = { runs: 12, on: ['python3.11', 'node20', 'node26', 'bun', 'deno'] } as const;
const REPORT_EVERY_MS = 15_000;
const SPEED = { rounds: 5, seconds: 2 } as const;
const QUICK_SPEED = { rounds: 1, seconds: 0.5 } as const;

const options = parse(process.argv.slice(2));
const interruption = onInterruption();
mkdirSync(options.out, { recursive: true });
const inOut = (name: string): string => join(options.out, name);
const whole =
  options.runs >= FULL &&
  options.only.length === 0 &&
  options.on === undefined &&
  options.modes.length === modes.length &&
  addons.every(isBuilt);

process.exitCode = options.speedAlone ? await speedAlone() : await exits();
if (interruption.exitCode !== undefined) process.exitCode = interruption.exitCode;

async function speedAlone(): Promise<number> {
  const speeds = await speed();
  console.log(`\n${speedTable(speeds)}`);
  return 0;
}

async function speed(): Promise<Speed[]> {
  const how = options.quick ? QUICK_SPEED : SPEED;
  const speeds = await measureSpeed({ ...how, on: options.on, signal: interruption.signal }, console.log);
  write('speed.json', JSON.stringify(speeds, null, 2));
  for (const where of slower(speeds)) console.log(`! ours is slower: ${where}`);
  return speeds;
}

async function exits(): Promise<number> {
  const checkpoint = new Checkpoint(inOut('checkpoint.json'));
  const earlier = options.fresh ? undefined : await checkpoint.read(options.seed);
  if (earlier === undefined && !options.fresh && checkpoint.exists) {
    console.log(
      '! what an interrupted run left was made with other addons, programs or another seed: starts over',
    );
  }
  const seed = options.seed ?? earlier?.seed ?? randomInt(2 ** 32);
  const cells = cureCells({ ...options, seed });
  if (cells.length === 0) fail('no cell is left: are the names right, and is there cargo?');
  const wanted = cells.reduce((sum, { runs }) => sum + runs, 0);
  console.log(`${wanted} runs in ${cells.length} cells, ${options.jobs} at a time, --seed ${seed}`);
  if (earlier !== undefined) console.log(`continues from ${checkpoint.file}; --fresh starts over`);
  const onEvent = reporter(cells, earlier?.report);
  const result = await runPlan(curePlan(cells, { seed, jobs: options.jobs }), {
    signal: interruption.signal,
    ...(earlier && { resume: earlier.report }),
    onProgress: (event) => {
      onEvent(event);
      if (event.type === 'run') checkpoint.write(seed, event.soFar);
    },
  });
  if (result.interrupted || result.serviceFailures.length > 0) checkpoint.write(seed, () => result, true);
  // So that its commands to repeat a failure name the plan.
  const report = { ...result, planFile: PLAN_FILE };
  write('report.json', JSON.stringify(jsonReport(report)));
  write('report.html', htmlReport(report));
  // After an interrupted run, its parts are joined.
  const durationMs = result.durationMs + (earlier?.report.durationMs ?? 0);
  const summary = cureSummary(cells, { ...result, durationMs });
  write('summary.json', JSON.stringify(summary, null, 2));
  console.log(`\n${cureLines(summary)}\n`);
  if (result.interrupted) {
    console.log('Interrupted: the same command continues from here.');
    return 1;
  }
  // A run of some cells is about their exits only.
  const speeds = options.only.length > 0 ? [] : await speed();
  if (speeds.length > 0) console.log(`\n${speedTable(speeds)}\n`);
  const text = cureMarkdown(summary, speeds, {
    commit: commit(),
    cores: availableParallelism(),
    command: command(),
  });
  write('cure.md', text);
  if (whole) {
    writeFileSync(DOCUMENT, text);
    console.log(`wrote ${DOCUMENT}`);
  }
  checkpoint.remove();
  const fine = holds(summary) && (!whole || controlsFail(summary));
  console.log(fine ? 'Nothing of ours failed.' : 'It does not hold: see above.');
  return fine ? 0 : 1;
}

function reporter(
  cells: readonly CureCell[],
  earlier: SavedReport | undefined,
): (event: ProgressEvent) => void {
  const started = performance.now();
  let reported = started;
  let made = 0;
  let failed = 0;
  const before = earlier?.scenarios.reduce((sum, { runs }) => sum + runs.length, 0) ?? 0;
  const wanted = cells.reduce((sum, { runs }) => sum + runs, 0) - before;
  return (event) => {
    if (event.type === 'scenario-end') {
      const { scenario, runs, failures } = event.result;
      const ours = !cells.find((cell) => cell.addon.name === scenario.group)?.addon.control;
      for (const { evidence, runs: which } of ours ? failures : []) {
        console.log(`✖ ${scenario.name}: ${which.length} of ${runs.length}\n${evidence.stderr.slice(-2000)}`);
      }
    }
    if (event.type !== 'run') return;
    made++;
    if (event.run.failed) failed++;
    const now = performance.now();
    if (now - reported < REPORT_EVERY_MS) return;
    reported = now;
    const left = ((now - started) / made) * Math.max(0, wanted - made);
    const where = event.scenario.name;
    console.log(`${made} of ${wanted}, ${failed} failed, ${Math.ceil(left / 60_000)} min left: ${where}`);
  };
}

function commit(): string {
  return execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim();
}

function command(): string {
  return ['npm run cure', ...process.argv.slice(2)].join(' ');
}

function write(name: string, text: string): void {
  writeFileSync(inOut(name), `${text.trimEnd()}\n`);
}

interface Options {
  readonly speedAlone: boolean;
  readonly runs: number;
  readonly only: readonly string[];
  readonly on: readonly string[] | undefined;
  readonly modes: readonly Mode[];
  readonly quick: boolean;
  readonly jobs: number;
  readonly seed: number | undefined;
  readonly fresh: boolean;
  readonly out: string;
}

function parse(args: string[]): Options {
  if (args.includes('--help')) {
    console.log(USAGE);
    process.exit();
  }
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        runs: { type: 'string' },
        only: { type: 'string', multiple: true, default: [] },
        on: { type: 'string' },
        perturb: { type: 'string' },
        quick: { type: 'boolean', default: false },
        jobs: { type: 'string', default: '3' },
        seed: { type: 'string' },
        fresh: { type: 'boolean', default: false },
        out: { type: 'string', default: '.cache/cure' },
      },
    });
    const { quick, only, fresh, perturb } = values;
    const count = (name: 'runs' | 'jobs' | 'seed', least: number): number | undefined => {
      const text = values[name];
      if (text === undefined) return undefined;
      if (/^\d+$/.test(text) && Number(text) >= least && Number(text) < 2 ** 32) return Number(text);
      throw new TypeError(`--${name} is ${JSON.stringify(text)}; it must be an integer of ${least} or more`);
    };
    if (positionals.some((word) => word !== 'speed')) throw new TypeError(`unknown word '${positionals[0]}'`);
    if (perturb !== undefined && perturb !== 'none' && perturb !== 'amplify') {
      throw new TypeError(`--perturb is ${JSON.stringify(perturb)}; it must be none or amplify`);
    }
    return {
      speedAlone: positionals.length > 0,
      runs: count('runs', 1) ?? (quick ? QUICK.runs : FULL),
      on: values.on?.split(',') ?? (quick ? QUICK.on : undefined),
      modes: perturb === undefined ? modes : [perturb === 'none' ? 'plain' : 'amplified'],
      jobs: count('jobs', 1) ?? 1,
      seed: count('seed', 0),
      out: resolve(values.out),
      ...{ quick, only, fresh },
    };
  } catch (error) {
    return fail((error as Error).message);
  }
}

function fail(message: string): never {
  console.error(`✖ ${message}\n${USAGE}`);
  process.exit(2);
}
