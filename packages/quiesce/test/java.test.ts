// Programs of Java: where the threads of a hung one are, from jcmd, what the end of the JVM waits for, and what is left.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { run, runPlan } from '../src/index.js';
import { findExecutable } from '../src/process/executable.js';
import { parseErrorReport, parseThreadDump } from '../src/run/languages/java-frames.js';
import { WITNESS_FILE } from '../src/run/witness.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const has = (program: string): boolean => findExecutable(program, process.cwd()).path !== undefined;
const unseen =
  existsSync(WITNESS_FILE) && has('gdb') ? false : 'no witness was built here, or gdb is missing';
const skip = unseen || (['java', 'javac', 'jcmd'].every(has) ? false : 'a JDK is missing');

const source = `import java.util.concurrent.*;
public class Hangs {
  static void drain() { try { Thread.sleep(1000000); } catch (Exception e) {} }
  public static void main(String[] words) throws Exception {
    var hooks = Runtime.getRuntime();
    switch (words[0]) {
      case "hook": hooks.addShutdownHook(new Thread(Hangs::drain, "drain-hook")); System.exit(0);
      case "exit-in-hook": hooks.addShutdownHook(new Thread(() -> System.exit(1), "bad-hook")); return;
      case "pool": Executors.newFixedThreadPool(1, job -> new Thread(job, "uploads-of-invoices")).submit(() -> 1).get(); return;
      case "take": new LinkedBlockingQueue<String>().take();
    }
  }
}
`;

test('of Java say where its threads are, and which one the end of the JVM waits for', { skip }, async () => {
  const dir = temporaryDirectory('java-hangs');
  writeFileSync(join(dir, 'Hangs.java'), source);
  execFileSync('javac', ['-d', dir, join(dir, 'Hangs.java')]);
  const hangs = ['hook', 'exit-in-hook', 'pool', 'take'];
  const { scenarios } = await runPlan({
    defaults: { runs: 1, timeout: '3s', cwd: dir },
    scenarios: [
      ...hangs.map((name) => ({ name, command: ['java', '-cp', dir, 'Hangs', name] })),
      ...['-Xrs', '-XX:+DisableAttachMechanism'].map((option) => ({
        name: option,
        command: ['java', option, '-cp', dir, 'Hangs', 'take'],
      })),
    ],
  });
  const kinds = scenarios.map(({ failures: [failure] }) => `${failure?.kind?.id}: ${failure?.kind?.detail}`);
  const join_ =
    'join-at-exit: Java runs its shutdown hooks, at java\\.lang\\.Thread\\.join \\(Thread.java:\\d+\\), called in';
  const expected = [
    `^${join_} Hangs\\.main \\(Hangs\\.java:7\\), waits for thread "drain-hook" at Hangs\\.drain \\(Hangs\\.java:3\\)$`,
    `^${join_} java\\.lang\\.Shutdown\\.shutdown \\(.*\\), waits for thread "bad-hook" at java\\.lang\\.Shutdown\\.exit \\(.*\\), called in Hangs\\.lambda\\$main\\$0 \\(Hangs\\.java:8\\)$`,
    `^join-at-exit: Java's main has returned, waits for thread "uploads-of-invoices" at java\\.util\\..*LockSupport\\.park `,
    '^blocked: at java\\.util\\..*LockSupport\\.park \\(.*\\), called in Hangs\\.main \\(Hangs\\.java:10\\)$',
    '^blocked: at java\\.util\\..*LockSupport\\.park \\(.*\\), called in Hangs\\.main \\(Hangs\\.java:10\\)$',
    '^blocked: .*no Java frames: -XX:\\+DisableAttachMechanism is set$',
  ];
  for (const [i, pattern] of expected.entries()) {
    assert.match(
      kinds[i] ?? '',
      new RegExp(pattern),
      scenarios[i]?.failures[0]?.evidence.stacks ?? 'no stacks',
    );
  }
  // A JVM that is asked although nothing may attach prints its threads instead.
  assert.deepEqual(
    scenarios.map(({ failures: [failure] }) => failure?.evidence.stdout),
    scenarios.map(() => ''),
  );
  // What jcmd and the JVM made in order to talk.
  assert.deepEqual(
    readdirSync(dir).filter((name) => !/\.(?:java|class)$/.test(name)),
    [],
  );
});

test("Java's own threads do not count, and those of its programs do", {
  skip,
}, async () => {
  const dir = temporaryDirectory('java');
  const source = `public class Ends {
    public static void main(String[] words) throws Exception {
      if (words.length == 0) return;
      if (words[0].equals("exit")) System.exit(0);
      var thread = new Thread(() -> { try { Thread.sleep(60000); } catch (Exception e) {} }, "of-mine");
      thread.setDaemon(true);
      thread.start();
    }
  }`;
  writeFileSync(join(dir, 'Ends.java'), source);
  execFileSync('javac', ['-d', dir, join(dir, 'Ends.java')]);
  const ends = async (...words: string[]) =>
    (await run({ command: ['java', '-cp', dir, 'Ends', ...words], runs: 1, strict: true })).failures[0];
  assert.equal(await ends(), undefined);
  assert.equal(await ends('exit'), undefined);
  assert.deepEqual((await ends('thread'))?.outcome, { kind: 'threads-left', threads: 1 });
});

