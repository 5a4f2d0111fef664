/** One frame of a stack, innermost first. */
export interface StackFrame {
  /** Demangled name of the function; `null` without symbols. */
  readonly name: string | null;
  /**
   * File name of the library or program that holds the code, with the package in front where the name doesn't have it, such as
   * `zeromq/addon.node`; `null` for generated code.
   */
  readonly library: string | null;
  /** `file:line`, if the debug information has it. */
  readonly source: string | null;
}

/** A frame of code that a host interprets, or compiles at run time. Frames are listed innermost first. */
export interface InterpretedFrame {
  readonly name: string;
  readonly file: string;
  /** Line number, from 1. */
  readonly line: number;
}

/** One thread of a process, as a debugger saw it. */
export interface ThreadStack {
  readonly tid: number;
  readonly name: string;
  /** Its name in the program's own language, if the system has another one for it. */
  readonly ownName?: string;
  /** Whether it is the process's first thread. */
  readonly main: boolean;
  /** Whether it is the thread that died. */
  readonly faulting: boolean;
  /** For a hang: whether it used more CPU time than any other thread while the tester looked. */
  readonly busy?: boolean;
  /** For a hang: the number of the thread whose end it waits for, if it does and the number is known. */
  readonly joins?: number;
  /** For a hang: `ended` while others continued, as after `pthread_exit` in `main`, or `stopped` by a signal. */
  readonly halted?: 'ended' | 'stopped';
  readonly frames: readonly StackFrame[];
  /**
   * For a thread that died in its own handler of an earlier fatal signal, as the handlers of Bun and the JVM do: index of
   * the frame that the earlier signal interrupted. The frames before it are the handler's.
   */
  readonly faultedIn?: number;
  /** The same in the program's own language, if a tool for that language shows it. */
  readonly interpreted?: readonly InterpretedFrame[];
  /**
   * Why `interpreted` is missing, if the thread may run such code and a tool should have shown it, and what to do if
   * something can be done. Or what is known instead.
   */
  readonly notInterpreted?: string;
  /** For a hung program of Java: whether the program's end doesn't wait for the thread. */
  readonly daemon?: boolean;
  /** For a hang without `frames`, because no debugger may attach: whether it never ran while the tester looked. */
  readonly asleep?: boolean;
  /** For a hang without `frames`: the kernel function in which it waits, if the kernel reports it. */
  readonly channel?: string;
  /** For the main thread of a hang: the process's children, such as `4711 (sleep 60)`. */
  readonly children?: readonly string[];
  /**
   * For the main thread of a hang, if its process was forked, without an exec, from one with more threads: how many threads
   * beside the main one that has. They aren't in this process.
   */
  readonly forkedFrom?: number;
  /** For a hung Node: what keeps its event loop alive, such as `TCP server` or `timer x2`. */
  readonly keptAliveBy?: readonly string[];
}

/** A part of a process's memory that a file is mapped to, or that holds code generated while the process runs. */
export interface Mapping {
  readonly from: bigint;
  readonly to: bigint;
  /** '' for generated code, which is in no file. */
  readonly file: string;
}

/** The mappings of files and of generated code in a `/proc/<pid>/maps`. */
export function parseMappings(maps: string): Mapping[] {
  const lines = maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)$/gm);
  return [...lines].flatMap(([, from, to, access = '', name = '']) => {
    const generated = access.includes('x') && (name === '' || name.startsWith('[anon'));
    if (!generated && !/^(?:\/|\[vdso\])/.test(name)) return [];
    return { from: BigInt(`0x${from}`), to: BigInt(`0x${to}`), file: generated ? '' : name };
  });
}

/** Whether anything is mapped at an address, according to a `/proc/<pid>/maps`. */
export function isMapped(maps: string, address: bigint): boolean {
  return [...maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) /gm)].some(
    ([, from, to]) => BigInt(`0x${from}`) <= address && address < BigInt(`0x${to}`),
  );
}

