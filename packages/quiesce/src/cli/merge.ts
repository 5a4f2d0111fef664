import { mergeReports, type NamedReport } from '../merge/merge.js';
import { letDown } from '../results/result.js';
import { readReport } from '../results/saved-report.js';
import { checkReports, type ReportFlags, reportOptions, writeReports } from './reports.js';
import type { Subcommand } from './subcommand.js';
import { EXIT } from './subcommand.js';

const HELP = `
It also turns a single JSON report into the other kinds.

Exit codes:
  0  every run ended as expected
  1  some did not
  2  wrong usage, or reports that don't match
  3  runs are missing: those of a shard, or those that a failed service or an interrupt prevented`;

/** `quiesce merge`. */
export const merge: Subcommand = {
  name: 'merge',
  define: (command, finish) => {
    command
      .description('count the runs of several JSON reports as one, such as those of shards')
      .argument('<files...>', 'reports that quiesce run --json wrote');
    reportOptions(command)
      .addHelpText('after', HELP)
      .action(async (files: string[], flags: ReportFlags) => finish(await mergeFiles(files, flags)));
  },
};

async function mergeFiles(files: readonly string[], flags: ReportFlags): Promise<number> {
  checkReports(flags);
  const reports: NamedReport[] = [];
  for (const name of files) reports.push({ name, report: await readReport(name) });
  const result = mergeReports(reports);
  await writeReports(result, flags);
  if (letDown(result)) return EXIT.environment;
  return result.ok ? EXIT.ok : EXIT.unexpected;
}
