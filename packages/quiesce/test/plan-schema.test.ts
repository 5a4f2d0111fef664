// The published schema of plans: it is that of the code, and an editor that has it marks what the program refuses,
// except for a short list.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: a plan's own placeholders
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parseDuration } from '../src/duration.js';
import { parsePerturb } from '../src/perturb/perturb.js';
import { combinationProblems } from '../src/plan/check/problems.js';
import { checkPlan, planJsonSchema } from '../src/plan/check/schema.js';
import { optionNames } from '../src/plan/options.js';
import { PlanError } from '../src/plan/plan-error.js';
import { parseConfidence, parseRate } from '../src/statistics/rate-goal.js';

const published = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../plan.schema.json', import.meta.url)), 'utf8'),
);
const ajv = new Ajv2020({
  ...{ strict: true, strictTuples: false, strictRequired: false },
  formats: { regex: (text: string) => isDone(() => new RegExp(text, 'm')) },
});
const isValid = ajv.compile(published);

function isDone(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

/** What the program says is wrong in a plan, without flags. */
function problemsIn(plan: unknown): string[] {
  try {
    checkPlan(plan, 'plan', 'written', {
      further: (parts) => combinationProblems(parts, {}, process.cwd()),
    });
    return [];
  } catch (error) {
    assert.ok(error instanceof PlanError, `${error}`);
    return error.problems.map(({ message }) => message);
  }
}

const plan = (more: object, others: object = {}): object => ({
  ...others,
  scenarios: [{ name: 'n', command: ['true'], ...more }],
});
const planWithService = (more: object): object =>
  plan({ uses: ['s'] }, { services: { s: { command: ['true'], ...more } } });

/** What the schema leaves to the program, and plans that only the program refuses. */
const LEFT: readonly (readonly [what: string, messages: RegExp, plans: readonly object[]])[] = [
  [
    'what this machine has',
    /was not found in PATH|doesn't exist|may not run on CPU/,
    [
      plan({ command: ['no-such-program'] }),
      plan({ cwd: 'no-such-directory' }),
      plan({ perturb: 'affinity=8191' }),
    ],
  ],
  [
    'names that refer to others, or are there twice',
    /unknown service|already the name|not in ports|both provide/,
    [
      plan({ uses: ['t'] }, { services: {} }),
      {
        scenarios: [
          { name: 'n', command: ['true'] },
          { name: 'n', command: ['false'] },
        ],
      },
      planWithService({ ready: { port: 'p' } }),
      planWithService({ env: { P: '${port:p}' } }),
    ],
  ],
  [
    'placeholders that nothing fills in, and axes that nothing uses',
    /needs a matrix|is not a placeholder|nothing uses this axis|only a (?:service|scenario with a matrix) has|no placeholder is filled in/,
    [
      planWithService({ provides: { A: '${Dir}' } }),
      planWithService({ provides: { A: '${npm}' } }),
      planWithService({ ready: { log: '${dir}' } }),
      plan({ env: { A: '${port:x}' } }),
      plan({ env: { A: '${Npm}' } }),
      plan({ command: ['true', '${npm}'] }),
      plan({ matrix: { python: ['python3'] } }),
      planWithService({ env: { P: '${dir' } }),
    ],
  ],
  [
    'a scenario and the defaults together',
    /allowFailures needs until|nothing is strict|strict needs|none counts|without the witness|exclude each other/,
    [
      plan({ allowFailures: 1 }),
      plan({ allowThreads: ['x'] }),
      plan({ ignoreOutput: ['x'], signatures: false }),
      plan({ strict: true }, { defaults: { witness: false } }),
      plan({ timeline: true }, { defaults: { witness: false } }),
      plan({ valgrind: true }, { defaults: { asan: true } }),
    ],
  ],
  [
    'how large a number with an exponent is, and what is rounded to 0',
    /expected a rate|expected a confidence|expected a positive duration/,
    [plan({ until: '1e1' }), plan({ confidence: '1e3%' }), plan({ timeout: `0.${'0'.repeat(400)}1s` })],
  ],
  [
    'two packages of one registry',
    /only one npm:NAME axis/,
    [plan({ matrix: { 'npm:a': ['1'], 'npm:b': ['1'] } })],
  ],
];

test('what the schema leaves to the program', () => {
  for (const [what, messages, plans] of LEFT) {
    for (const each of plans) {
      const given = `${what}: ${JSON.stringify(each)}`;
      assert.match(problemsIn(each).join('\n'), messages, given);
      assert.equal(isValid(each), true, `${given}: ${JSON.stringify(isValid.errors)}`);
    }
  }
});

test('it is that of the code, and describes all options', () => {
  assert.deepEqual(published, JSON.parse(JSON.stringify(planJsonSchema())));
  const fields = published.properties.scenarios.items.properties;
  for (const name of optionNames) {
    assert.ok(fields[name]?.description, name);
    assert.deepEqual(published.properties.defaults.properties[name], fields[name]);
  }
});

test('no pattern has what not all regular expressions have', () => {
  const patterns: string[] = [];
  JSON.stringify(published, (key, value) => {
    if (key === 'pattern') patterns.push(value);
    return value;
  });
  assert.ok(patterns.length > 30);
  for (const pattern of patterns) assert.doesNotMatch(pattern, /\(\?[=!<]|\\[0-9dDbBuU]/);
});

const ANYTHING = [
  null,
  true,
  false,
  0,
  1,
  -1,
  1.5,
  '',
  'x',
  '1',
  [],
  {},
  [''],
  ['x'],
  [1],
  { x: 1 },
  { x: 'x' },
];
const FLAG = [true, false];
const COUNT = [0, 1, 7, 2 ** 53 - 1, 2 ** 53, 1e300];
const NAMES = [['s'], ['s', 's'], ['s', ''], ['s', 1]];
const TEXTS = [{ A: 'b' }, { '': 'b' }, { 'A=B': 'c' }, { A: 'b\0' }, { 'A\0': 'b' }, { A: 1 }];
const COMMANDS = [['true'], ['true', ''], ['', 'x'], ['true', 'a\0b'], ['tr\0ue'], ['true', 1]];

/** Values of each field, right and wrong ones. Each gets those of `ANYTHING`, too. */
const OPTIONS: Readonly<Record<string, readonly unknown[]>> = {
  runs: COUNT,
  until: ['0.1%', '1e-3', 0.5, 5, 1, '5', '100%', '10d', '0', '1e-3%', ' .5 ', '99.99%', '1.%'],
  allowFailures: COUNT,
  perturb: [
    'all',
    'none',
    'all,none',
    'nice',
    'nice=20',
    'nice=3',
    'nice,nice',
    'nice=1=2',
    'amplify=7, nice=3',
  ],
  seed: [...COUNT, 2 ** 32 - 1, 2 ** 32],
  valgrind: FLAG,
  asan: FLAG,
  timeout: ['10s', '0s', '.5s', '0.0ms', '577h', '576h', '10', '1.5 m', '1e3s', '1S', '10 s '],
  cwd: ['.', '/'],
  env: TEXTS,
  confidence: ['95%', 0.95, 1, '1', '100%', '99.9999999%', '99.99999991%', 0.9999999999],
  jobs: COUNT,
  expect: [
    'clean',
    'any',
    'joy',
    { exitCode: 3 },
    { exitCode: 256 },
    { signal: 'SIGTERM' },
    { signal: 'SIGNOT' },
    { exitCode: 3, signal: 'SIGTERM' },
    { stderr: 'empty' },
    { exitCode: 1, stderr: 'none' },
    { code: 3 },
  ],
  strict: FLAG,
  witness: FLAG,
  timeline: FLAG,
  signatures: FLAG,
  ignoreOutput: [['a+'], ['('], [''], ['a', 'b']],
  uses: NAMES,
};
const SCENARIO: typeof OPTIONS = {
  ...OPTIONS,
  name: ['n'],
  command: COMMANDS,
  group: ['g'],
  matrix: [
    { runtime: ['node@22'] },
    { runtime: ['node'] },
    { runtime: ['foo@1'] },
    { runtime: [] },
    { python: ['python3'] },
    { 'npm:yaml': ['1'], 'pypi:x': ['2'] },
    { foo: ['1'] },
    { 'npm:': ['1'] },
    { 'npm:@a/b': ['1', ''] },
    { 'npm:yaml': '1' },
  ],
  nonsense: [1],
};
const SERVICE: typeof OPTIONS = {
  command: COMMANDS,
  env: TEXTS,
  cwd: ['.'],
  ports: [['p'], ['p', 'q'], ['p', 'p'], ['']],
  ready: [
    { log: 'x' },
    { log: '(' },
    { timeoutMs: 3 },
    { log: 'x', timeoutMs: 0 },
    { log: 'x', timeoutMs: 1 },
    { logs: 'x' },
  ],
  provides: TEXTS,
  nonsense: [1],
};

/** Numbers that a seed determines. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('it says what the program says, field by field and in combinations', () => {
  const draw = random(22);
  const oneOf = <T>(values: readonly T[]): T => values[draw(values.length)] as T;
  const changed = (part: object, fields: typeof OPTIONS): object => {
    const name = oneOf(Object.keys(fields));
    const { [name]: _, ...rest } = part as Record<string, unknown>;
    if (draw(12) === 0) return rest;
    return { ...part, [name]: draw(3) === 0 ? oneOf(ANYTHING) : oneOf(fields[name] ?? []) };
  };
  const times = (part: object, fields: typeof OPTIONS, n: number): object =>
    n === 0 ? part : times(changed(part, fields), fields, n - 1);
  // None of the numbers that are drawn is such a one.
  const others = LEFT.filter(([what]) => !/^how large/.test(what)).map(([, messages]) => messages);
  let right = 0;
  const PLANS = 3_000;
  for (let i = 0; i < PLANS; i++) {
    const one = {
      services: { s: times({ command: ['true'] }, SERVICE, Math.max(0, draw(6) - 3)) },
      ...(draw(2) === 0 && { defaults: times({}, OPTIONS, draw(3)) }),
      scenarios: [times({ name: 'n', command: ['true', '${runtime} ${npm} ${python}'] }, SCENARIO, draw(4))],
    };
    const problems = problemsIn(one);
    const given = `${JSON.stringify(one)}: ${JSON.stringify(problems)}, ${JSON.stringify(isValid.errors)}`;
    if (!isValid(one)) assert.notDeepEqual(problems, [], given);
    else if (problems.length === 0) right++;
    else
      assert.ok(
        problems.every((problem) => others.some((messages) => messages.test(problem))),
        given,
      );
  }
  assert.ok(right > PLANS / 10 && right < (PLANS * 9) / 10, `${right}`);
});

test('a plan as a whole, and contradictions in one scenario', () => {
  const scenario = { name: 'n', command: ['true'] };
  const wrong = [
    { $schema: '', scenarios: [scenario] },
    { scenarios: [] },
    { scenarios: scenario },
    { scenario: [scenario] },
    { services: [], scenarios: [scenario] },
    { defaults: [], scenarios: [scenario] },
    ...ANYTHING,
    plan({ runs: 1, until: '1%' }),
    plan({}, { defaults: { runs: 1, until: '1%' } }),
    plan({ valgrind: true, asan: true }),
    plan({ timeline: true, witness: false }),
    plan({ strict: true, witness: false }),
    planWithService({ ready: {} }),
  ];
  for (const each of wrong) {
    assert.equal(isValid(each), false, JSON.stringify(each));
    assert.notDeepEqual(problemsIn(each), [], JSON.stringify(each));
  }
  for (const each of [
    { $schema: 'x', scenarios: [scenario] },
    plan({ runs: 1 }, { defaults: { until: '1%' } }),
    plan({ valgrind: true, asan: false }),
    plan({ witness: true, strict: true }, { defaults: { witness: false } }),
  ]) {
    assert.deepEqual(
      problemsIn(each).filter((problem) => !/not installed/.test(problem)),
      [],
    );
    assert.ok(isValid(each), JSON.stringify(each));
  }
});

test('texts with numbers in them: what their readers take is valid, and nothing else', () => {
  const readers: Readonly<
    Record<string, readonly [words: readonly string[], read: (text: string) => unknown]>
  > = {
    timeout: [['ms', 's', 'm', 'h', '576', '34560', '2073600', '207360', '57'], parseDuration],
    until: [['%', '100', '10'], parseRate],
    confidence: [['%', '99.9999999', '0.999999999', '9'], parseConfidence],
    perturb: [
      ['nice', 'load=', 'amplify=', 'affinity=', 'tokio=25', 'allocator=', 'nice=1', ',', '429496729', '6'],
      parsePerturb,
    ],
  };
  const common = ['0', '0', '.', '1', '9', '5', ' ', '00'];
  const draw = random(7);
  for (const [name, [words, read]] of Object.entries(readers)) {
    const valid = ajv.compile(published.properties.defaults.properties[name]);
    const found = new Set<boolean>();
    for (let i = 0; i < 8_000; i++) {
      const choice = [...words, ...words, ...common];
      const text = Array.from({ length: 1 + draw(5) }, () => choice[draw(choice.length)]).join('');
      const taken = isDone(() => read(text));
      // Which CPUs there are depends on the machine.
      if (/affinity=0*[1-9]/.test(text)) continue;
      found.add(taken);
      assert.equal(valid(text), taken, `${name}: ${JSON.stringify(text)}`);
    }
    assert.equal(found.size, 2, name);
  }
});
