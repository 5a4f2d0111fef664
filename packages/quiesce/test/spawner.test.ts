// The spawner and Node start programs alike, and nothing of them is left, whichever process dies first.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EnvironmentError } from '../src/errors.js';
import { run } from '../src/index.js';
import { nodeStarter } from '../src/process/node-starter.js';
import { spawnGroup } from '../src/process/process-group.js';
import { hasEnded } from '../src/process/processes.js';
import { cancelSequence, newSequence, SPAWNER_FILE, startedSpawner } from '../src/process/spawner.js';
import type { Start, StartedProgram, Starter } from '../src/process/started-program.js';
import { cli, startCli } from './support/cli.js';
import { realPython } from './support/python.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = realpathSync(temporaryDirectory('spawner'));
const missing = !existsSync(SPAWNER_FILE) && 'the spawner was not built';

async function spawner(): Promise<Starter> {
  const starter = await startedSpawner();
  assert.ok(starter);
  return starter;
}

/** Runs a program to its end. Returns how it ended, and what it wrote to each of its streams. */
async function ended(starter: Starter, what: Partial<Start>): Promise<{ status: unknown; output: string[] }> {
  const program = await starter.start({
    ...{ command: [], cwd: dir, env: process.env, socket: '', outputs: 3, ...what },
  });
  const output = program.output.map(() => '');
  for (const [i, stream] of program.output.entries()) {
    stream.read((chunk) => {
      output[i] += chunk.toString('latin1');
    });
  }
  await program.closed;
  return { status: await program.exited, output };
}

const sh = (script: string): { command: string[] } => ({ command: ['/bin/sh', '-c', script] });

const script = join(dir, 'no-interpreter-line');
writeFileSync(script, 'echo script "$1"\n', { mode: 0o755 });
const notExecutable = join(dir, 'not-executable');
writeFileSync(notExecutable, '');
chmodSync(notExecutable, 0o644);
mkdirSync(join(dir, 'bin'));
writeFileSync(join(dir, 'bin', 'only-there'), '#!/bin/sh\necho found\n', { mode: 0o755 });
mkdirSync(join(dir, 'denied'));
writeFileSync(join(dir, 'denied', 'only-there'), 'echo denied\n', { mode: 0o644 });
mkdirSync(join(dir, 'plain'));
writeFileSync(join(dir, 'plain', 'only-there'), 'echo plain "$1"\n', { mode: 0o755 });

/** What to start, and what the starter sees of it. */
const programs: [name: string, what: Partial<Start>, status: unknown, output: string[]][] = [
  ['an exit code', sh('exit 7'), { code: 7, signal: null }, ['', '', '']],
  ['a signal', sh('kill -SEGV $$'), { code: null, signal: 'SIGSEGV' }, ['', '', '']],
  ['each stream', sh('echo a; echo b >&2; echo c >&3'), { code: 0, signal: null }, ['a\n', 'b\n', 'c\n']],
  ['two streams', { ...sh('echo a; echo b >&2'), outputs: 2 }, { code: 0, signal: null }, ['a\n', 'b\n']],
  ['no stream', { ...sh('echo a; exit 3'), outputs: 0 }, { code: 3, signal: null }, []],
  [
    'arguments',
    { command: ['/bin/echo', '-n', 'a b', '', '"ü'] },
    { code: 0, signal: null },
    ['a b  "\xc3\xbc', '', ''],
  ],
  [
    'its folder',
    { ...sh('pwd'), cwd: join(dir, 'bin') },
    { code: 0, signal: null },
    [`${dir}/bin\n`, '', ''],
  ],
  [
    'its environment alone',
    { command: ['/usr/bin/env'], env: { A: '1=2', B: '', C: undefined } },
    { code: 0, signal: null },
    ['A=1=2\nB=\n', '', ''],
  ],
  [
    'variables of its own',
    { command: ['/usr/bin/env'], env: { A: '1', B: '2' }, added: { B: '3' } },
    { code: 0, signal: null },
    ['A=1\nB=3\n', '', ''],
  ],
  [
    'its PATH',
    { command: ['only-there'], env: { PATH: join(dir, 'bin') } },
    { code: 0, signal: null },
    ['found\n', '', ''],
  ],
  [
    'the next of its PATH, past what cannot be run',
    {
      command: ['only-there', 'x'],
      env: { PATH: `/not/there:${join(dir, 'denied')}:${join(dir, 'plain')}` },
    },
    { code: 0, signal: null },
    ['plain x\n', '', ''],
  ],
  [
    'its folder in place of an empty entry of its PATH',
    { command: ['only-there'], cwd: join(dir, 'bin'), env: { PATH: '/not/there:' } },
    { code: 0, signal: null },
    ['found\n', '', ''],
  ],
  ['a script without #!', { command: [script, 'x'] }, { code: 0, signal: null }, ['script x\n', '', '']],
  ['no input', sh('cat; echo end'), { code: 0, signal: null }, ['end\n', '', '']],
  [
    'no core dumps, a group of its own',
    sh('ulimit -c; [ "$(ps -o sid= -p $$)" -eq $$ ] && echo leads'),
    { code: 0, signal: null },
    ['0\nleads\n', '', ''],
  ],
  [
    'signals as they are',
    sh("grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\n\\t'"),
    { code: 0, signal: null },
    [`SigBlk:${'0'.repeat(16)}SigIgn:${'0'.repeat(16)}`, '', ''],
  ],
];

