import { existsSync, rmSync } from 'node:fs';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { EnvironmentError } from '../../errors.js';
import { findExecutable } from '../../process/executable.js';
import { linkOfProc, readProc } from '../../process/proc.js';
import { catches, innermostNumber, procFolder } from '../../process/processes.js';
import { runToEnd } from '../../process/run-to-end.js';
import { threadsOf } from '../kernel/system-calls.js';
import type { InterpretedFrame } from '../stack-trace.js';
import { NOTHING, type OwnThread, type OwnThreads, type Questioned } from './own-threads.js';

// It gives up by itself after 10 s if the JVM doesn't answer.
const JCMD_TIMEOUT_MS = 20_000;
const MOST_FRAMES = 64;

const NOT_ATTACHABLE = '-XX:+DisableAttachMechanism';

/**
 * The threads of a hung program of Java, from jcmd. Of a program that crashed, the one that died, from the JVM's own
 * report. Nothing if there is no JVM in the process. jcmd makes the JVM listen on a Unix socket, so a process is asked only before it is ended.
 */
export async function javaThreads({ pid, hung, stopped, signal }: Questioned): Promise<OwnThreads> {
  if (!/\/libjvm\.so$/m.test(readProc(`${procFolder(pid)}/maps`))) return NOTHING;
  const numbers = new Map(threadsOf(pid).map((tid) => [innermostNumber(pid, tid), tid]));
  if (!hung) return { threads: diedInJava(pid, numbers), problem: null };
  const none = (why: string): OwnThreads => ({ ...NOTHING, problem: `no Java frames: ${why}` });
  if (stopped) return none('a signal has stopped it');
  const jcmd = findJcmd(pid);
  if (jcmd === undefined) return none('jcmd, a tool of the JDK, is neither beside its Java nor in PATH');
  // A JVM that doesn't expect the signal by which jcmd asks would die, or print its threads to the program's output.
  if (!catches(pid, 'SIGQUIT') && !existsSync(socketOf(pid)))
    return none('it does not take SIGQUIT, by which jcmd asks');
  const options = [readProc(`/proc/${pid}/cmdline`), readProc(`/proc/${pid}/environ`)].join('\0');
  if (options.includes(NOT_ATTACHABLE)) return none(`${NOT_ATTACHABLE} is set`);
  const { text, problem } = await threadDump(jcmd, pid, signal);
  const threads = parseThreadDump(text, numbers);
  return threads.size > 0 ? { threads, problem: null } : none(problem);
}

/** The JVM writes its report before it dies: to the working directory, to /tmp, or where its options say. */
function diedInJava(pid: number, tids: ReadonlyMap<number, number>): OwnThreads['threads'] {
  const number = String(innermostNumber(pid, pid));
  const option = /(?:^|\0)-XX:ErrorFile=([^\0]*)/.exec(readProc(`/proc/${pid}/cmdline`))?.[1];
  const usual = `hs_err_pid${number}.log`;
  const named = option?.replaceAll('%p', number);
  const places = [
    ...(named === undefined ? [] : [`/proc/${pid}/${named.startsWith('/') ? 'root' : 'cwd'}/${named}`]),
    `/proc/${pid}/cwd/${usual}`,
    `/proc/${pid}/root/tmp/${usual}`,
  ];
  const path = places.find((place) => existsSync(place));
  return path === undefined ? new Map() : parseErrorReport(readProc(path), basename(path), tids);
}

