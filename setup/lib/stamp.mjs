// @ts-check
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes `output` unless it was made from the same inputs before.
 * @param {string} output a file; `<output>.stamp` beside it holds the hash of its inputs
 * @param {{ files: string[], also?: string[] }} inputs `also`: other texts that matter, such as flags
 * @param {() => Promise<void>} make
 */
export async function unlessUpToDate(output, { files, also = [] }, make) {
  const stamp = `${output}.stamp`;
  const hash = hashOf(files, also);
  if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  mkdirSync(dirname(output), { recursive: true });
  await make();
  writeFileSync(stamp, hash);
}

/**
 * @param {string[]} files
 * @param {string[]} texts
 */
function hashOf(files, texts) {
  const hash = createHash('sha256');
  for (const part of [...files.map((file) => readFileSync(file)), ...texts]) {
    hash.update(`${part.length}:`).update(part);
  }
  return hash.digest('hex');
}
