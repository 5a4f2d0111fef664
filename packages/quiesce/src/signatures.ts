/** A known text that a runtime prints when it dies, and what it means. */
export interface Signature {
  /** Stable identifier, for reports and grouping. */
  readonly id: string;
  /** The likely kind of failure, as a short phrase. */
  readonly title: string;
  readonly pattern: RegExp;
}

/** A signature found in a program's output. */
export interface SignatureMatch {
  readonly id: string;
  readonly title: string;
  /** The line it was found on, at most 300 characters. */
  readonly line: string;
}

// The first that matches names the failure, so the particular stand before the general. Programs may print gigabytes, so
// each begins with some text that is searched for quickly; what has to stand before that is looked at behind it, and not
// without bounds.
const signatures: readonly Signature[] = [
  {
    id: 'python-gil',
    title: 'Python API called without the GIL or after finalization',
    pattern:
      /Fatal Python error: (?:PyGILState_|PyThreadState_|PyInterpreterState_|PyEval_|take_gil|drop_gil|_Py\w*TSTATE)|\bPyGILState_Release\b|\bPyThreadState_Get\b|the function must be called with the GIL held/,
  },
  { id: 'python-fatal', title: 'fatal Python error', pattern: /^Fatal Python error: /m },
  {
    id: 'napi-fatal',
    title: 'fatal error in a Node-API addon',
    pattern: /^FATAL ERROR: (?:\S+ )?(?:Error::\w+ )?napi_|^FATAL ERROR: \S*(?:Napi|napi_)\S*/m,
  },
  {
    id: 'v8-fatal',
    title: 'fatal error in V8',
    pattern:
      /^#?\s*Fatal error in |^FATAL ERROR: (?:v8::|.*(?:HandleScope|JavaScript heap out of memory|V8))/m,
  },
  {
    id: 'node-abort',
    title: 'Node aborted itself',
    pattern:
      /\bnode::(?:Abort|Assert)\b|\[\d+\]: (?:(?<=^ *#\s+\S{0,200}node\S{0,20}\[\d+\]: ).{0,300} at |(?<=^\S{0,200}node\S{0,20}\[\d+\]: ).{0,300}Assertion )/m,
  },
  { id: 'rust-panic', title: 'Rust panic', pattern: /^thread '[^'\n]*'(?: \(\d+\))? panicked at/m },
  {
    id: 'rust-abort',
    title: 'Rust runtime aborted',
    pattern: /^fatal runtime error: |^thread caused non-unwinding panic/m,
  },
  {
    id: 'cxx-terminate',
    title: 'C++ terminated',
    pattern: /^terminate called |^libc\+\+abi: |^pure virtual method called/m,
  },
  {
    id: 'forced-unwind',
    title: 'a thread was unwound through code that forbids it',
    pattern: /^FATAL: exception not rethrown/m,
  },
  {
    id: 'address-sanitizer',
    title: 'AddressSanitizer report',
    pattern: /\bERROR: (?:Hardware)?AddressSanitizer\b/i,
  },
  { id: 'thread-sanitizer', title: 'ThreadSanitizer report', pattern: /\bWARNING: ThreadSanitizer: / },
  { id: 'leak-sanitizer', title: 'LeakSanitizer report', pattern: /\bERROR: LeakSanitizer: / },
  { id: 'memory-sanitizer', title: 'MemorySanitizer report', pattern: /\bWARNING: MemorySanitizer: / },
  {
    id: 'undefined-behaviour',
    title: 'UndefinedBehaviorSanitizer report',
    pattern: /: runtime error: (?<=^\S{1,300}:\d+:\d+: runtime error: )|\bUndefinedBehaviorSanitizer\b/m,
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
      /\b(?:double free or corruption|corrupted size vs\. prev_size|corrupted double-linked list)|^(?:malloc|free|realloc|munmap_chunk|malloc_consolidate)\(\): /m,
  },
  {
    id: 'stack-smashing',
    title: 'stack corruption found by the C library',
    pattern: /^\*\*\* (?:stack smashing|buffer overflow) detected \*\*\*/m,
  },
  {
    id: 'assertion',
    title: 'C assertion failed',
    pattern: /: Assertion [`'](?<=^\S{1,200}: \S{1,200}:\d+: .{0,300}: Assertion [`']).{0,500}' failed\.?/m,
  },
  {
    id: 'deno-panic',
    title: 'Deno panicked',
    pattern: /^Deno has panicked\./m,
  },
  {
    id: 'bun-panic',
    title: 'Bun crashed',
    pattern: /\bBun has crashed\b|^panic(?:\([^)\n]*\))?: Segmentation fault/m,
  },
];

const OVERLAP = 400; // characters carried from one chunk to the next, so that no line's beginning is cut

/**
 * Looks for fatal signatures in a stream as it passes, so that one in the middle of a long output is found
 * though the output isn't kept.
 */
export class SignatureScanner {
  #carry = '';
  #best: { rank: number; match: SignatureMatch } | undefined;

  /** The most particular signature so far. */
  get match(): SignatureMatch | undefined {
    return this.#best?.match;
  }

  /** Scans what the stream produced next. */
  push(chunk: Buffer): void {
    const text = this.#carry + chunk.toString('latin1'); // the signatures are ASCII
    for (const [rank, { id, title, pattern }] of signatures.entries()) {
      if (this.#best !== undefined && rank >= this.#best.rank) break;
      const found = pattern.exec(text);
      if (found === null) continue;
      const start = text.lastIndexOf('\n', found.index - 1) + 1;
      const end = text.indexOf('\n', found.index + 1);
      const line = Buffer.from(text.slice(start, end < 0 ? undefined : end), 'latin1').toString('utf8');
      this.#best = { rank, match: { id, title, line: line.trim().slice(0, 300) } };
    }
    this.#carry = carryOver(text);
  }
}

// Cut at a line's start where there is one, or `^` would match in the middle of a line.
function carryOver(text: string): string {
  const tail = text.slice(-OVERLAP);
  const newline = tail.indexOf('\n');
  return tail.length === text.length || newline < 0 ? tail : tail.slice(newline);
}

/** The most particular signature in a text, if any. */
export function findSignature(text: string): SignatureMatch | undefined {
  const scanner = new SignatureScanner();
  scanner.push(Buffer.from(text));
  return scanner.match;
}
