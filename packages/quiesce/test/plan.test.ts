// What is wrong in a plan: everything at once, with its place, unknown fields first. Also the published schema, with
// which editors complete plans.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: a plan's own placeholders
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  loadPlan,
  PlanError,
  type PlanProblem,
  run,
  runPlan,
  startService,
  UsageError,
} from '../src/index.js';
import { checkPlan } from '../src/plan/check/schema.js';
import { resolvePlan } from '../src/plan/resolve.js';
import { type CliResult, runCli } from './support/cli.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('plan');
const quiesce = (...args: string[]): Promise<CliResult> => runCli(args, { cwd: dir });

function file(name: string, text: string): string {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
}

/** What is wrong in a plan file, as `line:column path: message`. */
async function problemsOf(name: string, text: string): Promise<string[]> {
  const error = await loadPlan(file(name, text)).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(error instanceof PlanError, `${name}: ${error}`);
  return error.problems.map(problemText);
}

const problemText = ({ path, message, place }: PlanProblem): string =>
  `${place?.line}:${place?.column} ${path.join('.')}: ${message}`;

test('all errors come at once, with their places, unknown fields first', async () => {
  const plan = `defaults:
  timeout: 10
scenarios:
  - name: a
    comand: [node]
    rnus: 4
  - name: b
    command: &command [node]
    uses: [db]
    zzzzzzzz: 1
    matrix: { rntime: ["1"], python: [3.11] }
  - name: b
    command: *command
    runs: 3
    until: 1%
`;
  const expected = [
    /^5:5 scenarios\.0: unknown field "comand"; did you mean "command"\?$/,
    /^6:5 scenarios\.0: unknown field "rnus"; did you mean "runs"\?$/,
    /^10:5 scenarios\.1: unknown field "zzzzzzzz"; the fields here are name, command, /,
    /^2:12 defaults\.timeout: expected a positive duration with its unit.*, got 10$/,
    /^9:12 scenarios\.1\.uses\.0: unknown service "db"/,
    /^11:39 scenarios\.1\.matrix\.python\.0: expected text, got 3\.11$/,
    /^11:23 scenarios\.1\.matrix\.rntime: "rntime" is not a package/,
    /^12:5 scenarios\.2: give runs or until, not both$/,
    /^12:11 scenarios\.2\.name: "b" is already the name/,
  ];
  const found = await problemsOf('all.yaml', plan);
  assert.equal(found.length, expected.length, found.join('\n'));
  for (const wanted of expected) {
    assert.ok(
      found.some((problem) => wanted.test(problem)),
      `${wanted} is not in\n${found.join('\n')}`,
    );
  }
  assert.match(found.slice(0, 3).join(), /comand.*rnus.*zzzzzzzz/);

  const { code, stderr } = await quiesce('run', '--plan', 'all.yaml');
  assert.equal(code, 2);
  const lines = stderr.trimEnd().split('\n');
  assert.equal(lines[0], 'quiesce: error: all.yaml has 9 errors:');
  assert.match(lines[1] as string, /^ {2}all\.yaml:5:5: scenarios\[0\]: unknown field "comand"/);
  assert.equal(lines.length, 10);
});

test('JSON has places too, and syntax errors keep their lines', async () => {
  const tabs = '{\n  "scenarios": [\n\t\t{"name": "a", "command": ["x"], "timeout": 3}\n ]\n}\n';
  assert.match((await problemsOf('tabs.json', tabs))[0] as string, /^3:\d+ scenarios\.0\.timeout: /);
  assert.match((await problemsOf('comma.json', '{\n "scenarios": [,]\n}'))[0] as string, /^2:16 : /);
  assert.match((await problemsOf('end.json', '{\n "scenarios":'))[0] as string, /^2:14 : /);
  const yaml = 'scenarios:\n  - name: a\n    command: [a, b\n  - x: {\n';
  assert.deepEqual(
    (await problemsOf('syntax.yaml', yaml)).map((problem) => problem.slice(0, 3)),
    ['4:3', '5:1'],
  );
  const { code, stderr } = await quiesce('run', '--plan', 'syntax.yaml');
  assert.equal(code, 2);
  assert.match(stderr, /syntax\.yaml:4:3: /);
});

