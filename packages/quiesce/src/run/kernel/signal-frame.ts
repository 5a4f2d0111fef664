// Where a thread was when a signal interrupted it. A host such as Bun catches the signal of a fault, prints a report, and
// sends the signal again. A debugger then sees that second signal, and can't pass the host's own frames, which have no
// unwind information, to those of the fault. But below its handler the stack has what the kernel saved for it.
import { readProc } from '../../process/proc.js';
import { procFolder } from '../../process/processes.js';
import { signalName } from '../../process/signal-names.js';
import { WATCHED_SIGNALS } from '../witness.js';
import { memoryOf } from './memory.js';

/** The registers of interrupted code, by the names that gdb has for them. */
export type Registers = ReadonlyMap<string, bigint>;

/** In the order in which the kernel saves them. */
const SAVED = 'r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip'.split(' ');

// The kernel's frame of a signal on x64: the address of the code that ends the handler, the context, the signal's
// information.
const CONTEXT = 8;
const LINK = CONTEXT + 8;
const REGISTERS = CONTEXT + 40;
const SEGMENT = REGISTERS + 18 * 8;
const TRAP = REGISTERS + 20 * 8;
const TRAPS = 32n;
const INFORMATION = CONTEXT + 304;
const FRAME = INFORMATION + 4;
/** The code segment of 64-bit programs. */
const CODE = 0x33;
/** `mov $15, %rax` or `mov $15, %eax`, and `syscall`: the end of a handler. */
const RETURNS = /^(?:48c7c0|b8)0f0000000f05/;
const LONGEST_RETURN = 9;
const MOST_STACK = 4 * 1024 * 1024;

/**
 * The registers of the code that the first of several signals interrupted, while the last one is handled; `undefined` if
 * there was only one, or this isn't Linux on x64.
 * @param pid of a process that has stopped in the witness's handler.
 */
export function firstInterrupted(pid: number, tid: number): Registers | undefined {
  if (process.arch !== 'x64' || process.platform !== 'linux') return undefined;
  // 234 0x1 ... 0x7ffd 0x7f81, or -1 0x7ffd 0x7f81: the last two are the stack pointer and the address of the code.
  const pointer = / (0x[0-9a-f]+) 0x[0-9a-f]+\s*$/.exec(readProc(`/proc/${pid}/task/${tid}/syscall`))?.[1];
  const found: Registers[] = [];
  for (let next = pointer === undefined ? undefined : BigInt(pointer), stacks = 0; next !== undefined; ) {
    const stack = stackFrom(pid, next);
    found.push(...framesIn(pid, stack.bytes));
    // A handler may run on a stack of its own.
    const below: bigint | undefined = found.at(-1)?.get('rsp');
    const isElsewhere = below !== undefined && (below < stack.from || below >= stack.to);
    next = isElsewhere && ++stacks < MOST_STACKS ? below : undefined;
  }
  return found.length > 1 ? found.at(-1) : undefined;
}

/** The thread's own stack, and those of handlers. */
const MOST_STACKS = 3;

/** The registers in each of the kernel's frames of fatal signals, innermost first. */
function framesIn(pid: number, stack: Buffer): Registers[] {
  const found: Registers[] = [];
  for (let at = 0; at + FRAME <= stack.length; at += 8) {
    if (stack.readUInt16LE(at + SEGMENT) !== CODE || stack.readBigUInt64LE(at + LINK) !== 0n) continue;
    if (!isFatal(stack.readInt32LE(at + INFORMATION), stack.readBigUInt64LE(at + TRAP))) continue;
    if (!RETURNS.test(memoryOf(pid, stack.readBigUInt64LE(at), LONGEST_RETURN).toString('hex'))) continue;
    found.push(new Map(SAVED.map((name, i) => [name, stack.readBigUInt64LE(at + REGISTERS + i * 8)])));
  }
  return found;
}

/**
 * Whether a frame is that of a fatal signal. A handler that doesn't ask for the signal's information gets none. Then the
 * number of the processor's last trap says that there was a fault; that of a division by zero is 0, as if there was none.
 */
function isFatal(number: number, trap: bigint): boolean {
  const signal = signalName(number);
  return signal === undefined ? trap > 0n && trap < TRAPS : WATCHED_SIGNALS.has(signal);
}

/** What is on a stack from an address on, and the mapping that it is in. */
function stackFrom(pid: number, pointer: bigint): { bytes: Buffer; from: bigint; to: bigint } {
  const start = pointer & ~7n;
  for (const [, first, last] of readProc(`${procFolder(pid)}/maps`).matchAll(/^([0-9a-f]+)-([0-9a-f]+) /gm)) {
    const [from, to] = [BigInt(`0x${first}`), BigInt(`0x${last}`)];
    if (from > start || start >= to) continue;
    return { from, to, bytes: memoryOf(pid, start, Math.min(Number(to - start), MOST_STACK)) };
  }
  return { from: start, to: start, bytes: Buffer.alloc(0) };
}

/** Commands for gdb that show the stack of a thread as it was with these registers, and leave the thread as it is. */
export function backtraceFrom(registers: Registers): string[] {
  const all = [...registers];
  return [
    ...all.map(([name]) => `set $was_${name} = $${name}`),
    ...all.map(([name, value]) => `set $${name} = ${value}`),
    'backtrace 64',
    ...all.map(([name]) => `set $${name} = $was_${name}`),
  ];
}
