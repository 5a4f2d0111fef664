import { accessSync, closeSync, constants, lstatSync, openSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { EnvironmentError, messageOf, UsageError } from '../errors.js';
import { writeAtomically } from '../files/atomic-write.js';

/**
 * Where text for a reader goes: standard output, or standard error if standard output carries a report for a machine.
 * @returns the stream, whether it may have colours, and its columns if they are known.
 */
export function readerStream(stdoutTaken: boolean): {
  stream: NodeJS.WriteStream;
  colour: boolean;
  columns: number | undefined;
} {
  const stream = stdoutTaken ? process.stderr : process.stdout;
  // If the output isn't a terminal, a shell that exports COLUMNS, or a test, sets the width.
  const columns = stream.columns || Number(process.env.COLUMNS) || undefined;
  return {
    stream,
    columns,
    colour: stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb',
  };
}

const printReport: typeof process.stdout.write = process.stdout.write.bind(process.stdout);

/** Resolves once all that was printed has been written. */
export async function allPrinted(): Promise<void> {
  const written = (stream: NodeJS.WriteStream, print: typeof stream.write): Promise<void> =>
    new Promise((resolve) => {
      if (stream.writable) print('', () => resolve());
      else resolve();
    });
  const { stdout, stderr } = process;
  await Promise.all([written(stdout, printReport), written(stderr, stderr.write.bind(stderr))]);
}

/**
 * From here on, only `writeOutput` prints to standard output. What a plan module prints goes to standard error.
 */
export function keepStdoutForReport(): void {
  process.stdout.write = process.stderr.write.bind(process.stderr);
}

/**
 * Writes an output file, whole or not at all; `-` is standard output.
 * @throws EnvironmentError when it can't be written.
 */
export async function writeOutput(file: string, text: string): Promise<void> {
  if (file === '-') {
    printReport(text);
    return;
  }
  // A device or a pipe can't be replaced by a new file, and a link must stay a link.
  const existing = lstatSync(file, { throwIfNoEntry: false });
  let reader: number | undefined;
  try {
    // Opening a pipe normally waits for a reader, and nothing could end that wait. Without blocking, it fails if there
    // is none.
    if (existing?.isFIFO()) reader = openSync(file, constants.O_WRONLY | constants.O_NONBLOCK);
    await (existing?.isFile() === false ? writeFile(file, text) : writeAtomically(file, text));
  } catch (error) {
    const unread = (error as NodeJS.ErrnoException).code === 'ENXIO';
    const problem = unread ? 'it is a pipe that nobody reads' : messageOf(error);
    throw new EnvironmentError(`can't write ${file}: ${problem}`, undefined, { cause: error });
  } finally {
    if (reader !== undefined) closeSync(reader);
  }
}

/**
 * Makes sure, before the work, that an output file can be written after the work.
 * @param option what the file was given to, such as `--json`.
 * @throws UsageError when it can't.
 */
export function checkWritable(file: string | undefined, option: string): void {
  if (file === undefined || file === '-') return;
  if (file === '')
    throw new UsageError(`${option} has an empty name`, 'give it a file, or - for standard output');
  const path = resolve(file);
  try {
    const existing = statSync(path, { throwIfNoEntry: false });
    if (existing?.isDirectory()) throw new Error('it is a directory');
    accessSync(existing === undefined || existing.isFile() ? dirname(path) : path, constants.W_OK);
    if (existing !== undefined) accessSync(path, constants.W_OK);
    if (!statSync(dirname(path)).isDirectory()) throw new Error(`${dirname(path)} is not a directory`);
  } catch (error) {
    const missing = ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
    throw new UsageError(
      `can't write ${file}: ${messageOf(error)}`,
      `give ${option} a file in a directory that ${missing ? 'exists' : 'you may write to'}`,
    );
  }
}
