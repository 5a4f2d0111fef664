/** A known text that a runtime prints when it dies, and what it means. */
export interface Signature {
  /** Stable identifier, for reports and grouping. */
  readonly id: string;
  /** The likely kind of failure, as a short phrase. */
  readonly title: string;
  readonly pattern: RegExp;
  /** Whether the runtime prints it to stdout. All others print to stderr, and are searched for only there. */
  readonly onStdout?: true;
}

/** A signature found in a program's output. */
export interface SignatureMatch {
  readonly id: string;
  readonly title: string;
  /** The line that contained it, at most 300 characters. */
  readonly line: string;
}

/** For a signature that says no more than the signal that the process died from. */
export const FAULTHANDLER = 'python-faulthandler';

// Each pattern is a line as its runtime prints it, from its start and as far as it is always the same. What a program
// itself says about a crash, in a log line or a message, doesn't match. The first match names the failure, so special
// cases come before general ones. Programs may print gigabytes. So a pattern whose text begins with something variable
// starts with a fixed text that is searched for quickly, and examines what precedes it with a bounded lookbehind.
const signatures: readonly Signature[] = [
  {
    id: 'python-gil',
    title: 'Python API called without the GIL or after finalization',
    pattern:
      /^Fatal Python error: (?:(?:PyGILState_|PyThreadState_|PyInterpreterState_|PyEval_|take_gil|drop_gil|_Py\w*TSTATE)|.{0,100}(?:must be called with (?:the GIL held|an active thread state)|without holding the GIL))|Assertion `PyGILState_Check\(\)(?<=^\S{1,200}: \S{1,200}:\d+: .{0,300}: Assertion `PyGILState_Check\(\))|^ {2}what\(\): .{0,200}PyGILState_Check\(\) failure|^Critical nanobind error: .{0,300}GIL/m,
  },
  {
    id: 'stack-overflow',
    title: 'a thread ran out of stack',
    pattern:
      /^thread '[^'\n]{0,200}'(?: \(\d+\))? has overflowed its stack|^fatal runtime error: stack overflow|^Fatal Python error: .{0,60}Cannot recover from stack overflow/m,
  },
  // Excludes what faulthandler prints when nothing was fatal to Python. It takes these many characters to tell the lines apart.
  {
    id: 'python-fatal',
    title: 'fatal Python error',
    pattern: /^Fatal Python error: (?!Abor|Segm|Bus e|Bus $|Illeg|Float)(?:.{5}|.{1,4}\n)/m,
  },
  {
    id: 'napi-fatal',
    title: 'fatal error in a Node-API addon',
    pattern: /^FATAL ERROR: (?:\S+ )?(?:Error::\w+ )?napi_|^FATAL ERROR: \S*(?:Napi|napi_)\S*/m,
  },
  {
    id: 'out-of-memory',
    title: 'memory ran out',
    pattern:
      /^FATAL ERROR: .{0,300}(?:JavaScript heap out of memory|process out of memory)|^# Fatal JavaScript out of memory: |^memory allocation of \d+ bytes failed$/m,
  },
  {
    id: 'out-of-memory',
    title: 'memory ran out',
    pattern: /^(?:Aborting|Terminating) due to java\.lang\.OutOfMemoryError: /m,
    onStdout: true,
  },
  {
    id: 'v8-fatal',
    title: 'fatal error in V8',
    pattern:
      /^# Fatal error in (?:.{0,200}, line \d+|v8::)|^FATAL ERROR: (?:v8::|.{0,300}(?:HandleScope|V8))/m,
  },
  {
    id: 'node-abort',
    title: 'Node aborted itself',
    pattern:
      /^ *\d+: (?:0x[0-9a-f]+ )?node::(?:Abort|Assert)\b|\[\d+\]: (?:(?<=^ *#\s+\S{0,200}node\S{0,20}\[\d+\]: ).{0,300} at \S+:\d+|(?<=^\S{0,200}node\S{0,20}\[\d+\]: ).{0,300}Assertion `.{1,300}' failed)/m,
  },
  {
    id: 'rust-panic',
    title: 'Rust panic',
    pattern: /^thread '[^'\n]{0,200}'(?: \(\d+\))? panicked at (?:'|.{1,300}:\d+:\d+)/m,
  },
  {
    id: 'rust-foreign-exception',
    title: 'a foreign exception passed through Rust code',
    pattern: /^fatal runtime error: Rust cannot catch foreign exceptions/m,
  },
  {
    id: 'rust-abort',
    title: 'Rust runtime aborted',
    pattern:
      /^fatal runtime error: .{0,300}(?:panick|initiate panic|unwrap failed|assertion failed|I\/O error|thread|initialization|badly broken|, aborting$)|^thread caused non-unwinding panic\. aborting\./m,
  },
  {
    // A C++ exception has a type, which has a name. An exception without one was thrown by another language.
    id: 'forced-unwind',
    title: 'a thread was unwound through code that forbids it',
    pattern: /^FATAL: exception not rethrown|^terminate called after throwing an instance of ''/m,
  },
  {
    id: 'pure-virtual',
    title: 'a virtual method of an object that was being destroyed was called',
    pattern: /^pure virtual method called|^libc\+\+abi: Pure virtual function called/m,
  },
  {
    id: 'cxx-terminate',
    title: 'C++ terminated',
    pattern:
      /^terminate called (?:after throwing an instance of '|without an active exception|recursively)|^libc\+\+abi: (?:terminating|__cxa|unexpected)/m,
  },
  {
    id: 'qthread-destroyed',
    title: 'Qt found that a running thread was destroyed',
    pattern: /^QThread: Destroyed while thread (?:'.{0,200}' )?is still running/m,
  },
  {
    id: 'address-sanitizer',
    title: 'AddressSanitizer report',
    pattern: /^==\d+==\s?ERROR: (?:HW|Hardware)?AddressSanitizer: |^(?:HW)?AddressSanitizer:DEADLYSIGNAL/m,
  },
  {
    id: 'thread-sanitizer',
    title: 'ThreadSanitizer report',
    pattern: /^(?:==\d+==)?(?:WARNING|ERROR): ThreadSanitizer: |^FATAL: ThreadSanitizer: /m,
  },
  {
    id: 'leak-sanitizer',
    title: 'LeakSanitizer report',
    pattern: /^==\d+==ERROR: LeakSanitizer: /m,
  },
  {
    id: 'memory-sanitizer',
    title: 'MemorySanitizer report',
    pattern: /^==\d+==\s?(?:WARNING|ERROR): MemorySanitizer: /m,
  },
  {
    id: 'undefined-behaviour',
    title: 'UndefinedBehaviorSanitizer report',
    pattern:
      /: runtime error: (?<=^\S{1,300}:\d+:\d+: runtime error: )(?:(?:un)?signed integer overflow|division by zero|negation of|(?:left|right) shift|shift exponent|load of|store to|member (?:access|call)|reference binding|upcast|downcast|cast to|constructor call|null pointer|index |pointer |applying (?:non-)?zero offset|execution reached|variable length array|call to function|passing zero to|\S+ is outside the range|implicit conversion|addition of|subtraction of|assumption of|control flow integrity)|^==\d+==ERROR: UndefinedBehaviorSanitizer: |^SUMMARY: UndefinedBehaviorSanitizer: /m,
  },
  {
    id: 'valgrind',
    title: 'valgrind found an error',
    pattern:
      /^==\d+== (?:Invalid (?:read|write|free)|Mismatched free|Conditional jump or move depends|Use of uninitialised|Syscall param |Source and destination overlap|Process terminating with default action)/m,
  },
  {
    id: 'heap-corruption',
    title: 'heap corruption found by the allocator',
    pattern:
      /^(?:\*\*\* Error in `.{1,300}': )?(?:double free or corruption \((?:fasttop|top|out|!prev)\)|corrupted size vs\. prev_size|corrupted double-linked list|(?:malloc|calloc|free|realloc|sysmalloc|munmap_chunk|mremap_chunk|malloc_consolidate)\(\): (?:invalid|corrupted|unaligned|mismatching|unsorted|memory corruption|smallbin|largebin|double free|too many chunks|chunk size))/m,
  },
  {
    id: 'stack-smashing',
    title: 'stack corruption found by the C library',
    pattern: /^\*\*\* stack smashing detected \*\*\*/m,
  },
  {
    id: 'buffer-overflow',
    title: 'a write beyond a buffer, found by the C library (_FORTIFY_SOURCE)',
    pattern: /^\*\*\* buffer overflow detected \*\*\*/m,
  },
  {
    id: 'assertion',
    title: 'C assertion failed',
    pattern: /: Assertion [`'](?<=^\S{1,200}: \S{1,200}:\d+: .{0,300}: Assertion [`']).{0,500}' failed\.?/m,
  },
  {
    id: 'deno-panic',
    title: 'Deno panicked',
    pattern: /^Deno has panicked\. This is a bug in Deno\./m,
  },
  {
    id: 'bun-panic',
    title: 'Bun crashed',
    pattern:
      /^oh no: (?:multiple threads are crashing|Bun has crashed\.)|^panic(?:\([^)\n]{0,100}\))?: Segmentation fault/m,
  },
  {
    // pytest enables it. It prints this after whatever explains the signal.
    id: FAULTHANDLER,
    title: "a signal, as Python's faulthandler reported",
    pattern:
      /^Fatal Python error: (?:Aborted|Segmentation fault|Bus error|Illegal instruction|Floating[ -]point exception)/m,
  },
  {
    id: 'jvm-fatal',
    title: 'fatal error in the Java virtual machine',
    pattern: /^# A fatal error has been detected by the Java Runtime Environment:/m,
    onStdout: true,
  },
];

