// The timeline of the exit: of real programs that end well and badly, and how it is made from events and samples.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { XmlDocument, type XmlElement } from 'libxml2-wasm';
import type { ScenarioResult } from '../src/index.js';
import { unavailablePerturbations } from '../src/perturb/perturb.js';
import { timelineFigure, timeScale } from '../src/report/html/timeline.js';
import { timelineLines } from '../src/report/timeline.js';
import { reportSchema } from '../src/results/report-schema.js';
import { readReport, savedReport } from '../src/results/saved-report.js';
import { witnessProblem } from '../src/run/witness.js';
import { run } from '../src/session/session.js';
import { buildTimeline, type TimelineEnd } from '../src/timeline/build.js';
import { type EventKind, type ExitEvent, parseEvents } from '../src/timeline/events.js';
import type { Timeline } from '../src/timeline/model.js';
import { parseSample, type Sample } from '../src/timeline/sampler.js';
import { realPython } from './support/python.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('timeline');
const blind = witnessProblem() ?? false;
const compilerless = spawnSync('g++', ['--version']).status === 0 ? false : 'there is no C++ compiler';
const noAmplifier = unavailablePerturbations().find(({ name }) => name === 'amplify')?.reason ?? false;

const base = (path: string | null): string => (path ?? '').replace(/^.*\//, '');

// A pool whose thread continues to work after its static destructor has run, as in many a library.
const POOL = `
#include <atomic>
#include <pthread.h>
#include <thread>
#include <unistd.h>
struct Pool {
  int *volatile work = new int[64]();
  std::atomic<bool> stop{false};
  std::thread thread;
  ~Pool() {
    if (thread.joinable()) thread.detach();
    if (stop) return;
    work = nullptr;
    usleep(2000000); // far longer than the thread needs
  }
  void start() {
    thread = std::thread([this] {
      pthread_setname_np(pthread_self(), "pool-1");
      while (!stop) { work[7]++; usleep(200); }
    });
  }
  void end() { stop = true; thread.join(); }
};
static Pool pool;
extern "C" void pool_start() { pool.start(); }
extern "C" void pool_end() { pool.end(); }
`;
const MAIN = `
#include <cstdlib>
#include <unistd.h>
extern "C" void pool_start();
extern "C" void pool_end();
int main(int argc, char **) {
  pool_start();
  if (write(atoi(getenv("QUIESCE_DONE_FD")), "done\\n", 5) != 5) return 1;
  if (argc > 1) pool_end();
  return 0;
}
`;

function buildLibrary(name: string, source: string): void {
  const file = join(dir, `${name}.cc`);
  writeFileSync(file, source);
  execFileSync('g++', ['-g', '-fPIC', '-shared', '-pthread', file, '-o', join(dir, `lib${name}.so`)]);
}

function buildProgram(name: string, source: string, ...libraries: string[]): string {
  const [file, program] = [join(dir, `${name}.cc`), join(dir, name)];
  writeFileSync(file, source);
  const links = ['-pthread', `-L${dir}`, ...libraries.map((library) => `-l${library}`), '-ldl'];
  execFileSync('g++', ['-g', file, ...links, `-Wl,-rpath,${dir}`, '-o', program]);
  return program;
}

const timelineOf = (result: ScenarioResult): Timeline => {
  const timeline = result.failures[0]?.evidence.timeline ?? result.cleanTimeline;
  assert.ok(timeline, JSON.stringify(result.failures.map(({ outcome, evidence }) => [outcome, evidence])));
  checkTimes(timeline);
  return timeline;
};

/** What is true of every timeline. */
function checkTimes({ endMs, phases, threads, crash }: Timeline): void {
  assert.ok(endMs >= 0);
  assert.equal(threads.filter(({ main }) => main).length, 1);
  for (const { fromMs, toMs } of phases) assert.ok(fromMs <= (toMs ?? endMs) && (toMs ?? endMs) <= endMs);
  for (const { spans } of threads) {
    let last = 0;
    for (const { fromMs, toMs } of spans) {
      assert.ok(last <= fromMs && fromMs < toMs && toMs <= endMs, JSON.stringify({ spans, endMs }));
      last = toMs;
    }
  }
  if (crash !== null) assert.equal(crash.atMs, endMs);
}

describe('a C++ program with a pool that a library leaves', { skip: blind || compilerless }, () => {
  let program: string;
  before(() => {
    buildLibrary('pool', POOL);
    program = buildProgram('pooled', MAIN, 'pool');
  });

  test('shows that the thread still ran when its library was torn down', async () => {
    const result = await run({ command: [program], runs: 1, timeline: true, expect: 'any', timeout: '60s' });
    const timeline = timelineOf(result);
    const { phases, threads, crash } = timeline;
    assert.equal(timeline.zero, 'work-done');
    assert.equal(timeline.end, 'crashed');
    const [main, pool] = threads;
    assert.deepEqual([pool?.name, base(pool?.library ?? null), pool?.toMs], ['pool-1', 'libpool.so', null]);
    assert.deepEqual([crash?.tid, crash?.signal], [pool?.tid, 'SIGSEGV']);
    const exit = phases.find(({ what }) => what === 'exit');
    const handler = phases.find(({ what, name }) => what === 'handler' && base(name) === 'libpool.so');
    assert.ok(exit && handler && main, JSON.stringify(phases));
    assert.ok(exit.fromMs <= handler.fromMs && handler.fromMs <= (crash?.atMs ?? 0));
    assert.deepEqual([handler.tid, handler.toMs], [main.tid, null]);
    assert.match(
      timeline.says,
      /^Thread "pool-1" of libpool\.so still ran when libpool\.so was torn down, and died from SIGSEGV( in \S+)? [\d.]+ ms later\.$/,
    );
    assert.equal(base(timeline.tornDown?.name ?? null), 'libpool.so');
  });

  test('shows nothing of the kind where the library ends its thread', async () => {
    const result = await run({ command: [program, 'end'], runs: 2, timeline: true, timeout: '60s' });
    assert.equal(result.failed, 0);
    const timeline = timelineOf(result);
    assert.equal(timeline.run, 1);
    assert.equal(timeline.end, 'gone');
    assert.match(timeline.says, /^No other thread/);
    const pool = timeline.threads.find(({ name }) => name === 'pool-1');
    const exit = timeline.phases.find(({ what }) => what === 'exit');
    assert.ok(pool?.toMs != null && exit !== undefined && pool.toMs <= exit.fromMs);
  });

  test('has the delays of the amplifier', { skip: noAmplifier }, async () => {
    const options = { perturb: 'amplify', seed: 1, timeout: '60s' } as const;
    const result = await run({ command: [program, 'end'], runs: 1, timeline: true, ...options });
    const [main] = timelineOf(result).threads;
    assert.ok(main?.spans.some(({ state }) => state === 'held'));
  });

  test('is in the JSON report, which its schema describes, and comes back from it', async () => {
    const result = await run({ command: [program], runs: 1, timeline: true, expect: 'any', timeout: '60s' });
    const plan = { ok: true, interrupted: false, startedAt: new Date(), durationMs: 1, planFile: null };
    const all = { ...plan, hosts: [], sessions: ['a session'], serviceFailures: [], scenarios: [result] };
    const file = join(dir, 'report.json');
    writeFileSync(file, JSON.stringify(savedReport(all)));
    assert.equal(reportSchema.parse(JSON.parse(readFileSync(file, 'utf8'))).scenarios.length, 1);
    const [read] = (await readReport(file)).scenarios;
    assert.deepEqual(read?.failures[0]?.evidence.timeline, result.failures[0]?.evidence.timeline);
    assert.equal(read?.scenario.timeline, true);
  });

  test('is not taken where nobody asks, or without the witness', async () => {
    const command = [program, 'end'];
    assert.equal((await run({ command, runs: 1, timeout: '60s' })).cleanTimeline, null);
    await assert.rejects(run({ command, runs: 1, timeline: true, witness: false }), /without the witness/);
  });
});

// Prints what its handlers see: the timeline must not change that.
const PLUGIN = `
#include <cstdio>
#include <cstdlib>
struct Static { ~Static() { puts("plugin: destructor"); } };
static Static one;
static void handler() { puts("plugin: handler"); }
__attribute__((constructor)) static void load() { atexit(handler); }
__attribute__((destructor)) static void unload() { puts("plugin: fini"); fflush(stdout); }
`;
const ORDER = `
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
static void last() { puts("last"); fflush(stdout); }
static void late() { puts("late: registered by a handler"); }
static void first() { atexit(late); puts("first"); }
static void with_status(int status, void *argument) { printf("status %d, %s\\n", status, (char *)argument); }
struct Static { ~Static() { puts("static"); } };
static void *thread(void *result) { pthread_exit(result); }
int main(int argc, char **argv) {
  atexit(last);
  static Static local;
  on_exit(with_status, (void *)"argument");
  for (int i = 0; i < 3; i++) {
    void *plugin = dlopen(argv[1], RTLD_NOW);
    if (plugin == nullptr) return 9;
    puts("loaded");
    dlclose(plugin);
    puts("unloaded");
  }
  void *result;
  pthread_t id;
  pthread_create(&id, nullptr, thread, argv);
  pthread_join(id, &result);
  puts(result == argv ? "joined" : "wrong result");
  errno = 77;
  if (write(1, "", 0) != 0 || errno != 77) puts("errno changed");
  if (write(atoi(getenv("QUIESCE_DONE_FD")), "done\\n", 5) != 5 || errno != 77) puts("errno changed");
  fflush(stdout);
  if (fork() == 0) { puts("child"); exit(0); }
  wait(nullptr);
  if (vfork() == 0) { execl("/bin/true", "true", nullptr); _exit(1); }
  wait(nullptr);
  atexit(first);
  exit(3);
}
`;

test('handlers run as ever, in their order, at their time', { skip: blind || compilerless }, async () => {
  buildLibrary('plugin', PLUGIN);
  const program = buildProgram('order', ORDER);
  const options = { command: [program, join(dir, 'libplugin.so')], runs: 1, timeout: '60s' } as const;
  // A failure, so that its output is kept.
  const [without, with_] = [await run(options), await run({ ...options, timeline: true })];
  const output = without.failures[0]?.evidence.stdout ?? '';
  assert.equal(output.match(/loaded\n(?:plugin: .*\n){3}unloaded\n/g)?.length, 3, output);
  assert.doesNotMatch(output, /errno changed|wrong/);
  assert.match(output, /first\nlate: registered by a handler\nstatus 3, argument\nstatic\nlast\n$/);
  assert.equal(with_.failures[0]?.evidence.stdout, output);
  assert.deepEqual(with_.failures[0]?.outcome, { kind: 'exit-code', code: 3 });
  const timeline = timelineOf(with_);
  const exit = timeline.phases.find(({ what }) => what === 'exit');
  assert.equal(exit?.name, 'exit');
  // Only of its own process: the forked one has its own handlers.
  assert.deepEqual([...new Set(timeline.phases.map(({ tid }) => tid))], [exit?.tid]);
  assert.ok(timeline.phases.some(({ what, name }) => what === 'handler' && base(name) === 'order'));
});

test('a Python program: the interpreter ends under a daemon thread', { skip: blind }, async () => {
  const script = `
import os, threading, time
def work():
    while True:
        sum(range(1000))
        time.sleep(0.0005)
threading.Thread(target=work, daemon=True).start()
os.write(int(os.environ["QUIESCE_DONE_FD"]), b"done\\n")
`;
  writeFileSync(join(dir, 'daemon.py'), script);
  const command = [realPython(), join(dir, 'daemon.py')];
  const timeline = timelineOf(await run({ command, runs: 1, timeline: true, timeout: '60s' }));
  const python = timeline.phases.find(({ what }) => what === 'python');
  const exit = timeline.phases.find(({ what }) => what === 'exit');
  assert.ok(python && exit && python.fromMs >= 0, JSON.stringify(timeline.phases));
  assert.equal(python.toMs, exit.fromMs);
  const daemon = timeline.threads.find(({ main }) => !main);
  assert.match(base(daemon?.library ?? null), /python/);
  assert.match(timeline.says, /^Thread "[^"]*" of \S*python\S* still ran when .*python.* was torn down\.$/i);
});

test('a Node program with a worker', { skip: blind }, async () => {
  const script = `
const { Worker } = require('node:worker_threads');
const { writeSync } = require('node:fs');
const worker = new Worker('setInterval(() => {}, 1)', { eval: true });
worker.once('online', () => {
  writeSync(Number(process.env.QUIESCE_DONE_FD), 'done\\n');
  setTimeout(() => process.exit(0), 20);
});
`;
  writeFileSync(join(dir, 'worker.cjs'), script);
  const command = [process.execPath, join(dir, 'worker.cjs')];
  const timeline = timelineOf(await run({ command, runs: 1, timeline: true, timeout: '60s' }));
  const exit = timeline.phases.find(({ what }) => what === 'exit');
  assert.deepEqual([exit?.name, timeline.zero], ['exit', 'work-done']);
  assert.ok((exit?.fromMs ?? 0) >= 15);
  // Node ends the worker and its pools before it calls exit; the main thread lives through everything.
  const [main, ...others] = timeline.threads;
  assert.ok(main?.main && main.spans.length > 0 && base(main.library) === base(process.execPath));
  assert.ok(others.some(({ toMs, fromMs }) => toMs !== null && toMs > 15 && (fromMs ?? 0) < 0));
  assert.ok(timeline.phases.length < 50, 'the thousand handlers of Node are told as one');
  assert.ok(timeline.phases.some(({ what, count }) => what === 'handler' && count > 10));
});

describe('made of events and samples', () => {
  const event = (us: number, tid: number, kind: EventKind, detail = '', more = ''): ExitEvent => ({
    ...{ us, pid: 1, tid, kind, detail, more },
  });
  const end: TimelineEnd = { run: 4, pid: 1, us: 20_000, hung: false, signal: null, stack: [] };
  const sample = (us: number, tid: number, state: string, onCpu: number, waiting = 0): Sample => ({
    ...{ us, tid, name: `t${tid}`, state },
    ran: { onCpu, waiting },
  });
  const of = (events: readonly ExitEvent[], samples: readonly Sample[] = [], how = end): Timeline => {
    const timeline = buildTimeline({ events, lost: 0 }, () => samples, how);
    assert.ok(timeline);
    return timeline;
  };
  const start = event(0, 1, 'start', '/bin/p');

  test('is nothing where nothing was noted', () => {
    assert.equal(
      buildTimeline({ events: [], lost: 0 }, () => [], end),
      null,
    );
  });

  test('begins at "work done", else at the exit, else with the program', () => {
    const done = event(1_000, 1, 'done');
    const exit = event(3_000, 1, 'exit', 'exit');
    assert.deepEqual(
      [[start, done, exit], [start, exit], [start]].map((events) => {
        const { zero, endMs } = of(events);
        return [zero, endMs];
      }),
      [
        ['work-done', 19],
        ['exit', 17],
        ['start', 20],
      ],
    );
  });

  // The process continues for a moment after a debugger has examined it.
  test('ends with a crash, and begins where Python does; who died is there', () => {
    const events = [
      ...[start, event(1_000, 2, 'begin', '/lib/addon.so'), event(4_000, 1, 'python')],
      ...[event(5_000, 2, 'end', 'returned', 'worker'), event(6_000, 2, 'crash', '11', 'worker')],
      event(9_000, 1, 'exit', ''),
    ];
    const timeline = of(events, [], { ...end, signal: 'SIGSEGV', us: 6_000, stack: ['addon.so'] });
    assert.deepEqual([timeline.zero, timeline.endMs, timeline.crash?.atMs], ['exit', 2, 2]);
    assert.deepEqual(
      timeline.phases.map(({ what, fromMs }) => [what, fromMs]),
      [['python', 0]],
    );
    assert.match(
      timeline.says,
      /^Thread "worker" of addon\.so still ran when the Python interpreter was torn down/,
    );
    const times = timelineLines(timeline)
      .slice(1)
      .map((line) => Number.parseFloat(line));
    assert.deepEqual(times, [0, 0, 2]);
  });

  test('says that a library had been unloaded in which a thread died', () => {
    const events = [
      ...[start, event(2_000, 2, 'begin', '/bin/p'), event(5_000, 2, 'unload', '4000', '/lib/addon.node')],
      event(5_500, 2, 'crash', '11', 'worker'),
    ];
    const crashed = { ...end, signal: 'SIGSEGV', us: 5_500, stack: ['/lib/addon.node', null] };
    const timeline = of(events, [], crashed);
    assert.equal(
      timeline.says,
      'Thread "worker" of p died from SIGSEGV in addon.node, 0.500 ms after that was unloaded.',
    );
    assert.deepEqual(timeline.tornDown, { what: 'unload', name: '/lib/addon.node', atMs: 4 });
    const inMain = of([...events.slice(0, 3), event(5_500, 1, 'crash', '11', 'p')], [], crashed);
    assert.match(
      inMain.says,
      /^The main thread died from SIGSEGV in addon\.node, 0\.500 ms after that was unloaded/,
    );
  });

  test('leaves out what the process ran before, such as the shell that ran it', () => {
    const { threads } = of([start, event(5, 9, 'begin', '/lib/old.so'), event(10, 1, 'start', '/bin/q')]);
    assert.deepEqual(
      threads.map(({ library }) => library),
      ['/bin/q'],
    );
  });

  test('says how long a thread ran, waited for a CPU, slept and was held', () => {
    const events = [start, event(0, 1, 'done'), event(8_000, 1, 'linger'), event(9_000, 1, 'lingered')];
    const samples = [
      sample(1_000, 1, 'R', 0),
      sample(5_000, 1, 'S', 1_000_000, 2_000_000), // waited 2 ms, ran 1, slept 1
      sample(10_000, 1, 'S', 1_000_000, 2_000_000),
    ];
    assert.deepEqual(
      of(events, samples).threads[0]?.spans.map(({ state, fromMs, toMs }) => [state, fromMs, toMs]),
      [
        ['ran', 0, 1],
        ['waited', 1, 3],
        ['ran', 3, 4],
        ['slept', 4, 8],
        ['held', 8, 9],
        ['slept', 9, 20],
      ],
    );
  });

  test('knows when a thread was gone, by its own word or since it was missed', () => {
    const events = [
      ...[
        start,
        event(0, 1, 'done'),
        event(100, 2, 'begin', '/lib/a.so'),
        event(200, 3, 'begin', '/lib/b.so'),
      ],
      ...[event(4_000, 2, 'end', 'returned', 'worker')],
    ];
    const samples = [
      ...[sample(1_000, 1, 'S', 0), sample(1_010, 2, 'S', 0), sample(1_020, 3, 'S', 0)],
      ...[sample(6_000, 1, 'S', 0)],
    ];
    assert.deepEqual(
      of(events, samples).threads.map(({ name, fromMs, toMs }) => [name, fromMs, toMs]),
      [
        ['t1', null, null],
        ['worker', 0.1, 4],
        ['t3', 0.2, 6],
      ],
    );
  });

  test('says what a thread needed that was torn down, not what came last', () => {
    const events = [
      ...[start, event(0, 2, 'begin', '/lib/liba.so'), event(500, 1, 'done')],
      ...[event(1_000, 1, 'exit', 'exit'), event(2_000, 1, 'handler', '/lib/liba.so')],
      ...[event(2_100, 1, 'handled', '/lib/liba.so'), event(3_000, 1, 'finalize', '/lib/libz.so')],
      event(4_000, 2, 'crash', '11', 'a-worker'),
    ];
    const timeline = of(events, [], { ...end, signal: 'SIGSEGV', stack: ['/lib/libc.so.6', '/lib/liba.so'] });
    assert.equal(
      timeline.says,
      'Thread "a-worker" of liba.so still ran when liba.so was torn down, and died from SIGSEGV in liba.so 2.00 ms later.',
    );
    assert.deepEqual(timeline.tornDown, { what: 'handler', name: '/lib/liba.so', atMs: 1.5 });
  });

  test('says what is known where a host takes something down before it calls exit()', () => {
    const events = [start, event(0, 2, 'begin', '/lib/liba.so'), event(2_100, 2, 'crash', '11', 'p')];
    const died = { ...end, signal: 'SIGSEGV' };
    for (const [exiting, place] of [
      [true, ' before exit() was called, while its host took something down'],
      [false, ' before the exit began'],
    ] as const) {
      const { says } = of(events, [], { ...died, exiting });
      assert.equal(says, `Thread "p" of liba.so died from SIGSEGV${place}.`);
    }
  });

  test('says that a library had been unloaded, in one way for all threads', () => {
    const events = [
      ...[start, event(0, 2, 'begin', '/lib/libz.so'), event(3_000, 1, 'unload', '2000', '/lib/liba.so')],
      event(4_000, 2, 'crash', '11', 'p'),
    ];
    const died = { ...end, signal: 'SIGSEGV', stack: ['/lib/liba.so'] };
    assert.equal(
      of(events, [], died).says,
      'Thread "p" of libz.so died from SIGSEGV in liba.so, 1.00 ms after that was unloaded.',
    );
  });

  test('knows that main had returned before a destructor of its thread-local data died', {
    skip: blind || compilerless,
  }, async () => {
    const source = `struct Late { int *p = nullptr; ~Late() { *p = 1; } };
      thread_local Late late;
      int main() { late.p = nullptr; }`;
    const program = join(dir, 'late');
    execFileSync('g++', ['-O1', '-x', 'c++', '-', '-o', program], { input: source });
    const { failures } = await run({ command: [program], runs: 1, timeline: true });
    const { says = '', phases } = failures[0]?.evidence.timeline ?? {};
    assert.match(says, /^The main thread died from SIGSEGV(?: in late)? in the exit\.$/);
    assert.equal(phases?.find(({ what }) => what === 'exit')?.name, null);
  });

  test('says where the main thread died, and what ran beside', () => {
    const events = [
      ...[start, event(0, 2, 'begin', '/lib/liba.so'), event(500, 1, 'done'), event(1_000, 1, 'exit')],
      ...[event(2_000, 1, 'handler', '/lib/libz.so'), event(2_100, 1, 'crash', '6', 'p')],
    ];
    assert.equal(
      of(events, [], { ...end, signal: 'SIGABRT' }).says,
      'The main thread died from SIGABRT in an exit handler or destructor of libz.so, while an unnamed thread of liba.so still ran.',
    );
  });

  test('says where a hang waits', () => {
    const events = [
      start,
      event(0, 1, 'done'),
      event(1_000, 1, 'exit'),
      event(2_000, 1, 'handler', '/lib/libz.so'),
    ];
    const hung = { ...end, hung: true };
    assert.equal(
      of(events, [], hung).says,
      'The exit did not end: the thread that exits was still in an exit handler or destructor of libz.so, since 2.00 ms.',
    );
    const early = [start, event(0, 1, 'done'), event(0, 2, 'begin', '/lib/liba.so')];
    const names = new Map([[2, 'fetcher']]);
    for (const [known, begins] of [
      [{}, 'The exit had not been seen to begin'],
      [{ exiting: false }, 'The exit had not begun'],
      [{ exiting: true }, 'The exit had begun, and had taken nothing down'],
      [{ mainEnded: true }, 'The main thread had ended, and the process had not,'],
    ] as const) {
      assert.equal(
        of(early, [], { ...hung, ...known, names }).says,
        `${begins} 20.0 ms after "work done"; thread "fetcher" of liba.so still ran.`,
      );
    }
  });

  test('reads what is whole of the file, in the order of the events', () => {
    const slots = Buffer.alloc(4 * 256);
    const slot = (i: number, number: bigint, text: string): void => {
      slots.writeBigUInt64LE(number, i * 256);
      slots.write(text, i * 256 + 8);
    };
    slot(0, 5_001n, '7\t1\t2\tend\treturned\tname\n');
    slot(1, 5_000n, '6\t1\t2\tbegin\t/lib/a.so\n');
    slot(2, 0n, '8\t1\t2\tend\n'); // being written
    slot(3, 4_999n, 'nonsense\n');
    assert.deepEqual(parseEvents(slots, 5_001), {
      events: [event(6, 2, 'begin', '/lib/a.so'), event(7, 2, 'end', 'returned', 'name')],
      lost: 905,
    });
  });

  test('reads stat whatever a thread is called, and does without schedstat', () => {
    assert.deepEqual(parseSample(3, 5, '3 (a) R (b) S 1 2', '7 8 9'), {
      ...{ us: 5, tid: 3, name: 'a) R (b', state: 'S' },
      ran: { onCpu: 7, waiting: 8 },
    });
    assert.equal(parseSample(3, 5, '3 (a) R 1', '')?.ran, null);
    assert.equal(parseSample(3, 5, '3 (a) Z 1', ''), undefined);
    assert.equal(parseSample(3, 5, '', ''), undefined);
  });
});

describe('as reports show it', () => {
  const torn = { what: 'handler', name: '/x/libpool.so', tid: 1, fromMs: 2, toMs: null, count: 1 } as const;
  const timeline: Timeline = {
    ...{ run: 3, zero: 'work-done', endMs: 3, end: 'crashed', lostEvents: 0 },
    crash: { atMs: 3, tid: 2, signal: 'SIGSEGV', library: null },
    phases: [{ what: 'exit', name: 'exit', tid: 1, fromMs: 1.5, toMs: null, count: 1 }, torn],
    threads: [
      { tid: 1, name: 'p', library: '/bin/p', main: true, fromMs: null, toMs: null, spans: [] },
      {
        ...{ tid: 2, name: 'a <b>"&', library: '/x/libpool.so', main: false, fromMs: 1, toMs: null },
        spans: [{ state: 'ran', fromMs: 1, toMs: 3 }],
      },
    ],
    says: 'Thread "a <b>"&" of libpool.so still ran.',
    tornDown: { what: torn.what, name: torn.name, atMs: torn.fromMs },
  };

  test('five lines of the terminal: the sentence, and four moments', () => {
    assert.deepEqual(timelineLines(timeline), [
      'exit of run 3: Thread "a <b>"&" of libpool.so still ran.',
      '  0.000 ms  work done',
      '   1.50 ms  exit called',
      '   2.00 ms  libpool.so torn down',
      '   3.00 ms  SIGSEGV in thread "a <b>\\"&" of libpool.so',
    ]);
  });

  test('places of the figure are percent of its time, and texts are escaped and said', () => {
    using document = XmlDocument.fromString(timelineFigure(timeline, 'id', 'run 3').text);
    const value = (path: string): string | undefined => document.get(path)?.content;
    // The thread that died: its lane begins at a third, and ends with a cross at the end of everything.
    const lane = document
      .find("//svg[@class='exit-timeline']/rect[@class='t-ran']")
      .map((node) => (node as XmlElement).attrs.map(({ name, value: text }) => `${name}=${text}`));
    assert.equal(lane.length, 1);
    assert.ok(lane[0]?.includes('x=33.33%') && lane[0].includes('width=66.67%'), String(lane));
    assert.equal(value('//svg/svg/@x'), '100%');
    assert.equal(value("//line[contains(@class, 't-flag t-torn')]/@x1"), '66.67%');
    assert.equal(value("//rect[@class='t-torn']/@x"), '66.67%');
    // A name and a description for readers who can't see it.
    assert.equal(value("//svg[@class='exit-timeline']/@aria-labelledby"), 'idt idd');
    assert.equal(value("//svg/title[@id='idt']"), 'The exit of run 3');
    assert.match(
      value("//svg/desc[@id='idd']") ?? '',
      /^Thread "a <b>"&" of .*libpool\.so torn down: 2\.00 ms; SIGSEGV/,
    );
    assert.equal(document.find('//table/tbody/tr').length, 2);
  });

  test('a long pause is shortened, so that what comes after it is seen', () => {
    const late = { ...timeline, endMs: 1_003, phases: [{ ...torn, fromMs: 1_002.5 }] };
    const scale = timeScale({ ...late, crash: null });
    assert.equal(scale.breaks.length, 1);
    assert.ok((scale.breaks[0]?.ms ?? 0) > 1_000);
    assert.deepEqual([scale.at(0), scale.at(1_003)], [0, 100]);
    assert.ok(scale.at(1_002.5) < 80);
    for (let ms = 1; ms <= 1_003; ms++) assert.ok(scale.at(ms) >= scale.at(ms - 1));
    assert.deepEqual(timeScale(timeline).breaks, []);
  });
});