for (const [name, starter] of [
  ['the spawner', spawner],
  ['Node', async () => nodeStarter],
] as const) {
  describe(`started by ${name}`, { skip: name === 'the spawner' && missing }, () => {
    for (const [what, start, status, output] of programs) {
      test(`a program has ${what}`, async () => {
        assert.deepEqual(await ended(await starter(), start), { status, output });
      });
    }

    test('10 MB come whole, while another runs', async () => {
      const many = Array.from({ length: 4 }, async () => {
        const { output } = await ended(await starter(), sh('head -c 10000000 /dev/zero'));
        assert.equal(output[0]?.length, 10_000_000);
      });
      await Promise.all(many);
    });

    test('what cannot be started has the reason of the system', async () => {
      const start = (what: Partial<Start>): Promise<unknown> =>
        starter().then((started) => ended(started, what));
      await assert.rejects(start({ command: ['/not/there'] }), /spawn \/not\/there ENOENT/);
      await assert.rejects(start({ command: [notExecutable] }), /spawn .*not-executable EACCES/);
      await assert.rejects(start({ ...sh('true'), cwd: '/not/there' }), /ENOENT/);
      await assert.rejects(start({ command: ['/bin/echo', 'a\0b'] }), /NUL|null bytes/);
    });

    test('what is denied in its whole PATH is EACCES', async () => {
      const what = { command: ['only-there'], env: { PATH: `${join(dir, 'denied')}:/not/there` } };
      await assert.rejects(ended(await starter(), what), /spawn only-there EACCES/);
    });

    test('a stream that is closed is closed for the program', async () => {
      const program = await (await starter()).start({
        ...{ ...sh('sleep 0.2; echo a; echo b'), cwd: dir, env: process.env, socket: '', outputs: 2 },
      });
      for (const stream of program.output) stream.close();
      assert.deepEqual(await program.exited, { code: null, signal: 'SIGPIPE' });
    });
  });
}

