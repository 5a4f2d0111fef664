// What a run by the tester costs, beside hyperfine and other ways to start a program many times:
// npm run bench -- tester [RUNS] [--rounds N]. Exits with 1 when it is more than 1 ms above hyperfine's.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { makeTemporaryFile } from '../src/files/temporary-file.js';
import { run, summarize } from '../src/index.js';
import { findExecutable } from '../src/process/executable.js';

const PROGRAM = '/bin/true';
const JOBS = [1, 2];
const MOST_OVERHEAD_MS = 1;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '7' } },
});
const [runs, rounds] = [Number(positionals[0] ?? 200), Number(values.rounds)];
if (!Number.isInteger(runs) || runs < 2 || !Number.isInteger(rounds) || rounds < 1) {
  console.error('give a number of runs for each round, from 2 on, and a number of rounds');
  process.exit(2);
}

/** Starts the program as Node does, and waits until it has ended and its pipes are closed. */
async function spawnLoop(): Promise<void> {
  for (let i = 0; i < runs; i++) {
    const child = spawn(PROGRAM, [], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'], detached: true });
    for (const stream of child.stdio) stream?.on('data', () => {});
    await once(child, 'close');
  }
}

const quiet = (program: string, args: readonly string[], input = ''): string =>
  execFileSync(program, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] });

/** Milliseconds for each run. */
const timed = async (way: () => unknown): Promise<number> => {
  const start = performance.now();
  await way();
  return (performance.now() - start) / runs;
};

const HYPERFINE = 'hyperfine -N';
const ofTester = (jobs: number): string => `quiesce run -j ${jobs}`;
const ways: [name: string, ms: () => Promise<number>][] = [
  ["Node's spawn", () => timed(spawnLoop)],
  ...JOBS.map((jobs): [string, () => Promise<number>] => [
    ofTester(jobs),
    () => timed(() => run({ command: [PROGRAM], runs, jobs })),
  ]),
  [
    'shell loop',
    () =>
      timed(() => quiet('/bin/sh', ['-c', `i=0; while [ $i -lt ${runs} ]; do ${PROGRAM}; i=$((i+1)); done`])),
  ],
];
const installed = (program: string): string | undefined => findExecutable(program, process.cwd()).path;
const hyperfine = installed('hyperfine');
if (hyperfine !== undefined) {
  const file = makeTemporaryFile('quiesce-bench', '');
  const options = ['-N', '--runs', String(runs), '--style', 'none', '--export-json', file.path];
  // Its own figure, without its start, which is part of no run.
  ways.push([
    HYPERFINE,
    async () => {
      quiet(hyperfine, [...options, PROGRAM]);
      return JSON.parse(readFileSync(file.path, 'utf8')).results[0].mean * 1_000;
    },
  ]);
}
const parallel = installed('parallel');
if (parallel !== undefined && quiet(parallel, ['--version']).startsWith('GNU')) {
  const lines = '\n'.repeat(runs);
  for (const jobs of JOBS) {
    const options = ['-j', String(jobs), '-N0', PROGRAM];
    ways.push([`GNU parallel -j ${jobs}`, () => timed(() => quiet(parallel, options, lines))]);
  }
}

// Interleaved, so that a busy moment of the machine affects all.
const times = new Map<string, number[]>(ways.map(([name]) => [name, []]));
await run({ command: [PROGRAM], runs: 50 });
for (let round = 0; round < rounds; round++) {
  for (const [name, ms] of ways) times.get(name)?.push(await ms());
}
const median = (values: readonly number[]): number => summarize(values)?.median ?? Number.NaN;
console.log(`${PROGRAM}, ms for each run: median and range of ${rounds} rounds of ${runs}, interleaved`);
for (const [name, values] of times) {
  const range = `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
  console.log(`${name.padEnd(20)} ${median(values).toFixed(2)}  (${range})`);
}
const least = times.get(HYPERFINE);
if (least === undefined) {
  console.error('hyperfine is not installed, so there is nothing to judge by: apt-get install hyperfine');
  process.exit(2);
}
for (const jobs of JOBS) {
  // Computed for each round separately: what slows a round slows both.
  const over = median((times.get(ofTester(jobs)) ?? []).map((ms, i) => ms - (least[i] ?? Number.NaN)));
  console.log(`${ofTester(jobs)}: ${over.toFixed(2)} ms over ${HYPERFINE} (at most ${MOST_OVERHEAD_MS} ms)`);
  if (!(over <= MOST_OVERHEAD_MS)) process.exitCode = 1;
}