// Current thread (0x00007f):  JavaThread "main" [_thread_in_vm, id=26016, stack(0x00007f,0x00007f)]
const DIED = /^Current thread \(0x[0-9a-f]+\): +\w*Thread "(.*)" .*?\bid=(\d+)/m;
const FRAMES = /^Java frames:[^\n]*\n((?:.+\n)*)/m;
// j  com.example.Main.main([Ljava/lang/String;)V+5   or   J 123% c2 com.example.Main.main(I)V (25 bytes) @ 0x00007f
const REPORTED = /^[jJ] +(?:\d+%? +(?:c[12] +)?)?([^\s(]+)\(/gm;

/**
 * The thread that died, in the report that the JVM writes. Its frames have no lines.
 * @param file the report's name.
 * @param tids the threads' numbers, by those that the JVM prints.
 */
export function parseErrorReport(
  text: string,
  file: string,
  tids: ReadonlyMap<number, number>,
): OwnThreads['threads'] {
  const [, name, id] = DIED.exec(text) ?? [];
  const tid = tids.get(Number(id));
  const frames = [...(FRAMES.exec(text)?.[1] ?? '').matchAll(REPORTED)].map(([, frame = '']) => frame);
  const own = frames.find((frame) => !OF_JAVA.test(frame)) ?? frames[0];
  if (name === undefined || tid === undefined || own === undefined) return new Map();
  // Other threads may still do the program's work then: Java exits only when they have ended.
  const returned = /^[ =]>?\s*0x[0-9a-f]+ JavaThread "DestroyJavaVM"/m.test(text);
  const after = returned
    ? ", after Java's main had returned: the JVM waited for its other threads, or ran its shutdown hooks"
    : '';
  return new Map([[tid, { name, frames: [], instead: `Java was in ${own}${after} (frames: ${file})` }]]);
}

/** Names of Java's own classes, and of those that it makes for lambdas. */
export const OF_JAVA = /^(?:java|javax|jdk|sun|com\.sun)\.|\$\$Lambda\b/;

/** Path of jcmd for a process. It is beside the program's own Java, in its JDK if that Java is a JDK's `jre`, or in `PATH`. */
function findJcmd(pid: number): string | undefined {
  const [called = ''] = readProc(`/proc/${pid}/cmdline`).split('\0');
  const program = dirname(linkOfProc(`/proc/${pid}/exe`) || '/');
  const folders = [
    ...(called.includes('/') ? [dirname(resolve(linkOfProc(`/proc/${pid}/cwd`) || '/', called))] : []),
    program,
    join(program, '../../bin'),
    process.env.PATH ?? '',
  ];
  return findExecutable('jcmd', process.cwd(), folders.join(delimiter)).path;
}

/** What a JVM listens on once it was asked, or with -Xrs from its start on. */
const socketOf = (pid: number): string => `/proc/${pid}/root/tmp/.java_pid${innermostNumber(pid, pid)}`;

async function threadDump(
  jcmd: string,
  pid: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly text: string; readonly problem: string }> {
  const inside = innermostNumber(pid, pid);
  const socket = socketOf(pid);
  // jcmd is a program of Java itself. It must not start with the options of the Java under test.
  const { JAVA_TOOL_OPTIONS: _tool, _JAVA_OPTIONS: _all, JDK_JAVA_OPTIONS: _jdk, ...env } = process.env;
  try {
    const ended = await runToEnd([jcmd, '-J-XX:-UsePerfData', String(pid), 'Thread.print'], {
      ...{ cwd: process.cwd(), env, timeoutMs: JCMD_TIMEOUT_MS, signal, keep: [2 * 1024 * 1024, 0] },
    });
    const words = ended.stderr.trim().split('\n', 1)[0] || 'it printed no thread';
    return { text: ended.stdout, problem: `jcmd could not ask it (${words.slice(0, LONGEST_WORDS)})` };
  } catch (error) {
    if (error instanceof EnvironmentError) return { text: '', problem: error.message };
    throw error;
  } finally {
    // What jcmd and the JVM leave where one of them is killed, as the JVM soon is.
    for (const file of [socket, `/proc/${pid}/cwd/.attach_pid${inside}`]) {
      try {
        rmSync(file, { force: true });
      } catch {} // it is another user's
    }
  }
}

const LONGEST_WORDS = 300;

// "main" #1 prio=5 os_prio=0 cpu=40.18ms elapsed=1.79s tid=0x00007f nid=0x1964 waiting on condition [0x00007f]
// From JDK 19 on, nid is decimal. Threads of the JVM itself, such as the garbage collector's, have no #.
const THREAD = /^"(.*)" #\d+ (.*\b)nid=(0x[0-9a-f]+|\d+)\b/;
// at java.util.concurrent.locks.LockSupport.park(java.base@17.0.15/LockSupport.java:211)
const FRAME = /^\s+at (?:[^\s(]*\/)?([^(/]+)\((?:[^()]*\/)?([^()/]+):(\d+)\)$/;

/**
 * The threads in what jcmd printed. Frames without a line of source are left out: native methods, and what the JVM generated.
 * @param tids the threads' numbers, by those that the JVM prints, which differ in a PID namespace.
 */
export function parseThreadDump(
  text: string,
  tids: ReadonlyMap<number, number>,
): ReadonlyMap<number, OwnThread> {
  const found = new Map<number, OwnThread>();
  let own: InterpretedFrame[] = [];
  for (const line of text.split('\n')) {
    const [, thread, words = '', nid] = THREAD.exec(line) ?? [];
    if (thread !== undefined) {
      own = [];
      const tid = tids.get(Number(nid));
      const daemon = /\bdaemon\b/.test(words);
      if (tid !== undefined) found.set(tid, { name: thread, frames: own, ...(daemon && { daemon }) });
      continue;
    }
    const [, name, file, number] = FRAME.exec(line) ?? [];
    if (name === undefined || file === undefined || own.length === MOST_FRAMES) continue;
    own.push({ name, file, line: Number(number) });
  }
  return found;
}