describe('the spawner', { skip: missing }, () => {
  test('that has a different version says so, and ends', () => {
    for (const version of [[], ['0']]) {
      const { status, stderr } = spawnSync(SPAWNER_FILE, version, { encoding: 'utf8', input: '' });
      assert.equal(status, 1);
      assert.match(stderr, /have different versions: npm run build/);
    }
  });

  const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}/stat`);
  async function untilGone(pid: number): Promise<void> {
    for (let i = 0; isAlive(pid) && i < 3_000; i++) await sleep(10);
    assert.ok(!isAlive(pid), `process ${pid} is gone`);
  }

  test('ends soon after its last program, and is started again', async () => {
    const first = (await spawner()).pid;
    await ended(await spawner(), sh('true'));
    assert.equal((await spawner()).pid, first);
    await untilGone(first);
    assert.notEqual((await spawner()).pid, first);
    assert.equal((await ended(await spawner(), sh('exit 1'))).output.length, 3);
  });

  test("has ended before the tester has, so that it is nobody's zombie", async () => {
    // Python adopts orphans, and has no child then.
    const source = `import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
try: print(os.waitpid(-1, 0))
except ChildProcessError: print('none')`;
    const args = ['-c', source, process.execPath, cli, 'run', '-n', '1', '--', 'true'];
    const { status, stdout } = spawnSync(realPython(), args, { encoding: 'utf8', timeout: 240_000 });
    assert.deepEqual({ status, stdout }, { status: 0, stdout: 'none\n' });
  });

  test('has nothing left of what could not be started', async () => {
    const { pid } = (await spawner()) as unknown as { pid: number };
    const open = (): number => readdirSync(`/proc/${pid}/fd`).length;
    const keeps = await (await spawner()).start({
      ...{ command: ['/bin/sleep', '30'], cwd: dir, env: {}, socket: '', outputs: 0 },
    });
    const before = open();
    for (let i = 0; i < 20; i++)
      await assert.rejects(ended(await spawner(), { command: ['/not/there'] }), /ENOENT/);
    assert.equal(open(), before);
    assert.equal(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim(), String(keeps.pid));
    process.kill(keeps.pid, 'SIGKILL');
    await keeps.closed;
  });

  test('knows whether a program left something', async () => {
    const starter = await spawner();
    const start = (script: string): Promise<StartedProgram> =>
      starter.start({ ...sh(script), cwd: dir, env: process.env, socket: '', outputs: 0 });
    const other = await start('exec sleep 60');
    const daemon = 'setsid sleep 60 & ';
    for (const [script, left] of [
      ['true', false],
      [daemon, true],
      [`${daemon} kill -9 $!; wait`, false],
    ] as const) {
      const program = await start(`${script}\n:`);
      await program.exited;
      assert.equal(program.leftNothing(), !left, script);
      const children = execFileSync('ps', ['-o', 'pid=', '--ppid', String(starter.pid)], {
        encoding: 'utf8',
      });
      for (const pid of children.trim().split(/\s+/).map(Number)) {
        if (pid === other.pid) continue;
        process.kill(pid, 'SIGKILL');
        await untilGone(pid);
      }
    }
    assert.equal(other.leftNothing(), false, 'it runs');
    process.kill(other.pid, 'SIGKILL');
    await other.closed;
  });

  test('kills a program that has just ended, and not the next one of its sequence', async () => {
    const sequence = newSequence();
    const start = (...command: string[]) =>
      spawnGroup(command, { cwd: dir, env: process.env, outputs: 3, sequence });
    const first = await start('/bin/sleep', '0.2');
    // It has no variable to know it by, like any program that its own exec hasn't replaced yet.
    const next = start('/usr/bin/env', '-i', '/bin/sleep', '2.5');
    await sleep(50);
    // This process learns neither that the first has ended nor that the next runs.
    execFileSync('/bin/sleep', ['1.5']);
    assert.equal(hasEnded(first.pid), true);
    first.kill('SIGKILL');
    assert.deepEqual(first.members(), []);
    assert.deepEqual(await first.exited, { code: 0, signal: null });
    const second = await next;
    assert.deepEqual(await second.exited, { code: 0, signal: null });
    for (const group of [first, second]) group.release();
  });

  test('starts the programs of a sequence one after another', async () => {
    const starter = await spawner();
    const sequence = newSequence();
    const start = (script: string): Promise<StartedProgram> =>
      starter.start({ ...sh(script), cwd: dir, env: process.env, socket: '', outputs: 2, sequence });
    const waits = async (program: Promise<StartedProgram>): Promise<void> => {
      assert.equal(await Promise.race([program, sleep(200, 'waits')]), 'waits');
    };
    const first = start('sleep 0.2');
    const second = start('exit 1');
    const third = start('sleep 600 >/dev/null 2>&1 &');
    const fourth = start('sleep 600');
    const fifth = start('exit 0');
    // By itself, after a clean end.
    const [{ endedAt }, failed] = [await first, await second];
    assert.ok(endedAt() <= failed.startedAt, `${endedAt()} ${failed.startedAt}`);
    // Not after another end.
    await failed.closed;
    await waits(third);
    failed.over();
    // Not while something is left.
    const leaves = await third;
    assert.deepEqual(await leaves.exited, { code: 0, signal: null });
    await waits(fourth);
    process.kill(-leaves.pid, 'SIGKILL');
    await waits(fourth);
    leaves.over();
    const last = await fourth;
    cancelSequence(sequence);
    await assert.rejects(fifth, { code: 'ECANCELED' });
    process.kill(last.pid, 'SIGKILL');
    assert.deepEqual(await last.exited, { code: null, signal: 'SIGKILL' });
  });

  test('removes what a killed tester had made, and nothing else', async () => {
    const [temporary, other] = ['temporary', 'other'].map((name) => join(dir, name)) as [string, string];
    for (const name of [temporary, other]) mkdirSync(name);
    writeFileSync(join(other, 'precious'), '');
    const plan = join(dir, 'killed.json');
    const service = { command: ['sh', '-c', 'echo ready; exec sleep 60'], ready: { log: 'ready' } };
    // The first run ends, so that its directory is used again. The second one puts a link in place of its directory.
    const script = `echo > $TMPDIR/here; [ $QUIESCE_RUN = 1 ] && rm $TMPDIR/here && exit
ln -s ${other} $TMPDIR/link; echo > $TMPDIR/begun; exec sleep 60`;
    const replace = `rmdir $TMPDIR; ln -s ${other} $TMPDIR; echo > ${temporary}/begun; exec sleep 60`;
    const scenarios = [script, replace].map((source, i) => ({
      ...{ name: `s${i}`, command: ['sh', '-c', source], runs: 2, uses: ['waiting'], perturb: 'amplify' },
    }));
    for (const scenario of scenarios) {
      writeFileSync(plan, JSON.stringify({ services: { waiting: service }, scenarios: [scenario] }));
      const tester = startCli(['run', '--plan', plan, '--timeline', '--json', 'killed-report.json'], {
        cwd: dir,
        env: { TMPDIR: temporary },
      });
      const begun = (): boolean => {
        try {
          return readdirSync(temporary, { recursive: true }).some((name) => String(name).endsWith('begun'));
        } catch {
          return false; // a directory went meanwhile
        }
      };
      while (tester.running && !begun()) await sleep(10);
      assert.ok(begun(), 'the program runs');
      tester.kill('SIGKILL');
      const { output } = await tester.ended;
      const left = (): string[] => readdirSync(temporary).filter((name) => name !== 'begun');
      for (let i = 0; left().length > 0 && i < 3_000; i++) await sleep(10);
      assert.deepEqual(left(), [], output);
      assert.deepEqual(readdirSync(other), ['precious']);
    }
  });

  test('does not keep its process alive', () => {
    const source = `import { startedSpawner } from ${JSON.stringify(new URL('../src/process/spawner.js', import.meta.url))};
const started = await (await startedSpawner()).start({ command: ['/bin/true'], cwd: '/', env: {}, socket: '', outputs: 0 });
await started.closed;
console.log(performance.now());
process.on('exit', () => console.log(performance.now()));`;
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', source], {
      encoding: 'utf8',
    });
    const [done = 0, exit = Number.NaN] = printed.split('\n').map(Number);
    // Less than the spawner stays.
    assert.ok(exit - done < 900, printed);
  });

  test('does not make an exit shorter than it was, where it waits for a CPU itself', async () => {
    const busy = Array.from({ length: 6 }, () => spawn('sh', ['-c', 'while :; do :; done']));
    try {
      // It starts others meanwhile, and each start waits until the program runs.
      const command = ['sh', '-c', 'echo done >&3; sleep 0.02'];
      const { runs } = await run({ command, runs: 60, jobs: 4 });
      const exits = runs.map(({ exitMs }) => exitMs ?? 0);
      assert.ok(Math.min(...exits) >= 20, exits.join());
    } finally {
      for (const each of busy) each.kill('SIGKILL');
    }
  });

  test('that is killed is reported for each of its programs, and the group is killed', async () => {
    const starter = await spawner();
    const group = await spawnGroup(['/bin/sleep', '60'], { cwd: dir, env: {}, outputs: 3 });
    process.kill(starter.pid, 'SIGKILL');
    await assert.rejects(group.exited, (error) => {
      assert.ok(error instanceof EnvironmentError);
      return error.message === `the spawner (process ${starter.pid}) ended with SIGKILL`;
    });
    await group.closed;
    group.kill('SIGKILL');
    assert.equal(await group.gone(30_000), true);
    group.release();
    assert.deepEqual((await ended(await spawner(), sh('echo again'))).output, ['again\n', '', '']);
  });
});
