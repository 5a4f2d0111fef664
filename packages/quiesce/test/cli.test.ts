// The command line: exit codes, and what bad input gets: one clear line, no stack trace, and nothing left behind.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { findExecutable } from '../src/process/executable.js';
import { WITNESS_FILE } from '../src/run/witness.js';
import { type CliResult, cli, runCli, startCli } from './support/cli.js';
import { temporaryDirectory } from './support/temporary-directory.js';

// biome-ignore lint/suspicious/noTemplateCurlyInString: a plan's own placeholder
const PORT_ARGUMENT = '${port:p}';

// Before the directory is removed: the tester's own temporary files would be there.
after(() => assert.deepEqual(readdirSync(scratch), []));
const dir = temporaryDirectory('cli');
const scratch = temporaryDirectory('cli-scratch');

const quiesce = (...args: string[]): Promise<CliResult> =>
  runCli(args, { cwd: dir, env: { TMPDIR: scratch } });

function file(name: string, content: string): string {
  writeFileSync(join(dir, name), content);
  return name;
}

const unseen = existsSync(WITNESS_FILE)
  ? findExecutable('gdb', dirname(cli)).path === undefined && 'gdb is missing'
  : 'the exit witness was not built here';

/** A file of a process; empty when it has gone. */
function procFile(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}

/** Processes that have the marker in their command line, except for the tester itself. */
const pidsOf = (marker: string): string[] =>
  readdirSync('/proc').filter((id) => {
    const words = /^\d+$/.test(id) ? procFile(id, 'cmdline') : '';
    return words.includes(marker) && !words.includes(cli);
  });

const alive = (marker: string): number => pidsOf(marker).length;

async function assertGone(marker: string): Promise<void> {
  for (let i = 0; alive(marker) > 0 && i < 2_000; i++) await sleep(10);
  assert.equal(alive(marker), 0, `processes with ${marker} are left`);
}

test('a command without its subcommand is answered with what to write', async () => {
  const cases: [string[], string][] = [
    [['--', 'true'], 'did you mean quiesce run -- true?'],
    [['sh', '-c', 'exit 3'], "did you mean quiesce run -- sh -c 'exit 3'?"],
    [['--runs', '5', '--', 'true'], 'did you mean quiesce run --runs 5 -- true?'],
    [['-n5', 'true'], 'did you mean quiesce run -n5 true?'],
    [['--timeout=5s', 'true'], 'did you mean quiesce run --timeout=5s true?'],
    [['sh', '-c', 'true\ntrue'], 'did you mean quiesce run [options] -- command?'],
    [['rnu', '--', 'true'], 'Did you mean run?'],
    [['no-such-program'], 'see quiesce --help'],
    [['--no-such-option', 'true'], 'see quiesce --help'],
    [['--'], 'no subcommand given'],
    [['help', 'nope'], "unknown subcommand 'nope'"],
  ];
  for (const [words, hint] of cases) {
    const { code, stdout, stderr } = await quiesce(...words);
    assert.equal(code, 2, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /^quiesce: error: [^\n]+\n$/);
    assert.ok(stderr.includes(hint), stderr);
  }
});

