import { readFileSync } from 'node:fs';
import { makeTemporaryFile } from '../files/temporary-file.js';

/** What the exit amplifier did in one run, over all processes it was loaded into. */
export interface AmplifierReport {
  /**
   * Number of processes it was loaded into. 0 means that nothing was amplified, for example because the program is
   * statically linked.
   */
  readonly processes: number;
  /** Holds of background threads, and their total length, in processes that ended by themselves. */
  readonly holds: number;
  readonly heldMs: number;
  /** Delays of the exit, and their total length, in processes that ended by themselves. */
  readonly lingers: number;
  readonly lingeredMs: number;
}

/** Where the amplifier writes during a run. */
export interface ReportFile {
  readonly file: string;
  /** Reads and removes the file. `null` if it isn't known what the amplifier did. */
  take(): AmplifierReport | null;
}

/**
 * Makes the file that the amplifier reports to.
 * @throws EnvironmentError when the temporary directory can't be written.
 */
export function createReport(): ReportFile {
  // A line without meaning. It makes sure that there is room for one: otherwise it would seem that nothing was
  // amplified.
  const { path, remove } = makeTemporaryFile('quiesce-amplifier', '\n');
  return {
    file: path,
    take() {
      try {
        return parseReport(readFileSync(path, 'latin1'));
      } catch {
        return null; // the program removed it
      } finally {
        remove();
      }
    },
  };
}

/**
 * Reads the lines that crates/exit-amplifier/src/report.rs writes. `null` if it isn't known what was done: the
 * amplifier was loaded, but no process reached the end, where it reports. A killed process doesn't reach it.
 */
export function parseReport(text: string): AmplifierReport | null {
  const processes = new Set<string>();
  let reported = false;
  const sums = [0, 0, 0, 0];
  for (const line of text.split('\n')) {
    const [word, pid = '', ...numbers] = line.split(' ');
    if (word === 'loaded') processes.add(pid);
    if (word !== 'ended') continue;
    reported = true;
    for (const [i, number] of numbers.entries()) sums[i] = (sums[i] ?? 0) + Number(number);
  }
  if (processes.size > 0 && !reported) return null;
  const [holds = 0, heldUs = 0, lingers = 0, lingeredUs = 0] = sums;
  return {
    processes: processes.size,
    holds,
    heldMs: heldUs / 1_000,
    lingers,
    lingeredMs: lingeredUs / 1_000,
  };
}
