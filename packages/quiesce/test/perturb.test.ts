// The perturbation layer: what is drawn, and that each part reaches the program.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type ScenarioSpec, UsageError } from '../src/index.js';
import {
  drawPerturbation,
  PERTURBATIONS,
  type PerturbChoice,
  parsePerturb,
  perturbationText,
  unavailablePerturbations,
} from '../src/perturb/perturb.js';
import { parseReport } from '../src/run/amplifier-report.js';
import { type RunOptions, run, runPlan } from '../src/session/session.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const onLinux = { skip: process.platform === 'linux' ? false : 'Linux only' };
const available = PERTURBATIONS.filter((name) =>
  unavailablePerturbations().every((one) => one.name !== name),
);
const choice = (text: string): PerturbChoice => parsePerturb(text) as PerturbChoice;
const draws = (text: string, seed: number, runs = 200): string[] =>
  Array.from({ length: runs }, (_, i) => perturbationText(drawPerturbation(choice(text), seed, i + 1)));

describe('what is drawn', () => {
  test('is the same for the same seed, and another for another', () => {
    assert.deepEqual(draws('all', 1), draws('all', 1));
    assert.notDeepEqual(draws('all', 1), draws('all', 2));
    assert.deepEqual(new Set(draws('nice', 1, 100)).size, 5);
  });

  test('for one part does not depend on the others', () => {
    const alone = draws('tokio', 7);
    assert.deepEqual(
      draws('load,tokio', 7).map((text) => text.split(',')[1]),
      alone,
    );
  });

  test('of all: each part now and then, and never one that is not there', () => {
    const texts = draws('all', 3);
    for (const name of PERTURBATIONS) {
      const share = texts.filter((text) => new RegExp(`\\b${name}=`).test(text)).length / texts.length;
      if (!available.includes(name)) assert.equal(share, 0);
      else assert.ok(share > 0.35 && share < 0.9, `${name}: ${share}`);
    }
  });

  test('is written so that it can be given again', () => {
    for (const text of draws('all', 4)) {
      const again = text === 'none' ? null : drawPerturbation(choice(text), 99, 5);
      assert.equal(again === null ? 'none' : perturbationText(again), text);
    }
  });
});

describe('a list of parts', () => {
  test('can be empty', () => assert.equal(parsePerturb('none'), null));

  const wrong: [string, RegExp][] = [
    ['', /unknown perturbation ""/],
    ['all,nice', /all can't be combined with others/],
    ['nice=3,nice', /nice is there twice/],
    ['chaos', /"chaos"/],
    ['nice=', /wrong value ""/],
    ['nice=20', /wrong value "20"/],
    ['allocator=0', /wrong value "0"/],
    ['load=-1', /wrong value "-1"/],
    ['tokio=1.5', /wrong value "1.5"/],
  ];
  for (const [text, message] of wrong) {
    test(`is not ${JSON.stringify(text)}`, () => {
      assert.throws(() => parsePerturb(text), { name: 'UsageError', message });
    });
  }

  test('names no CPU that is not there', onLinux, () => {
    assert.throws(() => parsePerturb('affinity=8000'), {
      name: 'UsageError',
      message: /may not run on CPU 8000/,
    });
  });

  test('is checked in a plan and as an option', async () => {
    const scenarios: ScenarioSpec[] = [{ name: 'a', command: [process.execPath], perturb: 'chaos' }];
    await assert.rejects(runPlan({ scenarios }), {
      name: 'UsageError',
      message: /scenarios\[0\].perturb.*chaos/,
    });
    await assert.rejects(run({ command: [process.execPath], seed: -1 }), UsageError);
  });
});

/** What the runs of a program printed, each as one JSON value; `any` keeps the evidence. */
async function printed(script: string, options: Partial<RunOptions>): Promise<unknown> {
  const result = await run({
    command: [process.execPath, '-e', `console.log(JSON.stringify(${script})); process.exitCode = 9`],
    runs: 1,
    expect: 'any',
    ...options,
  });
  const { evidence, outcome } = result.failures[0] ?? {};
  assert.deepEqual(outcome, { kind: 'exit-code', code: 9 }, evidence?.stderr);
  return JSON.parse(evidence?.stdout ?? '');
}

describe('a part reaches the program:', () => {
  test('affinity', onLinux, async () => {
    const script = `/^Cpus_allowed_list:\\s*(.*)$/m.exec(require('fs').readFileSync('/proc/self/status', 'utf8'))[1]`;
    const [cpu] = drawnAffinity();
    assert.equal(await printed(script, { perturb: `affinity=${cpu}` }), String(cpu));
  });

  test('nice', onLinux, async () => {
    const before = (await printed('os.getPriority()', {})) as number;
    assert.equal(await printed('os.getPriority()', { perturb: 'nice=4' }), Math.min(19, before + 4));
  });

  test('allocator and tokio, over what the plan says', async () => {
    const script =
      '[process.env.MALLOC_PERTURB_, process.env.PYTHONMALLOC, process.env.TOKIO_WORKER_THREADS]';
    const env = { TOKIO_WORKER_THREADS: '8' };
    assert.deepEqual(await printed(script, { env, perturb: 'allocator=3,tokio=2' }), ['3', 'malloc', '2']);
    assert.deepEqual(await printed(script, { env, perturb: 'allocator=4' }), ['4', null, '8']);
  });

  test('load, which is gone afterwards', onLinux, async () => {
    const busy = (): number =>
      readdirSync('/proc').filter((pid) => {
        try {
          const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
          return words[2]?.includes('kill -0') && words[4] === String(process.pid);
        } catch {
          return false;
        }
      }).length;
    let most = 0;
    const timer = setInterval(() => {
      most = Math.max(most, busy());
    }, 10);
    const script = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400)';
    await printed(script, { perturb: 'load=2' });
    clearInterval(timer);
    assert.equal(most, 2);
    assert.equal(busy(), 0);
  });
});