const OVERLAP = 400; // characters carried from one chunk to the next, so that the beginning of a line isn't cut off

/** A stream that a program writes to. */
export type OutputStream = 'stdout' | 'stderr';

interface Found {
  rank: number;
  signature: Signature;
  line: string;
  ended: boolean;
}

/**
 * Searches a stream for fatal signatures as it passes. So a signature in the middle of a long output is found, although
 * the output isn't kept.
 */
export class SignatureScanner {
  #carry = '';
  /** The signature with its line. The line may be printed in parts, as libstdc++ does. */
  #best: Found | undefined;
  readonly #signatures: readonly Signature[];

  constructor(stream: OutputStream = 'stderr') {
    this.#signatures = signatures.filter(({ onStdout }) => (onStdout ?? false) === (stream === 'stdout'));
  }

  /** The most specific signature so far. What came last counts as a line, even if its end is missing. */
  get match(): SignatureMatch | undefined {
    const best = this.#better(`${this.#carry}\n`);
    if (best === undefined) return undefined;
    const { signature, line } = best;
    const text = Buffer.from(line, 'latin1').toString('utf8').trim().slice(0, LONGEST_LINE);
    return { id: signature.id, title: signature.title, line: text };
  }

  /** Scans what the stream produced next. */
  push(chunk: Buffer): void {
    const more = withoutColours(chunk.toString('latin1')); // the signatures are ASCII
    if (this.#best?.ended === false) Object.assign(this.#best, lineUntilEnd(this.#best.line + more));
    const text = this.#carry + more;
    this.#best = this.#better(text);
    this.#carry = carryOver(text);
  }

  /** The most specific signature in the text, if it is more specific than the one so far. Otherwise that one. */
  #better(text: string): Found | undefined {
    let best = this.#best;
    for (const [rank, signature] of this.#signatures.entries()) {
      if (best !== undefined && rank >= best.rank) break;
      const found = signature.pattern.exec(text);
      if (found === null) continue;
      const start = text.lastIndexOf('\n', found.index - 1) + 1;
      // The end of a line may come before the end of the match.
      const head = text.slice(start, found.index + 1);
      const { line, ended } = lineUntilEnd(text.slice(found.index + 1));
      best = { rank, signature, line: head + line, ended };
    }
    return best;
  }
}

/** Bytes of a line; characters of the text that is kept of it. */
const MOST_OF_LINE = 4_096;
const LONGEST_LINE = 300;

function lineUntilEnd(text: string): { line: string; ended: boolean } {
  const end = text.indexOf('\n');
  const line = text.slice(0, Math.min(end < 0 ? text.length : end, MOST_OF_LINE));
  return { line, ended: end >= 0 || line.length === MOST_OF_LINE };
}

// Cut at the start of a line if there is one, or `^` would match in the middle of a line.
function carryOver(text: string): string {
  const tail = text.slice(-OVERLAP);
  const newline = tail.indexOf('\n');
  return tail.length === text.length || newline < 0 ? tail : tail.slice(newline);
}

/** Bun colours its output, wherever it goes. */
const withoutColours = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they begin with one
  text.includes('\x1b') ? text.replace(/\x1b\[[\d;]*m/g, '') : text;

/** The most specific signature in what was written to a stream, if there is one. */
export function findSignature(text: string, stream: OutputStream = 'stderr'): SignatureMatch | undefined {
  const scanner = new SignatureScanner(stream);
  scanner.push(Buffer.from(text));
  return scanner.match;
}
