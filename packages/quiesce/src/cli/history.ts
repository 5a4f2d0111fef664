import { UsageError } from '../errors.js';
import { nameMatcher } from '../glob.js';
import { HISTORY_FILE, type HistoryEntry, readHistory } from '../history/history.js';
import { historyReport } from '../report/history.js';
import { append, positiveInteger } from './arguments.js';
import { readerStream, writeOutput } from './output.js';
import type { Subcommand } from './subcommand.js';
import { EXIT } from './subcommand.js';

interface HistoryFlags {
  readonly only?: string[];
  readonly last: number;
  readonly json?: boolean;
}

/** `quiesce history`. */
export const history: Subcommand = {
  name: 'history',
  define: (command, finish) =>
    command
      .description('plot the failure rates that quiesce run --history recorded')
      .argument('[file]', 'the history, a file of JSON lines', HISTORY_FILE)
      .option('--only <name>', 'only scenarios of this name or pattern (repeatable)', append)
      .option('--last <n>', 'only the last n sessions of each scenario', positiveInteger, 30)
      .option('--json', 'write the entries as JSON to standard output, and no plot')
      .allowExcessArguments(false)
      .action(async (file: string, flags: HistoryFlags) => {
        await show(file, flags);
        finish(EXIT.ok);
      }),
};

async function show(file: string, { only = [], last, json }: HistoryFlags): Promise<void> {
  const all = await readHistory(file);
  if (all.length === 0) throw new UsageError(`${file} is empty`, 'quiesce run --history adds to it');
  const names = [...new Set(all.map(({ scenario }) => scenario))];
  const patterns = only.map((wanted) => nameMatcher(wanted, names));
  const chosen = only.length === 0 ? all : all.filter((entry) => patterns.some((is) => is(entry.scenario)));
  if (chosen.length === 0)
    throw new UsageError(`${file} has no such scenario`, `it has: ${names.join(', ')}`);
  const entries = newest(chosen, last);
  if (json) return await writeOutput('-', `${JSON.stringify(entries, null, 2)}\n`);
  const { stream, colour, columns } = readerStream(false);
  stream.write(historyReport(entries, colour, columns));
}

/** The newest `last` entries of each scenario, in their order. */
function newest(entries: readonly HistoryEntry[], last: number): HistoryEntry[] {
  const seen = new Map<string, number>();
  return entries
    .toReversed()
    .filter(({ scenario, perturbed }) => {
      const key = `${scenario}|${perturbed}`;
      const count = (seen.get(key) ?? 0) + 1;
      seen.set(key, count);
      return count <= last;
    })
    .reverse();
}