test('each run records how it was perturbed, and the result from which seed', async () => {
  const options = { command: [process.execPath, '-e', '0'], runs: 4, seed: 5, perturb: 'tokio,allocator' };
  const [first, second] = [await run(options), await run({ ...options, jobs: 4 })];
  assert.equal(first.scenario.perturb?.seed, 5);
  const texts = first.runs.map((one) => one.perturbation);
  assert.deepEqual(texts, draws('tokio,allocator', 5, 4));
  assert.deepEqual(
    second.runs.map((one) => one.perturbation),
    texts,
  );
  assert.equal((await run({ command: options.command, runs: 1 })).runs[0]?.perturbation, null);
});

describe('parallel runs', () => {
  test('overlap, and are reported in the order of their numbers', async () => {
    // Each waits until there are three of them, so runs one after another would hang.
    const dir = temporaryDirectory('jobs');
    const script = `const fs = require('fs');
      fs.writeFileSync(process.env.DIR + '/' + process.env.QUIESCE_RUN, '');
      const wanted = 3 * Math.ceil(process.env.QUIESCE_RUN / 3);
      const timer = setInterval(() => { if (fs.readdirSync(process.env.DIR).length >= wanted) clearInterval(timer); }, 5);`;
    const progress: number[] = [];
    const result = await run({
      command: [process.execPath, '-e', script],
      env: { DIR: dir },
      runs: 9,
      jobs: 3,
      onProgress: (event) => {
        if (event.type === 'run') progress.push(event.run.run);
      },
    });
    assert.equal(result.failed, 0);
    assert.deepEqual(progress, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.deepEqual(
      result.runs.map((one) => one.run),
      progress,
    );
  });

  test('stop together when a rate is refuted, counting none after the decision', async () => {
    const command = [process.execPath, '-e', 'process.exitCode = process.env.QUIESCE_RUN === "3" ? 1 : 0'];
    const result = await run({ command, until: '5%', jobs: 4 });
    assert.equal(result.runs.length, 3);
    assert.equal(result.failed, 1);
    assert.equal(result.state, 'completed');
  });

  test('may be fewer than the jobs', async () => {
    const result = await run({ command: ['true'], runs: 2, jobs: Number.MAX_SAFE_INTEGER });
    assert.equal(result.runs.length, 2);
    assert.equal(result.failed, 0);
  });

  test('that are interrupted count what has ended', async () => {
    const stop = new AbortController();
    const command = [
      process.execPath,
      '-e',
      'if (process.env.QUIESCE_RUN === "1") setTimeout(() => {}, 60_000)',
    ];
    const running = run({ command, runs: 50, jobs: 2, timeout: '90s', signal: stop.signal });
    setTimeout(() => stop.abort(new Error('enough')), 1_500);
    const result = await running;
    assert.equal(result.state, 'stopped');
    assert.equal(result.reason, 'enough');
    assert.ok(result.runs.length > 0);
    assert.ok(result.runs.every((one) => one.run !== 1));
  });
});

test("the amplifier's report is summed over processes", () => {
  const text = 'loaded 7\nloaded 7\nended 7 2 1500 3 60000\nloaded 8\nended 8 1 500 1 1000\nloaded 9\n';
  assert.deepEqual(parseReport(text), { processes: 3, holds: 3, heldMs: 2, lingers: 4, lingeredMs: 61 });
  // Loaded, and killed before it reported.
  assert.equal(parseReport('loaded 7\n'), null);
  assert.deepEqual(parseReport(''), { processes: 0, holds: 0, heldMs: 0, lingers: 0, lingeredMs: 0 });
});

/** CPUs this process may use. */
function drawnAffinity(): number[] {
  return [...new Set(draws('affinity', 1, 50).map((text) => Number(text.split('=')[1])))];
}