test('fields in fields are reported like others, with the names that are meant', async () => {
  const plan = `services:
  s:
    command: ["true"]
    ports: [c]
    reddy: 1
    env: { A: "\${port:d}" }
    ready: { port: z, log: "(", timeoutMs: 10s }
scenarios:
  - { name: a, command: ["true"], expect: { exitCod: 3 } }
  - { name: b, command: ["true"], expect: { exitCode: 0, signal: SIGTERM } }
  - { name: c, command: ["true"], expect: { exitCode: 300, signal: SIGNOPE } }
  - { name: d, command: ["true"], expect: joy }
  - { name: e, command: ["true"], matrix: { runtime: [nod@20] } }
  - { name: f, command: ["true"], env: { "A=B": c } }
`;
  assert.deepEqual(
    (await problemsOf('inner.yaml', plan)).map((problem) =>
      problem.replace(/(expression|ending?): .*/, '$1'),
    ),
    [
      '5:5 services.s: unknown field "reddy"; did you mean "ready"?',
      '9:45 scenarios.0.expect: unknown field "exitCod"; did you mean "exitCode"?',
      '6:15 services.s.env.A: ${port:d} names a port that is not in ports; did you mean ${port:c}?',
      '7:44 services.s.ready.timeoutMs: expected a positive integer, got "10s"',
      '7:20 services.s.ready.port: ready.port names "z", which is not in ports',
      '7:28 services.s.ready.log: ready.log is not a regular expression',
      '10:43 scenarios.1.expect: give exitCode or signal, not both',
      '11:55 scenarios.2.expect.exitCode: expected an exit code, 0 to 255, got 300',
      '11:68 scenarios.2.expect.signal: expected the name of a signal, such as "SIGTERM", got "SIGNOPE"',
      '12:43 scenarios.3.expect: expected "clean", "any", or a mapping with exitCode (0 to 255) or signal (such as "SIGTERM"), and stderr ("empty" or "any"), got "joy"',
      '13:55 scenarios.4.matrix.runtime.0: "nod@20" is not a runtime; give node@VERSION, bun@VERSION or deno@VERSION',
      '14:49 scenarios.5.env.A=B: expected a variable whose name is neither empty nor contains "=", got "A=B"',
    ],
  );
});

test('what is no text, or not in JSON, is refused in a short line', async () => {
  writeFileSync(join(dir, 'binary.yaml'), Buffer.from([0x7f, 0x45, 0xff, 0xfe, 0x00, 0x0a]));
  await assert.rejects(loadPlan(join(dir, 'binary.yaml')), /binary\.yaml is not text in UTF-8/);
  const [long = ''] = await problemsOf('long.yaml', `a: b\n"${'x'.repeat(10_000)}`);
  assert.ok(long.length < 200, long);
  const bigint = 'export default { scenarios: [{ name: "a", command: ["true"], runs: 1n }] };';
  assert.match((await problemsOf('bigint.mjs', bigint)).join(), /runs: expected a positive integer, got 1n$/);
});

test('a placeholder that nothing fills in is named, with what it needs', async () => {
  const cases: [string[], RegExp][] = [
    [['${runtime}', 'x'], /scenarios\[0\]\.command: \$\{runtime\} needs a matrix with the axis runtime/],
    [['true', '${npm}/node_modules/x/cli.js'], /\$\{npm\} needs a matrix with the axis npm:NAME/],
    [['${port:x}'], /only a service has \$\{port:x\}/],
  ];
  for (const [command, problem] of cases) {
    await assert.rejects(runPlan({ scenarios: [{ name: 'a', command }] }), problem);
  }
  const shell = { name: 'a', command: ['sh', '-c', 'npm=1; test "${npm}" = 1'], runs: 1 };
  assert.equal((await runPlan({ scenarios: [shell] })).ok, true);
});