// Thread 2 (Thread 0x7f68ac4 (LWP 123) "tokio-runtime-w"):   or   Thread 2 (LWP 123 "node"):
const THREAD = /^Thread \d+ \(.*?LWP (\d+)\)?(?: "(.*?)")?(?: \(Exiting\))?\):$/;
const HANDLE = /^Thread \d+ \(Thread 0x([0-9a-f]+) \(LWP (\d+)\)/gm;
// #1  0x00007f4 in std::thread::join (…) at lib.rs:12   or   #0  main () at a.c:3   or   … from /lib/libc.so.6
const FRAME = /^#\d+ +(?:(0x[0-9a-f]+) in )?(.*)$/;
/** The name of the frame between a handler and what it interrupted. */
export const HANDLER = '<signal handler called>';
/** That frame. */
export const HANDLER_FRAME: StackFrame = { name: HANDLER, library: null, source: null };
const LIBC = /^libc\b/;
const WITNESS = /^(?:lib)?exit[-_]witness\b/;
const AMPLIFIER = /^(?:lib)?exit[-_]amplifier\b/;

/**
 * The threads in the output of gdb's `thread apply all backtrace`: the faulting one first, then the main one. The
 * witness's frames are left out: its whole handler up to the signal, and the first frame of every thread. Of the
 * amplifier's, those stay that have the names of the functions it delays.
 * @param pid of the process, which is also the number of its main thread.
 * @param faultingTid number of the thread that died.
 */
export function parseStacks(
  text: string,
  pid: number,
  mappings: readonly Mapping[],
  faultingTid?: number,
): ThreadStack[] {
  const threads: { tid: number; name: string; frames: StackFrame[] }[] = [];
  for (const line of text.split('\n')) {
    const thread = THREAD.exec(line);
    if (thread !== null) {
      threads.push({ tid: Number(thread[1]), name: thread[2] ?? '', frames: [] });
      continue;
    }
    const frame = FRAME.exec(line);
    if (frame !== null) threads.at(-1)?.frames.push(parseFrame(frame[1], frame[2] ?? '', mappings));
  }
  const rank = ({ tid }: { tid: number }): number => (tid === faultingTid ? 0 : tid === pid ? 1 : 2);
  return threads
    .sort((a, b) => rank(a) - rank(b))
    .map(({ tid, name, frames }) => {
      const faulting = tid === faultingTid;
      const signal = frames.findIndex((frame) => frame.name === HANDLER);
      // The program's own handler may be below a function that the witness wraps, such as exit, or be called by it.
      const handler = frames[signal - 1];
      const caught =
        handler !== undefined &&
        isWitness(handler) &&
        frames.slice(0, signal).every((frame) => isTesters(frame) || LIBC.test(frame.library ?? 'libc'));
      const own = frames
        .slice(caught ? signal + 1 : 0)
        .filter((frame) => !isWitness(frame) && (frame.name !== null || !isTesters(frame)));
      return { tid, name, main: tid === pid, faulting, frames: own };
    });
}

/** The frames in the output of gdb's `backtrace` for a single thread. */
export const parseFrames = (text: string, mappings: readonly Mapping[]): StackFrame[] =>
  text.split('\n').flatMap((line) => {
    const frame = FRAME.exec(line);
    return frame === null ? [] : [parseFrame(frame[1], frame[2] ?? '', mappings)];
  });

/** Whether a library's file is named by a hash of its content, as in the caches of packages that unpack themselves. */
export const isHashed = (library: string): boolean => /^[0-9a-f]{32,}(?:[-.]|$)/.test(library);

/**
 * The name of a library: that of its file. Before an addon's comes the name of its package, unless it is part of the file's: half of
 * all addons are called `addon.node`, `binding.node` or the like.
 */
export function libraryName(path: string): string {
  const file = path.slice(path.lastIndexOf('/') + 1);
  const [, npm, python] = IN_PACKAGE.exec(path) ?? [];
  const owner = npm ?? python;
  if (owner === undefined || !ADDON.test(file) || NAMED_ENOUGH.test(file))
    return /[^/]+\/__init__\.[^/]*$/.exec(path)?.[0] ?? file;
  const letters = (text: string): string => text.toLowerCase().replace(/[^a-z\d]/g, '');
  const own = letters(owner.slice(owner.lastIndexOf('/') + 1));
  return letters(file).includes(own) ? file : `${owner}/${file}`;
}

/** The package in a path: one of npm or of Python, the innermost. A file may be directly in `site-packages`. */
const IN_PACKAGE = /^.*\/(?:node_modules\/((?:@[^/]+\/)?[^/]+)|(?:site|dist)-packages\/([^/]+))\//;
const ADDON = /\.(?:node|pyd|so|dylib)$/;
/** A shared library has a name of its own, and so do the tester's. */
const NAMED_ENOUGH = /^(?:lib|exit[-_](?:amplifier|witness))/;

/** The threads' numbers in the same output, by their `pthread_t`, the number that the threads library uses. */
export const parseHandles = (text: string): Map<bigint, number> =>
  new Map([...text.matchAll(HANDLE)].map(([, handle, tid]) => [BigInt(`0x${handle}`), Number(tid)]));

const isWitness = ({ library }: StackFrame): boolean => library !== null && WITNESS.test(library);

const isTesters = (frame: StackFrame): boolean =>
  isWitness(frame) || (frame.library !== null && AMPLIFIER.test(frame.library));

function parseFrame(address: string | undefined, text: string, mappings: readonly Mapping[]): StackFrame {
  if (text === HANDLER) return HANDLER_FRAME;
  const source = / at (\S+:\d+)$/.exec(text)?.[1] ?? null;
  const from = / from (\S.*)$/.exec(text)?.[1];
  const name = text
    .replace(/ (?:at|from) \S.*$/, '')
    .replace(/ \((?:\.\.\.|[\w.:]*(?:=\.\.\.)?(?:, [\w.:]*(?:=\.\.\.)?)*)\)$/, '')
    .trim();
  const known = name !== '' && name !== '??' && name !== '?? ()';
  const file = from ?? (address === undefined ? undefined : mappedFile(BigInt(address), mappings));
  if (file === '') return { name: known ? withoutHash(name) : GENERATED, library: null, source };
  return {
    name: known ? withoutHash(name) : null,
    library: file === undefined ? null : libraryName(file),
    source,
  };
}

function mappedFile(address: bigint, mappings: readonly Mapping[]): string | undefined {
  return mappings.find(({ from, to }) => from <= address && address < to)?.file;
}

/**
 * The path in a Rust symbol of the newer mangling, which gdb before 11 shows undecoded: identifiers, each after its
 * length, including those of generic arguments.
 */
function withoutRustMangling(name: string): string {
  if (!/^_R[A-Z]/.test(name)) return name;
  const path: string[] = [];
  for (let at = 2; at < name.length; ) {
    // A base-62 number distinguishes crates, closures and the like: s..._
    const [skipped = '', digits] = /^(?:[sB][0-9a-zA-Z]*_|[^\d])*?(?:(\d+)_?|$)/.exec(name.slice(at)) ?? [];
    if (digits === undefined) break;
    at += skipped.length;
    path.push(name.slice(at, at + Number(digits)));
    at += Number(digits);
  }
  return path.length === 0 ? name : path.join('::');
}

/**
 * A Rust symbol has hashes that mean nothing to a reader: a legacy symbol has one at its end, a v0 symbol one after
 * each crate's name.
 */
const withoutHash = (name: string): string =>
  withoutRustMangling(name)
    .replace(/::h[0-9a-f]{16}\b/, '')
    .replace(/(?<=\w)\[[0-9a-f]{8,16}\]/g, '');

/** Names for code that JavaScript and other languages are compiled to while they run. */
const GENERATED = '[JIT code]';

const MOST_FRAMES = 40;
/** Longest line, in characters, so that the library after the name is in every excerpt. */
const LONGEST_NAME = 180;
const LONGEST_PLACE = 80;

/** Threads for a reader. */
export function formatStacks(threads: readonly ThreadStack[]): string {
  return threads.map(formatThread).join('\n');
}

function formatThread(thread: ThreadStack): string {
  const { tid, ownName, main, faulting, busy, halted, frames } = thread;
  const name = ownName ?? thread.name;
  const marks = [main && 'main', faulting && 'died here', busy && 'burns CPU', halted]
    .filter(Boolean)
    .join(', ');
  const head = `thread ${tid} ${JSON.stringify(name)}${marks === '' ? '' : ` (${marks})`}`;
  const lines = folded(frames);
  const shown = lines
    .slice(0, MOST_FRAMES)
    .map(({ frame, times }) => `  ${formatFrame(frame)}${times > 1 ? `  x${times}` : ''}`);
  const left = lines.slice(MOST_FRAMES).reduce((sum, { times }) => sum + times, 0);
  const more = left > 0 ? [`  and ${left} more frames`] : [];
  // First, since the reader knows this code, and a report may have room for the first lines only.
  return [head, ...formatInterpreted(thread), ...shown, ...more].join('\n');
}

/** What a thread ran in its program's own language, or why that isn't known. */
export function formatInterpreted({
  interpreted = [],
  notInterpreted,
  keptAliveBy = [],
}: Pick<ThreadStack, 'interpreted' | 'notInterpreted' | 'keptAliveBy'>): string[] {
  const lines = interpreted
    .slice(0, MOST_FRAMES)
    .map(({ name, file, line }) => `    ${name} (${file}:${line})`);
  return [
    ...(lines.length === 0 ? [] : ['  in the program:', ...lines]),
    ...(notInterpreted === undefined ? [] : [`  (${notInterpreted})`]),
    ...(keptAliveBy.length === 0 ? [] : [`  its event loop is kept alive by: ${keptAliveBy.join(', ')}`]),
  ];
}

function formatFrame({ name, library, source }: StackFrame): string {
  const room = LONGEST_PLACE - (library === null ? 0 : Math.min(library.length, LONGEST_PLACE / 2) + 2);
  const place = source !== null && source.length > room ? `...${source.slice(3 - room)}` : source;
  const end = [library, place].filter((part) => part !== null).join(', ');
  const function_ = name ?? '??';
  const start = function_.length > LONGEST_NAME ? `${function_.slice(0, LONGEST_NAME - 3)}...` : function_;
  return `${start}${end === '' ? '' : `  [${end}]`}`;
}

/**
 * Successive frames that look alike, as one: frames without symbols, or a recursion. `first` is the number of the first
 * of them.
 */
export function folded(frames: readonly StackFrame[]): { frame: StackFrame; first: number; times: number }[] {
  const result: { frame: StackFrame; first: number; times: number }[] = [];
  for (const [first, frame] of frames.entries()) {
    const last = result.at(-1);
    if (last !== undefined && formatFrame(last.frame) === formatFrame(frame)) last.times++;
    else result.push({ frame, first, times: 1 });
  }
  return result;
}
