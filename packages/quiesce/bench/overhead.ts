// What a run of the tester costs beyond starting the program and waiting for it, compared with hyperfine and a shell
// loop: npm run bench -- tester [RUNS]. Exits with 1 when it is more than 2 ms.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { run, summarize } from '../src/index.js';
import { findExecutable } from '../src/process/executable.js';

const PROGRAM = '/bin/true';
const ROUNDS = 7;
const MOST_OVERHEAD_MS = 2;

const runs = Number(process.argv[2] ?? 200);
if (!Number.isInteger(runs) || runs < 1) {
  console.error('give a number of runs for each round');
  process.exit(2);
}

/** Starts the program as the tester does, and waits until it has ended and its pipes are closed. */
async function spawnLoop(): Promise<void> {
  for (let i = 0; i < runs; i++) {
    const child = spawn(PROGRAM, [], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'], detached: true });
    for (const stream of child.stdio) stream?.on('data', () => {});
    await once(child, 'close');
  }
}

const ways: [string, () => unknown][] = [
  ['node:child_process spawn', spawnLoop],
  ['quiesce', () => run({ command: [PROGRAM], runs })],
  [
    'shell loop',
    () => execFileSync('/bin/sh', ['-c', `i=0; while [ $i -lt ${runs} ]; do ${PROGRAM}; i=$((i+1)); done`]),
  ],
];
const hyperfine = findExecutable('hyperfine', process.cwd()).path;
if (hyperfine !== undefined) {
  const options = ['-N', '--runs', String(Math.max(2, runs)), '--style', 'none', PROGRAM];
  ways.push(['hyperfine -N', () => execFileSync(hyperfine, options, { stdio: 'ignore' })]);
}

// Interleaved, so that a busy moment of the machine affects all.
const times = new Map<string, number[]>(ways.map(([name]) => [name, []]));
await spawnLoop();
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, way] of ways) {
    const start = performance.now();
    await way();
    times.get(name)?.push((performance.now() - start) / runs);
  }
}
const median = (values: readonly number[]): number => summarize(values)?.median ?? Number.NaN;
console.log(`${PROGRAM}, ms a run: median and range of ${ROUNDS} rounds of ${runs}, interleaved`);
for (const [name, values] of times) {
  const range = `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
  console.log(`${name.padEnd(26)} ${median(values).toFixed(2)}  (${range})`);
}
if (hyperfine === undefined) console.log('hyperfine is not installed: apt-get install hyperfine');
// Computed for each round separately: what slows a round slows both.
const [plain = [], tester = []] = [times.get('node:child_process spawn'), times.get('quiesce')];
const overhead = median(tester.map((ms, i) => ms - (plain[i] as number)));
console.log(`overhead over spawn: ${overhead.toFixed(2)} ms a run (at most ${MOST_OVERHEAD_MS} ms)`);
process.exitCode = overhead <= MOST_OVERHEAD_MS ? 0 : 1;