describe('quiesce run', () => {
  test('exits with 0 when all runs are clean, and says how sure that is', async () => {
    const { code, stdout, stderr } = await quiesce('run', '-n', '5', '--', process.execPath, '-e', '0');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /below 45\.1 %/);
    // Plain lines, since there is no terminal.
    assert.ok(!(stdout + stderr).includes('\u001b['));
  });

  test('exits with 1 when one is not', async () => {
    const { code, stdout } = await quiesce('run', '-n', '2', '--', process.execPath, '-e', 'process.exit(4)');
    assert.equal(code, 1);
    assert.match(stdout, /exit code 4/);
  });

  test('writes JSON to a file and to standard output', async () => {
    const command = ['--', process.execPath, '-e', '0'];
    assert.equal((await quiesce('run', '-n', '2', '--json', 'out.json', ...command)).code, 0);
    const fromFile = JSON.parse(readFileSync(join(dir, 'out.json'), 'utf8'));
    const fromStdout = JSON.parse((await quiesce('run', '-n', '2', '--json', '-', ...command)).stdout);
    for (const report of [fromFile, fromStdout]) {
      assert.equal(report.ok, true);
      assert.equal(report.scenarios[0].runs.length, 2);
    }
  });

  test('takes plans as YAML, JSON and TypeScript, relative to their file', async () => {
    const scenario = {
      name: 'a',
      command: [process.execPath, '-e', 'process.exit(+process.env.CODE)'],
      runs: 2,
    };
    const plan = { defaults: { env: { CODE: '0' } }, scenarios: [scenario] };
    file('good.json', JSON.stringify(plan));
    file('good.yaml', JSON.stringify(plan));
    file(
      'good.ts',
      `import { definePlan } from 'quiesce';\nexport default definePlan(${JSON.stringify(plan)});`,
    );
    for (const name of ['good.json', 'good.yaml', 'good.ts']) {
      const { code, stderr } = await quiesce('run', '--plan', name);
      assert.equal(code, 0, `${name}: ${stderr}`);
    }
  });
});