test('a placeholder that its matrix lacks is named before anything is installed', async () => {
  const text = `scenarios:
  - { name: a, command: ['\${runtime}', '\${npm}/cli.js'], matrix: { runtime: [node@22] } }
  - { name: b, command: ['\${npm}/bin/x', '\${python}'], matrix: { 'npm:x': [1.0.0] } }
  - { name: c, command: ['\${runtime}', '\${npm}/\${python}'], matrix: { runtime: [node@22], 'npm:x': [1.0.0] } }
`;
  const error = await loadPlan(file('partly.yaml', text), { overrides: {} }).then(
    () => assert.fail('it is wrong'),
    (error: PlanError) => error,
  );
  assert.deepEqual(error.problems.map(problemText), [
    "2:25 scenarios.0.command: ${npm} needs a matrix with the axis npm:NAME (such as matrix: { 'npm:NAME': [1.2.3] } in a plan)",
    '3:25 scenarios.1.command: ${python} needs a matrix with the axis python or pypi:NAME (such as matrix: { python: [python3] } in a plan)',
    '4:25 scenarios.2.command: ${python} needs a matrix with the axis python or pypi:NAME (such as matrix: { python: [python3] } in a plan)',
  ]);
});

test('an axis that nothing uses is refused: its rows would all run the same', async () => {
  const text = `scenarios:
  - { name: a, command: [node], matrix: { runtime: [node@20, node@22] } }
  - { name: b, command: ['true'], env: { X: '\${npm}/x' }, matrix: { 'npm:x': [1.0.0], 'pypi:y': ['1'] } }
  - { name: c, command: ['true', '\${python}'], matrix: { python: [python3], 'pypi:y': ['1'] } }
`;
  const idle = 'nothing uses this axis, so all its rows would run the same; write';
  assert.deepEqual(await problemsOf('idle-axes.yaml', text), [
    `2:52 scenarios.0.matrix.runtime: ${idle} \${runtime} where the command or its env names it`,
    `3:97 scenarios.1.matrix.pypi:y: ${idle} \${python} where the command or its env names it`,
  ]);
});

test('a module has no places, but paths', async () => {
  const text = 'export default { scenarios: [{ name: "a", command: ["true"], timeout: 10 }] };';
  assert.match(
    (await problemsOf('module.mjs', text))[0] as string,
    /^undefined:undefined scenarios\.0\.timeout/,
  );
});

test('a time that is too long is refused for that', async () => {
  const text = /timeout: expected a duration of at most 24 days, got "999h"$/;
  await assert.rejects(runPlan({ scenarios: [{ name: 'a', command: ['true'], timeout: '999h' }] }), text);
  await assert.rejects(
    runPlan({ scenarios: [{ name: 'a', command: ['true'], timeout: '0s' }] }),
    /expected a positive duration/,
  );
});

test('a time without its unit is refused everywhere', async () => {
  const scenarios = [{ name: 'a', command: ['true'], timeout: 10 as unknown as string }];
  await assert.rejects(runPlan({ scenarios }), /timeout: expected a positive duration with its unit/);
  await assert.rejects(
    runPlan({ scenarios: [{ ...scenarios[0], timeout: '10' } as (typeof scenarios)[0]] }),
    PlanError,
  );
  const { code, stderr } = await quiesce('run', '--timeout', '10', '--', 'true');
  assert.equal(code, 2);
  assert.match(stderr, /unit/);
});

test('a directory that is not there is named, with all other programs that can not be started', async () => {
  const one = (name: string, more: object): object => ({ name, command: ['true'], ...more });
  const plan = { scenarios: [one('a', { cwd: 'nope' }), one('fine', {})] };
  file('cwd.json', JSON.stringify(plan));
  const single = await quiesce('run', '--plan', 'cwd.json');
  assert.equal(single.code, 2, single.stderr);
  assert.match(
    single.stderr,
    /^quiesce: error: cwd\.json:1:\d+: scenarios\[0\]\.cwd: cwd "nope" doesn't exist \(looked for \S+\/nope\)\n$/,
  );

  const services = { s: { command: ['true'], cwd: 'no' }, unused: { command: ['true'], cwd: 'no' } };
  const scenarios = [one('b', { uses: ['s'] }), one('c', { command: ['no-such-program'] })];
  file('several.json', JSON.stringify({ services, scenarios }));
  const several = await quiesce('run', '--plan', 'several.json');
  assert.equal(several.code, 2);
  assert.match(
    several.stderr,
    /has 2 errors:\n.*: scenarios\[1\]\.command: command "no-such-program".*\n.*: services\.s\.cwd: cwd "no"/,
  );
  await assert.rejects(runPlan({ scenarios: [{ name: 'a', command: ['true'], cwd: '/no' }] }), UsageError);
});

