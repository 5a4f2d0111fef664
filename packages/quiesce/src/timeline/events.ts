import { closeSync, openSync, readSync } from 'node:fs';
import { makeTemporaryFile } from '../files/temporary-file.js';

/** Events in a process under test, as the preload libraries record them. */
export type EventKind =
  /** The process began to run this program: `detail` is its file. */
  | 'start'
  /** The program reported "work done". */
  | 'done'
  /** A thread began; `detail` is the library that started it. */
  | 'begin'
  /** A thread ends; `detail` is `returned` or `pthread_exit`, `more` its name. */
  | 'end'
  /** The exit begins; `detail` is the function that was called, empty if `main` returned. */
  | 'exit'
  /** An exit handler or static destructor of the library `detail` runs, and has run. */
  | 'handler'
  | 'handled'
  /** The loader takes down the library `detail`, and has run its remaining destructors. */
  | 'finalize'
  | 'finalized'
  /** dlclose has unloaded the library `more`; `detail` is when it was called. */
  | 'unload'
  /** The Python interpreter finalizes. */
  | 'python'
  /** All exit handlers and destructors have run. */
  | 'through'
  /** The process dies from a signal: `detail` is its number, `more` the thread's name. */
  | 'crash'
  /** The exit amplifier holds this thread, and has released it. */
  | 'hold'
  | 'held'
  /** The exit amplifier delays the exiting thread, and has stopped delaying it. */
  | 'linger'
  | 'lingered';

/** One event. */
export interface ExitEvent {
  /** Microseconds of CLOCK_MONOTONIC. */
  readonly us: number;
  readonly pid: number;
  readonly tid: number;
  readonly kind: EventKind;
  readonly detail: string;
  readonly more: string;
}

const KINDS: ReadonlySet<string> = new Set<EventKind>([
  ...(['start', 'done', 'begin', 'end', 'exit', 'handler', 'handled', 'finalize', 'finalized'] as const),
  ...(['unload', 'python', 'through', 'crash', 'hold', 'held', 'linger', 'lingered'] as const),
]);

const SLOT_BYTES = 256;
const SLOTS = 4_096;
// Processes map the file. A process that touches a part for which the disk has no room dies, so the whole file is
// written first.
const EMPTY = Buffer.alloc(SLOT_BYTES * (SLOTS + 1));

/** The events of a run that could be read. */
export interface Events {
  /** In the order in which they were recorded. */
  readonly events: readonly ExitEvent[];
  /** How many of the first events are missing, because more came than the file holds. */
  readonly lost: number;
}

/** The file in which the events of a run are recorded. */
export interface EventFile {
  readonly file: string;
  /** Reads and removes the file. */
  take(): Events;
}

/**
 * Makes the file that `QUIESCE_TIMELINE` names; crates/preload/src/journal.rs describes it. It holds the last 4096 events.
 * @throws EnvironmentError when the temporary directory can't be written.
 */
export function createEventFile(): EventFile {
  const { path, remove } = makeTemporaryFile('quiesce-timeline', EMPTY);
  // Kept open: the program may remove the file, or replace it.
  const fd = openSync(path, 'r');
  let taken: Events | undefined;
  return {
    file: path,
    take() {
      if (taken !== undefined) return taken;
      try {
        const header = Buffer.alloc(8);
        readSync(fd, header, 0, 8, 0);
        const noted = Number(header.readBigUInt64LE());
        const slots = Buffer.alloc(Math.min(noted, SLOTS) * SLOT_BYTES);
        readSync(fd, slots, 0, slots.length, SLOT_BYTES);
        taken = parseEvents(slots, noted);
      } catch {
        taken = { events: [], lost: 0 };
      }
      closeSync(fd);
      remove();
      return taken;
    },
  };
}

/** Reads the slots of such a file, in any order. `noted` of them were written. */
export function parseEvents(slots: Buffer, noted: number): Events {
  const found: { readonly number: number; readonly event: ExitEvent }[] = [];
  for (let at = 0; at + SLOT_BYTES <= slots.length; at += SLOT_BYTES) {
    const number = Number(slots.readBigUInt64LE(at));
    const end = slots.indexOf('\n', at + 8);
    if (number === 0 || end === -1 || end >= at + SLOT_BYTES) continue; // one was being written at the end
    const event = parseEvent(slots.toString('utf8', at + 8, end));
    if (event !== undefined) found.push({ number, event });
  }
  found.sort((a, b) => a.number - b.number);
  return { events: found.map(({ event }) => event), lost: Math.max(0, noted - SLOTS) };
}

function parseEvent(line: string): ExitEvent | undefined {
  const [us = '', pid = '', tid = '', kind = '', detail = '', more = ''] = line.split('\t');
  const numbers = [us, pid, tid].map(Number);
  if (!numbers.every(Number.isSafeInteger) || !KINDS.has(kind)) return undefined;
  const [time = 0, process = 0, thread = 0] = numbers;
  return { us: time, pid: process, tid: thread, kind: kind as EventKind, detail, more };
}