describe('a plan module', () => {
  const plan = `{ scenarios: [{ name: 'a', command: ['sleep', '0.3'], runs: 1 }] }`;
  const cases: [string, string, number, RegExp][] = [
    [
      'that leaves something open ends with the report',
      `import { createServer } from 'node:net';
       createServer().listen(0, '127.0.0.1');
       setInterval(() => {}, 1_000);
       export default ${plan};`,
      ...([0, /^$/] as const),
    ],
    [
      'whose function never settles is wrong',
      'export default async () => { await new Promise(() => {}); };',
      ...([2, /never finishes loading/] as const),
    ],
    ['that never settles is wrong', 'await new Promise(() => {});', 2, /never finishes loading/],
    ['that ends the process is wrong', 'process.exit(0);', 2, /process\.exit/],
    [
      'that throws later is no failed run',
      `setTimeout(() => { throw new Error('too late'); }, 1); export default ${plan};`,
      ...([2, /plan module\.mjs threw .*too late \(.*module\.mjs:1:/] as const),
    ],
    [
      'that throws while it is loaded is wrong',
      `setTimeout(() => { throw new Error('too soon'); }, 1); await new Promise((r) => setTimeout(r, 5_000));`,
      ...([2, /plan module\.mjs threw .*too soon/] as const),
    ],
  ];
  for (const [name, text, exitCode, line] of cases) {
    test(name, async () => {
      const args = ['run', '--plan', file('module.mjs', text)];
      const { code, stderr } = await runCli(args, {
        ...{ cwd: dir, env: { TMPDIR: scratch }, timeoutMs: 20_000 },
      });
      assert.equal(code, exitCode, stderr);
      const [first = ''] = stderr.split('\n').filter((line) => line.startsWith('quiesce: error'));
      assert.match(first, line);
    });
  }

  test('that throws later costs no runs that were made', async () => {
    const throws = "setTimeout(() => Promise.reject(new Error('late')), 1_500);";
    const many = `{ scenarios: [{ name: 'a', command: ['sleep', '0.1'], runs: 200 }] }`;
    const name = file('late.mjs', `${throws}\nexport default ${many};`);
    const { code, stdout } = await quiesce('run', '--plan', name, '--json', 'late.json');
    assert.equal(code, 2);
    assert.match(stdout, /^a: stopped early: .*late$/m);
    const report = JSON.parse(readFileSync(join(dir, 'late.json'), 'utf8'));
    assert.equal(report.interrupted, true);
    assert.ok(report.scenarios[0].runs.length > 0);
  });

  test('prints nothing into a report on standard output', async () => {
    const prints = "console.log('noise');\nprocess.stdout.write('more noise');";
    const name = file('prints.mjs', `${prints}\nexport default ${plan};`);
    const { stdout, stderr } = await quiesce('run', '--plan', name, '--json', '-');
    assert.equal(JSON.parse(stdout).ok, true);
    assert.match(stderr, /noise\nmore noise/);
  });

  test('that keeps waiting can be interrupted', async () => {
    const text = `setInterval(() => process.kill(process.pid, 'SIGINT'), 100);\nawait new Promise(() => {});`;
    const { code, stderr } = await quiesce('run', '--plan', file('waits.mjs', text));
    assert.equal(code, null, stderr);
  });
});

describe('standard output that is full', {
  skip: !existsSync('/dev/full') && 'there is no /dev/full',
}, () => {
  const onto = (file: string, ...args: string[]): Promise<CliResult> =>
    runCli(args, {
      ...{ cwd: dir, env: { TMPDIR: scratch } },
      wrapper: ['sh', '-c', 'exec "$@" >"$0"', file],
    });
  const run = ['run', '-n', '2', '--'];
  const cases: [string, () => string[] | Promise<string[]>][] = [
    ['run', () => [...run, 'true']],
    ['run with failures', () => [...run, 'false']],
    ['run --json -', () => ['run', '-n', '2', '--json', '-', '--', 'true']],
    ['doctor', () => ['doctor']],
    ['runs-needed', () => ['runs-needed', '--rate', '1%']],
    ['help', () => ['--help']],
    ['version', () => ['--version']],
    [
      'merge',
      async () => {
        await quiesce('run', '-n', '2', '--json', 'full.json', '--', 'true');
        return ['merge', 'full.json'];
      },
    ],
  ];
  for (const [name, args] of cases) {
    test(`is exit code 3, with one line: ${name}`, async () => {
      const { code, stderr } = await onto('/dev/full', ...(await args()));
      assert.equal(code, 3, stderr);
      const errors = stderr.split('\n').filter((line) => /error|Error|^\s+at /.test(line));
      assert.equal(errors.length, 1, stderr);
      assert.match(errors[0] ?? '', /^quiesce: error: can't write standard output: ENOSPC/);
    });
  }
});

test('starts without what few runs need', async () => {
  file(
    'refuse.mjs',
    `import { register } from 'node:module';
     register('data:text/javascript,' + encodeURIComponent(\`
       export function resolve(specifier, context, next) {
         if (/^(ws|yaml|jiti|fast-xml-builder)$/.test(specifier)) throw new Error('loads ' + specifier);
         return next(specifier, context);
       }\`));`,
  );
  const env = { TMPDIR: scratch, NODE_OPTIONS: `--import=${pathToFileURL(join(dir, 'refuse.mjs'))}` };
  const { code, stderr } = await runCli(['run', '-n', '1', '--', 'true'], { cwd: dir, env });
  assert.equal(code, 0, stderr);
});

test('says its version, and every report has it', async () => {
  const { version } = JSON.parse(readFileSync(join(dirname(cli), '..', '..', 'package.json'), 'utf8'));
  assert.equal((await quiesce('--version')).stdout, `${version}\n`);
  const files = ['v.json', 'v.xml', 'v.tap', 'v.html'];
  const flags = ['--json', '--junit', '--tap', '--html'].flatMap((flag, i) => [flag, files[i] as string]);
  const { stdout } = await quiesce('run', '-n', '1', ...flags, '--', 'true');
  for (const text of [stdout, ...files.map((name) => readFileSync(join(dir, name), 'utf8'))]) {
    assert.ok(text.includes(version), text.slice(0, 300));
    assert.match(text, /quiesce/);
  }
});

describe('bad input is reported in one clear line:', () => {
  const node = process.execPath;
  const scenario = (more = ''): string =>
    `{"scenarios":[{"name":"a","command":["${node}","-e","0"]${more}}]}`;
  const cases: [string, number, RegExp, () => string[]][] = [
    ['an unknown flag', 2, /--nope/, () => ['run', '--nope', '--', node]],
    ['no subcommand', 2, /./, () => []],
    ['an unknown subcommand', 2, /fly/, () => ['fly']],
    ['no command', 2, /no command given/, () => ['run']],
    ['a command that does not exist', 2, /no-such-program/, () => ['run', '--', 'no-such-program']],
    ['a file that is no program', 2, /plain\.txt/, () => ['run', '--', `./${file('plain.txt', 'text')}`]],
    ['a directory', 2, /is a directory/, () => ['run', '--', dir]],
    ['a number of runs that is none', 2, /positive integer/, () => ['run', '-n', 'many', '--', node]],
    ['zero runs', 2, /positive integer/, () => ['run', '-n', '0', '--', node]],
    ['a wrong timeout', 2, /timeout/, () => ['run', '--timeout', 'soon', '--', node]],
    ['a timeout beyond the most', 2, /at most 24 days\./, () => ['run', '--timeout', '577h', '--', node]],
    [
      'a number of runs beyond the most',
      ...([2, /at most 9007199254740991\./, () => ['run', '-n', '9'.repeat(20), '--', node]] as const),
    ],
    ['none with others', 2, /can't be combined/, () => ['run', '--perturb', 'none,amplify', '--', node]],
    ['no perturbation', 2, /unknown perturbation.*none/i, () => ['run', '--perturb', '', '--', node]],
    ['a wrong niceness', 2, /a niceness, from 1 to 19/, () => ['run', '--perturb', 'nice=99', '--', node]],
    [
      'a forgotten value',
      ...([2, /--json.* missing: -n is an option/, () => ['run', '--json', '-n', '1', '--', node]] as const),
    ],
    [
      'a mistyped option for a file',
      ...([2, /looks like an option.*\.\/-x\./, () => ['run', '--json', '-x', '--', node]] as const),
    ],
    [
      'allowed failures without a rate',
      ...([2, /give --until, too/, () => ['run', '--allow-failures', '3', '--', node]] as const),
    ],
    [
      'a side that is no program',
      ...([
        2,
        /^quiesce: error: command "nosuch" was/,
        () => ['compare', '--before', 'nosuch', '--after', node],
      ] as const),
    ],
    [
      'an option with two values',
      ...([
        2,
        /--name a and --name b are given/,
        () => ['run', '--name', 'a', '--name=b', '--', node],
      ] as const),
    ],
    [
      'two numbers of runs',
      ...([2, /--runs 1 and --runs 2/, () => ['run', '-n', '1', '--runs', '2', '--', node]] as const),
    ],
    [
      'an option and its contrary',
      ...([
        2,
        /--github and --no-github contradict/,
        () => ['run', '--github', '--no-github', '--', node],
      ] as const),
    ],
    [
      'an option with a value and without',
      ...([2, /--bail and --bail 2/, () => ['run', '--bail', '--bail=2', '--', node]] as const),
    ],
    [
      'two reports of one format',
      ...([
        2,
        /--json a\.json and --json b/,
        () => ['merge', 'x', '--json', 'a.json', '--json', 'b'],
      ] as const),
    ],
    [
      'two sides before',
      ...([
        2,
        /--before a and --before b/,
        () => ['compare', '--before', 'a', '--before', 'b', '--after', 'c'],
      ] as const),
    ],
    [
      'a field of JSON that is there twice',
      ...([
        2,
        /unique/,
        () => ['run', '--plan', file('twice.json', scenario(',"runs":1,"runs":2'))],
      ] as const),
    ],
    [
      'a duration with a wrong unit, once',
      ...([
        2,
        /^(?!.*timeout.*timeout).*"25d"\n$/,
        () => ['run', '--plan', file('days.json', scenario(',"timeout":"25d"'))],
      ] as const),
    ],
    [
      'a confidence too near 1',
      2,
      /at most 99\.9999999%/,
      () => ['run', '-n', '1', '--confidence', '99.99999999999999%', '--', node],
    ],
    ['an empty command', 2, /the command is empty/, () => ['run', '--', '']],
    ['an empty name', 2, /--name is empty/, () => ['run', '--name', '', '--', node]],
    ['a directory without a slash', 2, /"\." is a directory/, () => ['run', '--', '.']],
    [
      'a timeline without the witness',
      ...([2, /--no-witness/, () => ['run', '--timeline', '--no-witness', '--', node]] as const),
    ],
    ['a seed for nothing', 2, /give --perturb/, () => ['run', '--seed', '3', '--', node]],
    [
      'output ignored for nothing',
      2,
      /--no-signatures/,
      () => ['run', '--no-signatures', '--ignore-output', 'x', '--', node],
    ],
    ['threads allowed for nothing', 2, /--strict/, () => ['run', '--allow-thread', 'x', '--', node]],
    ['a wrong expectation', 2, /exit:N/, () => ['run', '--expect', 'joy', '--', node]],
    ['a command and a plan', 2, /not both/, () => ['run', '--plan', 'x.json', '--', node]],
    ['a plan that is not there', 2, /doesn't exist/, () => ['run', '--plan', 'nowhere.yaml']],
    ['broken YAML', 2, /broken\.yaml/, () => ['run', '--plan', file('broken.yaml', 'scenarios: [a: {')]],
    ['broken JSON', 2, /broken\.json/, () => ['run', '--plan', file('broken.json', '{')]],
    ['a broken module', 2, /broken\.ts/, () => ['run', '--plan', file('broken.ts', 'export default {{')]],
    ['an unknown ending', 2, /unknown extension/, () => ['run', '--plan', file('plan.txt', '')]],
    ['an empty plan', 2, /./, () => ['run', '--plan', file('empty.yaml', '')]],
    [
      'a plan without scenarios',
      2,
      /at least one/,
      () => ['run', '--plan', file('none.json', '{"scenarios":[]}')],
    ],
    ['a wrong field', 2, /"rnus"/, () => ['run', '--plan', file('field.json', scenario(',"rnus":3'))]],
    [
      'an unknown service',
      2,
      /"db"/,
      () => ['run', '--plan', file('service.json', scenario(',"uses":["db"]'))],
    ],
    [
      'an unknown scenario',
      2,
      /"zzz"/,
      () => ['run', '--plan', file('only.json', scenario()), '--only', 'zzz'],
    ],
    [
      'a report that can not be written',
      2,
      /no\/such/,
      () => ['run', '--json', 'no/such/dir.json', '--', node],
    ],
  ];
  for (const [name, exitCode, line, args] of cases) {
    test(name, async () => {
      const { code, stdout, stderr } = await quiesce(...args());
      assert.equal(code, exitCode, stderr);
      assert.match(stderr, /^quiesce: error: [^\n]+\n$/);
      assert.match(stderr, line);
      assert.doesNotMatch(stderr, /\n\s+at /);
      assert.equal(stdout, '');
    });
  }
});

test('options may be repeated with one meaning, and lists are collected', async () => {
  const { code, stderr } = await quiesce(
    ...[
      'run',
      '-n',
      '1',
      '--runs',
      '1',
      '--strict',
      '--strict',
      '--allow-thread',
      'a',
      '--allow-thread',
      'b',
    ],
    ...['--ignore-output', 'x', '--ignore-output', 'y', '--', process.execPath, '-e', '0'],
  );
  assert.equal(code, 0, stderr);
});

describe('services', () => {
  const listening = 'require("net").createServer().listen(+process.argv[1], "127.0.0.1")';

  function plan(name: string, service: object, scenario: object): string {
    const scenarios = [{ name: 'a', uses: ['s'], runs: 50, ...scenario }];
    return file(name, JSON.stringify({ services: { s: service }, scenarios }));
  }

  test('that can not start are reported, with exit code 3', async () => {
    const dead = {
      command: [process.execPath, '-e', 'console.error("no luck"); process.exit(9)'],
      ports: ['p'],
      ready: { port: 'p' },
    };
    const name = plan('dead.json', dead, { command: [process.execPath, '-e', '0'] });
    const { code, stdout, stderr } = await quiesce('run', '--plan', name);
    assert.equal(code, 3, stderr);
    assert.match(stdout + stderr, /exit code 9|exited with 9|code 9/);
    assert.doesNotMatch(stderr, /\n\s+at /);
  });

  test('that die half-way stop their scenario, with exit code 3', async () => {
    const marker = `quiesce-dying-${process.pid}`;
    const dying = {
      command: [
        process.execPath,
        '-e',
        `${listening}; setTimeout(() => process.exit(5), 3_000)`,
        PORT_ARGUMENT,
        marker,
      ],
      ports: ['p'],
      ready: { port: 'p' },
    };
    const name = plan('dying.json', dying, {
      command: [process.execPath, '-e', 'setTimeout(() => {}, 500)'],
    });
    const { code, stdout, stderr } = await quiesce('run', '--plan', name);
    assert.equal(code, 3, stderr);
    assert.match(stdout + stderr, /while it was needed/);
    await assertGone(marker);
  });

  test('and programs are gone after an interrupt, whose report is still written', async () => {
    const marker = `quiesce-interrupt-${process.pid}`;
    const service = {
      command: [process.execPath, '-e', listening, PORT_ARGUMENT, marker],
      ports: ['p'],
      ready: { port: 'p' },
    };
    const name = plan('interrupt.json', service, {
      command: [process.execPath, '-e', 'setTimeout(() => {}, 100)', marker],
    });
    for (const [signal, exitCode] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const { code, output } = await interrupted(['--plan', name], signal, () => alive(marker) >= 2);
      assert.equal(code, exitCode, output);
      await assertGone(marker);
    }
  });

  // What it writes into the temporary directory is gone, too: the hook at the top of this file sees it.
  test('are gone after SIGQUIT, which ends the tester at once', async () => {
    const marker = `quiesce-quit-${process.pid}`;
    const service = { command: [process.execPath, '-e', 'setInterval(() => {}, 1e3)', marker] };
    const name = plan('quit.json', service, { command: ['sleep', '60'] });
    const running = startCli(['run', '--plan', name], {
      ...{ cwd: dir, env: { TMPDIR: scratch } },
      wrapper: ['sh', '-c', 'ulimit -c 0; exec "$@"', 'sh'],
    });
    while (running.running && alive(marker) === 0) await sleep(20);
    running.kill('SIGQUIT');
    const { code, output } = await running.ended;
    assert.equal(code, null, output);
    await assertGone(marker);
  });

  test('are gone after an interrupt while they start', async () => {
    const marker = `quiesce-starting-${process.pid}`;
    const service = {
      command: [process.execPath, '-e', 'setInterval(() => {}, 1e3)', marker],
      ready: { log: 'never said' },
    };
    const name = plan('starting.json', service, { command: ['true'] });
    const { code, output } = await interrupted(['--plan', name], 'SIGINT', () => alive(marker) >= 1);
    assert.equal(code, 130, output);
    assert.match(output, /not run: interrupted by SIGINT/);
    await assertGone(marker);
  });
});

describe('an interrupt while a crash is looked at', () => {
  test('ends the debugger and the program', {
    skip: unseen,
  }, async () => {
    const marker = `quiesce-looked-at-${process.pid}`;
    const traced = (): boolean =>
      pidsOf(marker).some((pid) => /^TracerPid:\t[1-9]/m.test(procFile(pid, 'status')));
    const command = ['-n', '50', '--', process.execPath, '-e', 'process.abort()', marker];
    const { code, output } = await interrupted(command, 'SIGINT', traced);
    assert.equal(code, 130, output);
    assert.match(output, /interrupted by SIGINT/);
    await assertGone(marker);
  });
});

/** Runs the tester, sends it a signal once a condition holds, and checks that it leaves its report. */
async function interrupted(
  args: string[],
  signal: NodeJS.Signals,
  when: () => boolean,
): Promise<{ code: number | null; output: string }> {
  const tester = startCli(['run', '--json', 'interrupted.json', ...args], {
    cwd: dir,
    env: { TMPDIR: scratch },
  });
  let seen = false;
  for (let i = 0; !seen && tester.running && i < 10_000; i++) {
    seen = when();
    await sleep(2);
  }
  if (seen) tester.kill(signal);
  const { code, output } = await tester.ended;
  assert.ok(seen, output);
  assert.equal(JSON.parse(readFileSync(join(dir, 'interrupted.json'), 'utf8')).interrupted, true);
  rmSync(join(dir, 'interrupted.json'));
  return { code, output };
}