test('what fields contradict, or what is missing here, is reported with everything else before anything runs', async () => {
  const plan = `services:
  s1: { command: [nosuchprogram] }
  s2: { command: [sleep, "10"], cwd: nope }
  unused: { command: [nosuchprogram] }
defaults: { env: { A: b } }
scenarios:
  - { name: ran, command: [sh, -c, "touch ran"], runs: 1 }
  - { name: c, command: [nosuch] }
  - { name: d, command: ["true"], strict: true, witness: false }
  - { name: h, command: ["true"], valgrind: true, asan: true }
  - { name: k, command: [./x], cwd: nonexistent }
  - { name: r, command: ["true"], timeline: true, witness: false }
  - { name: s, command: ["true"], perturb: affinity=8000 }
  - { name: u, command: ["true"], uses: [s1, s2] }
  - { name: v, command: ["true"], allowThreads: [x] }
  - { name: w, command: ["true"], allowFailures: 2 }
  - { name: y, command: [nosuch], runs: 1.5 }
  - { name: z, command: ["\${python}"], matrix: { python: [sh, python99] } }
`;
  file('combined.yaml', plan);
  const { code, stderr } = await quiesce('run', '--plan', 'combined.yaml');
  assert.equal(code, 2, stderr);
  assert.equal(existsSync(join(dir, 'ran')), false);
  const lines = stderr
    .trimEnd()
    .replaceAll(`${dir}/`, '')
    .split('\n')
    .map((line) => line.replace(/ \(.*\)$|; it may run on .*$/, ''));
  assert.deepEqual(lines, [
    'quiesce: error: combined.yaml has 13 errors:',
    '  combined.yaml:2:18: services.s1.command: command "nosuchprogram" was not found in PATH',
    '  combined.yaml:3:38: services.s2.cwd: cwd "nope" doesn\'t exist',
    '  combined.yaml:8:25: scenarios[1].command: command "nosuch" was not found in PATH',
    '  combined.yaml:9:43: scenarios[2].strict: strict needs the witness, which sees the threads that are left at exit: it is switched off',
    '  combined.yaml:10:45: scenarios[3].valgrind: valgrind and asan exclude each other',
    '  combined.yaml:11:37: scenarios[4].cwd: cwd "nonexistent" doesn\'t exist',
    '  combined.yaml:12:45: scenarios[5].timeline: there is no timeline without the witness',
    '  combined.yaml:13:44: scenarios[6].perturb: this process may not run on CPU 8000',
    '  combined.yaml:15:49: scenarios[8].allowThreads: threads are allowed, but nothing is strict about them',
    '  combined.yaml:16:50: scenarios[9].allowFailures: allowFailures needs until',
    '  combined.yaml:17:41: scenarios[10].runs: expected a positive integer, got 1.5',
    '  combined.yaml:17:25: scenarios[10].command: command "nosuch" was not found in PATH',
    '  combined.yaml:18:63: scenarios[11].matrix.python[1]: command "python99" was not found in PATH',
  ]);
  // What isn't chosen isn't looked at.
  const chosen = file('chosen.yaml', plan.replace(', perturb: affinity=8000', '').replace(', runs: 1.5', ''));
  await loadPlan(chosen, { overrides: { only: ['ran', 'z [sh]'] } }).then(
    () => assert.fail('one of its Pythons is missing'),
    ({ problems }: PlanError) => assert.equal(problems.length, 1),
  );
});

test('a single command has its wrong fields first, and then what is missing, without a field', async () => {
  const command = ['no-such-program'];
  await assert.rejects(run({ command, runs: 0 }), (error: Error) => {
    assert.ok(error instanceof PlanError);
    assert.match(error.message, /runs: expected a positive integer, got 0$/);
    return true;
  });
  await assert.rejects(
    run({ command, runs: 1 }),
    /^UsageError: command "no-such-program" was not found in PATH$/,
  );
});

