import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findUpwards } from './find-upwards.js';

/** Where setup/provide/pythons.mjs writes down what it found. */
const RECORD = join('.cache', 'pythons', 'binaries.json');

/** The CPythons of this machine, by names such as `python3.11`, oldest first; none before set-up has looked for them. */
export function pythonBinaries(): Readonly<Record<string, string>> {
  const record = findUpwards(RECORD);
  return record === undefined ? {} : JSON.parse(readFileSync(record, 'utf8'));
}
