import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const guide = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..', '..', 'docs', 'guide');

/**
 * The rows of the first table below a heading of docs/guide/coming-from.md: the other client's API, and this client's.
 */
export function rowsOf(heading: string): [theirs: string, ours: string][] {
  const page = readFileSync(join(guide, 'coming-from.md'), 'utf8');
  const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0];
  if (section === undefined) throw new Error(`coming-from.md has no heading "${heading}"`);
  const rows = section.split('\n').filter((line) => line.startsWith('| '));
  return rows.slice(2).map((row) => {
    const [theirs = '', ours = ''] = row.split(/(?<!\\)\|/).slice(1);
    return [theirs.trim(), ours.trim()];
  });
}