test('options of the caller settle what a plan leaves open, or contradict it', async () => {
  const scenarios = [
    { name: 'a', command: ['true'], runs: 1, allowThreads: ['x'] },
    { name: 'b [c]', command: ['no-such-program'] },
  ];
  const plan = file('settled.json', JSON.stringify({ scenarios }));
  assert.equal((await loadPlan(plan)).plan.scenarios.length, 2);
  await assert.rejects(loadPlan(plan, { overrides: {} }), (error: PlanError) => error.problems.length === 2);
  const only = ['a'];
  await assert.rejects(loadPlan(plan, { overrides: { only } }), /nothing is strict about them/);
  await loadPlan(plan, { overrides: { only, strict: true } });
  await assert.rejects(
    loadPlan(plan, { overrides: { only, strict: true, witness: false } }),
    /scenarios\[0\]: strict needs the witness/,
  );
  const flags = await quiesce('run', '--plan', 'settled.json', '--valgrind', '--asan');
  assert.equal(flags.code, 2);
  assert.match(
    flags.stderr,
    /^quiesce: error: valgrind and asan .* \(give --valgrind or --asan, not both\)\n$/,
  );
  const common = { defaults: { allowThreads: ['x'] }, scenarios: [{ name: 'a', command: ['true'] }] };
  assert.throws(() => resolvePlan(common), /defaults\.allowThreads: .* nothing is strict/);
  resolvePlan({
    ...common,
    scenarios: [...common.scenarios, { name: 'b', command: ['true'], strict: true }],
  });
});

test('a value that is no number, or empty, is named as it was written', async () => {
  const text = `scenarios:
  - { name: "", command: ["true"], runs: .inf, allowFailures: -.inf, until: .nan, cwd: "" }
`;
  const found = await problemsOf('odd.yaml', text);
  for (const [field, got] of [
    ['name', '""'],
    ['runs', '.inf'],
    ['allowFailures', '-.inf'],
    ['until', '.nan'],
    ['cwd', '""'],
  ] as const) {
    assert.ok(
      found.some((problem) => problem.includes(`.${field}: expected `) && problem.endsWith(`, got ${got}`)),
      `${field}: ${found.join('\n')}`,
    );
  }
});