// As Java 17 and 21 write it.
const report = `#
Current thread (0x00007f0fec11a170):  JavaThread "release-native" [_thread_in_vm, id=101, stack(0x00007f,0x00007f)]

Java frames: (J=compiled Java code, j=interpreted, Vv=VM code)
j  jdk.internal.misc.Unsafe.putLong(Ljava/lang/Object;JJ)V+0 java.base@17.0.15
j  Leak$$Lambda$1+0x00007f0f6c000a08.run()V+4
J 123% c2 com.example.Leak.release(Lsun/misc/Unsafe;)V (25 bytes) @ 0x00007f [0x00007f+0x40]
v  ~StubRoutines::call_stub

Java Threads: ( => current thread )
  0x00007f0fec017ea0 JavaThread "DestroyJavaVM" [_thread_blocked, id=100, stack(0x00007f,0x00007f)]
=>0x00007f0fec11a170 JavaThread "release-native" [_thread_in_vm, id=101, stack(0x00007f,0x00007f)]
`;

test("the JVM's report of a crash names the program's method, and says whether its main had returned", () => {
  const tids = new Map([[101, 1101]]);
  const where = (text: string) => parseErrorReport(text, 'hs_err.log', tids).get(1101);
  assert.deepEqual(where(report), {
    ...{ name: 'release-native', frames: [] },
    instead:
      "Java was in com.example.Leak.release, after Java's main had returned: the JVM waited for its other threads, or ran its shutdown hooks (frames: hs_err.log)",
  });
  const running = report.replace('DestroyJavaVM', 'main');
  assert.equal(where(running)?.instead, 'Java was in com.example.Leak.release (frames: hs_err.log)');
  assert.equal(where(report.replaceAll('id=101', 'id=9')), undefined);
});

// Where it counts, it fails a third of the runs: it waits for a lock that the JVM keeps as it ends.
test('a thread that has run its last Java code does not count', { skip }, async () => {
  const dir = temporaryDirectory('java-ended');
  const source = `public class Hook {
    public static void main(String[] words) {
      Runtime.getRuntime().addShutdownHook(new Thread(() -> {}, "hook"));
    }
  }`;
  writeFileSync(join(dir, 'Hook.java'), source);
  execFileSync('javac', ['-d', dir, join(dir, 'Hook.java')]);
  const result = await run({ command: ['java', '-cp', dir, 'Hook'], runs: 20, strict: true });
  assert.deepEqual(
    result.failures.map(({ outcome }) => outcome),
    [],
  );
});

// The heads of threads as Java 8, 17 and 21 print them.
const dumps = `2026-01-01 00:00:00
Full thread dump OpenJDK 64-Bit Server VM (25.392-b08 mixed mode):

"of 8" #1 prio=5 os_prio=0 tid=0x00007f nid=0x65 waiting on condition [0x00007f]
   java.lang.Thread.State: TIMED_WAITING (sleeping)
	at java.lang.Thread.sleep(Native Method)
	at com.example.Main.main(Main.java:5)

"of 17" #12 daemon prio=5 os_prio=0 cpu=0.08ms elapsed=1.52s tid=0x00007f nid=0x66 in Object.wait()  [0x00007f]
   java.lang.Thread.State: WAITING (on object monitor)
	- waiting on <0x000000069ec1aa90> (a java.lang.Thread)
	at java.lang.Thread.join(java.base@17.0.15/Thread.java:1313)
	at Main$$Lambda$1/0x00007f4ee4000a08.run(Unknown Source)
	at kotlin.MainKt.a test(app//Main.kt:7)

"of "21"" #31 [103] prio=5 os_prio=0 cpu=0.08ms elapsed=1.52s tid=0x00007f nid=103 runnable  [0x00007f]
   java.lang.Thread.State: RUNNABLE
	at Main.main(Main.java:9)

"elsewhere" #32 prio=5 os_prio=0 cpu=0.08ms elapsed=1.52s tid=0x00007f nid=104 runnable  [0x00007f]
	at Main.main(Main.java:9)

"GC Thread#0" os_prio=0 cpu=0.05ms elapsed=1.57s tid=0x00007f4f64041650 nid=0x69 runnable
`;

test("jcmd's lists of threads are read as all versions of Java print them", () => {
  const threads = parseThreadDump(dumps, new Map([101, 102, 103, 105].map((tid) => [tid, tid + 1000])));
  assert.deepEqual(
    [...threads],
    [
      [1101, { name: 'of 8', frames: [{ name: 'com.example.Main.main', file: 'Main.java', line: 5 }] }],
      [
        1102,
        {
          ...{ name: 'of 17', daemon: true },
          frames: [
            { name: 'java.lang.Thread.join', file: 'Thread.java', line: 1313 },
            { name: 'kotlin.MainKt.a test', file: 'Main.kt', line: 7 },
          ],
        },
      ],
      [1103, { name: 'of "21"', frames: [{ name: 'Main.main', file: 'Main.java', line: 9 }] }],
    ],
  );
});