test('a name that is there twice, a placeholder that is misspelt and a wait for nothing are refused', async () => {
  const text = `services:
  s1: { command: [sleep, "\${PORT:a}", "\${dir"], ports: [a] }
  s2: { command: [sh, -c, "echo \${dir:-x} \${DIR%/} \${directory} \${PORT:-80} \${PORT:0:1} \${dir}"], ready: {} }
  s3: { command: [sleep, "1"], ports: [a, a] }
scenarios:
  - { name: a, command: ["true"], uses: [s1, s1] }
  - { name: b, command: [echo, "\${port:a}"] }
  - { name: c, command: [echo, "\${dir}/x"] }
  - { name: d, command: [sh, -c, "dir=/; echo \${dir}"] }
`;
  const error = await loadPlan(file('twice.yaml', text), { overrides: {} }).then(
    () => assert.fail('it is wrong'),
    (error: PlanError) => error,
  );
  assert.deepEqual(
    error.problems.map((problem) => problemText(problem).replace(/^\d+:\d+ | \(.*/g, '')),
    [
      'services.s1.command: ${PORT:a} is not a placeholder; did you mean ${port:a}?',
      'services.s1.command: ${dir is not a placeholder; there are ${dir} and ${port:NAME}',
      'services.s2.ready: expected a port or a log to wait for, got {}',
      'services.s3.ports: expected port names, each of them once, got ["a","a"]',
      'scenarios.0.uses: expected service names, each of them once, got ["s1","s1"]',
      'scenarios.1.command: only a service has ${port:a}',
      'scenarios.2.command: only a service has ${dir}',
    ],
  );
});

test('a matrix fills in the variables of the defaults, too, and they count as use of an axis', async () => {
  const result = await runPlan({
    defaults: { env: { P: '${python}', Q: 'common' } },
    scenarios: [
      {
        name: 'a',
        command: ['sh', '-c', 'test "$P $Q" = "python3 own"'],
        env: { Q: 'own' },
        matrix: { python: ['python3'] },
        runs: 1,
      },
    ],
  });
  assert.equal(result.ok, true, result.scenarios[0]?.failures[0]?.evidence.stderr);
});

test('each misspelt placeholder is refused, wherever it is, with the nearest right one', async () => {
  const text = `services:
  s:
    command: [sleep, "\${Dir}/x", "--port=\${prt:client}", "\${port.client}", "\${npm}/x"]
    ports: [client, peer]
    env: { A: "\${dri}", B: "\${port:cleint}", C: "\${HOME} \${die:x}" }
    provides: { D: "\${prot:client}", E: "http://127.0.0.1:\${Port}", F: "\${Dir}", G: "\${port:client}\${dir}" }
    ready: { log: "listening on \${port:client}" }
  t:
    command: [sh, -c, "Dir=/; echo \${Dir} \${DIR} \${dri} \${prot:peer} \${PORT:-8}; read dirs; echo \${dirs}"]
    ports: [peer]
scenarios:
  - { name: a, command: [echo, "--a=\${npm}", x], env: { A: "\${port:client}", B: "\${python}" }, uses: [s, t] }
  - { name: b, command: ["\${runtime}", "\${run-time}"], env: { A: "\${Npm}" }, matrix: { runtime: [node@22] } }
  - { name: c, command: [echo, "\${Python}", "\${rpm}"], env: { A: "\${HOME}" } }
  - { name: d, command: [sh, -c, "echo \${Npm} \${npm} \${NPM}"], env: { Npm: x } }
  - { name: e, command: [sh, -c, "\${DIR}/x"] }
  - { name: f, command: [sh, -c, "\${PORT:-80}"] }
defaults: { env: { Z: "\${dir}" } }
`;
  const error = await loadPlan(file('misspelt.yaml', text), { overrides: {} }).then(
    () => assert.fail('it is wrong'),
    (error: PlanError) => error,
  );
  const meant = (written: string, near: string): string =>
    `\${${written}} is not a placeholder; did you mean \${${near}}?`;
  assert.deepEqual(
    error.problems.map((problem) =>
      problemText(problem)
        .replace(/^\d+:\d+ | \((?!did).*/g, '')
        .replace(/ \((did .*)\)$/, '; $1'),
    ),
    [
      `services.s.command: ${meant('Dir', 'dir')}`,
      `services.s.command: ${meant('prt:client', 'port:client')}`,
      `services.s.command: ${meant('port.client', 'port:client')}`,
      'services.s.command: only a scenario with a matrix has ${npm}',
      `services.s.env.A: ${meant('dri', 'dir')}`,
      'services.s.env.B: ${port:cleint} names a port that is not in ports; did you mean ${port:client}?',
      `services.s.provides.D: ${meant('prot:client', 'port:client')}`,
      `services.s.provides.E: ${meant('Port', 'port:client')}`,
      `services.s.provides.F: ${meant('Dir', 'dir')}`,
      'services.s.ready.log: ready.log is a regular expression, in which no placeholder is filled in',
      `services.t.command: ${meant('dri', 'dir')}`,
      `services.t.command: ${meant('prot:peer', 'port:peer')}`,
      'scenarios.0.env.A: only a service has ${port:client}',
      'scenarios.0.env.B: ${python} needs a matrix with the axis python or pypi:NAME',
      'scenarios.0.command: ${npm} needs a matrix with the axis npm:NAME',
      `scenarios.1.env.A: ${meant('Npm', 'npm')}`,
      `scenarios.1.command: ${meant('run-time', 'runtime')}`,
      `scenarios.2.command: ${meant('Python', 'python')}`,
      'defaults.env.Z: only a service has ${dir}',
    ],
  );
  await assert.rejects(
    startService('s', { command: ['true'], provides: { A: '${Dir}' } }),
    /\$\{Dir\} is not a placeholder; did you mean \$\{dir\}\?/,
  );
});

test('a text of another form is named with its place', async () => {
  const json = '{"scenarios":[{"name":"x","command":["true"],"runs":1}]}';
  assert.equal((await loadPlan(file('bom.json', `\uFEFF${json}`))).plan.scenarios[0]?.name, 'x');
  for (const [name, text, message] of [
    ['comment.json', `// "c"\n${json}`, /comment\.json:1:1: Unexpected token '\/'/],
    [
      'alias.yaml',
      'scenarios:\n  - { name: a, command: *nope }\n',
      /alias\.yaml:2:25: the alias \*nope has no anchor/,
    ],
    ['two.yaml', 'scenarios: []\n---\nscenarios: []\n', /two\.yaml:2:1: a second document begins here/],
  ] as const) {
    await assert.rejects(loadPlan(file(name, text)), message);
  }
});

test('a plan that contains itself is refused', () => {
  const plan: Record<string, unknown> = { scenarios: [{ name: 'a', command: ['true'] }] };
  plan.itself = plan;
  assert.throws(() => checkPlan(plan, 'x', 'written'), /unknown field "itself"/);
});

test('a field that is undefined counts as absent', async () => {
  const absent = { timeout: undefined, env: undefined, until: undefined } as unknown as object;
  assert.equal((await run({ command: ['true'], runs: 1, ...absent })).ok, true);
  const scenario = { name: 'a', command: ['true'] };
  const without = { services: { db: undefined }, scenarios: [{ ...scenario, uses: ['db'] }] };
  assert.throws(() => checkPlan(without, 'x', 'written'), /unknown service "db"/);
  const axes = { 'npm:a': undefined, 'npm:b': ['1.0.0'] };
  assert.ok(
    checkPlan({ scenarios: [{ name: 'a', command: ['true', '${npm}'], matrix: axes }] }, 'x', 'written'),
  );
});

test('an exact name is chosen before a pattern', () => {
  const scenarios = ['a*', 'ab', 'a[b]'].map((name) => ({ name, command: ['true'] }));
  const chosen = (...only: string[]): string[] =>
    resolvePlan({ scenarios }, { only }).scenarios.map(({ name }) => name);
  assert.deepEqual(chosen('a*'), ['a*']);
  assert.deepEqual(chosen('a?'), ['a*', 'ab']);
  assert.deepEqual(chosen('a[b]'), ['a[b]']);
  assert.deepEqual(chosen('*b*', 'a*'), ['a*', 'ab', 'a[b]']);
});

test('a plan may name its schema', async () => {
  const { plan } = await loadPlan(
    file('schema.yaml', '$schema: ./plan.schema.json\nscenarios: [{ name: a, command: ["true"] }]'),
  );
  assert.equal((await runPlan(plan)).ok, true);
});

test('a module that keeps itself waiting is given up', async () => {
  const endless = file(
    'endless.mjs',
    'const timer = setInterval(() => {}, 1_000); globalThis.endPlan = () => clearInterval(timer); await new Promise(() => {});',
  );
  await assert.rejects(loadPlan(endless, { timeoutMs: 200 }), /hasn't finished loading after 200 ms/);
  (globalThis as { endPlan?: () => void }).endPlan?.();
});

test('settings that would change nothing, or that only one of two could have, are refused', async () => {
  const text = `services:
  s: { command: ['true', '\${prot:p} \${x:1}'], ports: [p], provides: { URL: a } }
  t: { command: ['true'], provides: { URL: b } }
scenarios:
  - { name: a, command: ['true'], uses: [s, t] }
  - { name: b, command: ['true'], signatures: false, ignoreOutput: [x] }
  - { name: c, command: ['true'], signatures: false, ignoreOutput: [x], expect: { stderr: empty } }
  - { name: d, command: ['true'], env: { QUIESCE_AMPLIFY_HOLD_MS: 5ms, QUIESCE_AMPLIFY_HOLD: '3' } }
  - { name: e, command: ['true'], env: { QUIESCE_AMPLIFY_HOLD_MS: '5', QUIESCE_AMPLIFY_CHILDREN: '0' } }
`;
  const error = await loadPlan(file('idle.yaml', text), { overrides: {} }).then(
    () => assert.fail('it is wrong'),
    (error: PlanError) => error,
  );
  for (const [i, message] of [
    /^2:\d+ services\.s\.command: \$\{prot:p\} is not a placeholder; did you mean \$\{port:p\}\?$/,
    /^5:\d+ scenarios\.0\.uses: services "s" and "t" both provide URL/,
    /^6:\d+ scenarios\.1\.ignoreOutput: output is to be ignored, but none counts/,
    /^8:\d+ scenarios\.3\.env\.QUIESCE_AMPLIFY_HOLD_MS: .* is "5ms": give a whole number of milliseconds, without a unit$/,
    /^8:\d+ scenarios\.3\.env\.QUIESCE_AMPLIFY_HOLD: QUIESCE_AMPLIFY_HOLD is not a variable of the amplifier/,
  ].entries()) {
    assert.match(problemText(error.problems[i] as PlanProblem), message);
  }
  assert.equal(error.problems.length, 5);
  const { code, stderr } = await runCli(['run', '-n', '1', '--perturb', 'amplify', '--', 'true'], {
    ...{ cwd: dir, env: { QUIESCE_AMPLIFY_LINGER_MS: '0.5s' } },
  });
  assert.equal(code, 2, stderr);
  assert.match(stderr, /QUIESCE_AMPLIFY_LINGER_MS is "0\.5s": give a whole number of milliseconds/);
});

test('a variable of the amplifier is refused where it can have no effect, and noted where it has none', async () => {
  const text = `services:
  s: { command: [sleep, '9'], env: { QUIESCE_AMPLIFY_HOLD_MS: '5' }, provides: { QUIESCE_AMPLIFY_HOLD_MS: x } }
scenarios:
  - { name: a, command: ['true'], env: { QUIESCE_AMPLIFIER_HOLD_MS: '5' }, uses: [s] }
`;
  const error = await loadPlan(file('amplified.yaml', text), { overrides: {} }).then(
    () => assert.fail('it is wrong'),
    (error: PlanError) => error,
  );
  for (const [i, message] of [
    /services\.s\.env\.QUIESCE_AMPLIFY_HOLD_MS: QUIESCE_AMPLIFY_HOLD_MS changes nothing: no service is amplified$/,
    /services\.s\.provides\.QUIESCE_AMPLIFY_HOLD_MS: .* is "x": give a whole number/,
    /scenarios\.0\.env\.QUIESCE_AMPLIFIER_HOLD_MS: QUIESCE_AMPLIFIER_HOLD_MS is not a variable of the amplifier/,
  ].entries()) {
    assert.match(problemText(error.problems[i] as PlanProblem), message);
  }
  assert.equal(error.problems.length, 3);
  const plan = `scenarios:
  - { name: a, command: ['true'], runs: 1, env: { QUIESCE_AMPLIFY_HOLD_MS: '5' } }
  - { name: b, command: ['true'], runs: 1, env: { QUIESCE_AMPLIFY_HOLD_MS: '5' }, perturb: amplify }
`;
  const notes = async (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string[]> => {
    const { stderr, code } = await runCli(['run', ...args], { cwd: dir, env });
    assert.equal(code, 0, stderr);
    return stderr.split('\n').filter((line) => line.includes('note: '));
  };
  const unused = 'the exit amplifier is not used (--perturb amplify)';
  assert.deepEqual(await notes(['--plan', file('half.yaml', plan)]), [
    `quiesce: note: QUIESCE_AMPLIFY_HOLD_MS changes nothing in "a": ${unused}`,
  ]);
  const service = `
services:
  web: { command: [sh, -c, 'echo ready; sleep 100', '\${dir}', '--data=\${dir}', '\${HOME}'], ready: { log: ready } }
scenarios:
  - { name: a, command: ['true'], uses: [web], runs: 1 }
`;
  assert.deepEqual(await notes(['--plan', file('service.yaml', service)]), [
    'quiesce: note: nothing fills in ${HOME} in the command of service "web", since no shell runs it',
  ]);
  assert.deepEqual(await notes(['-n', '1', '--', 'true'], { QUIESCE_AMPLIFY_HOLD_MS: '150ms' }), [
    `quiesce: note: QUIESCE_AMPLIFY_HOLD_MS changes nothing: ${unused}`,
  ]);
  assert.deepEqual(await notes(['-n', '1', '--', 'sh', '-c', 'true ${HOME}', '${HOME}', '${x:-1}']), [
    'quiesce: note: nothing fills in ${HOME} in the command of "sh -c true ${HOME} ${HOME} ${x:-1}", since no shell runs it',
  ]);
});
