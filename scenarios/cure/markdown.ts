// docs/measurements/cure.md, and the table at the end of a run.
import {
  type Addon,
  type AddonHost,
  addonHosts,
  addons,
  endingsOf,
  type Language,
  versionOf,
} from './addons.js';
import type { Mode } from './cells.js';
import { atOnce, type Speed } from './speed.js';
import { bound, type CellSummary, type Counted, type CureSummary, faults, total } from './summary.js';

const percent = (rate: number): string => `${(Math.ceil(rate * 10_000) / 100).toFixed(2)} %`;
const us = (value: number): string => `${value < 100 ? value.toFixed(1) : Math.round(value)} µs`;
const grouped = (value: number): string => Math.round(value).toLocaleString('en-US');

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = head.map((title, i) =>
    Math.max(3, ...[title, ...rows.map((row) => row[i] ?? '')].map((cell) => [...cell].length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, i) => (cells[i] ?? '').padEnd(width)).join(' | ')} |`;
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
};

/** `19 of 30`, or nothing if there were no runs. */
const failures = (counted: Counted): string =>
  counted.runs === 0 ? '' : `${counted.failed} of ${counted.runs}`;

/** How many left a thread, among those that otherwise ended as they should have. */
const leftThreads = (cells: readonly CellSummary[], language: Language): string => {
  const strict = cells.filter(({ ending }) => !endingsOf(language)[ending]?.leavesThreads);
  const { threadsLeft, failed, runs } = total(strict);
  return runs === 0 ? '' : `${threadsLeft} of ${runs - failed}`;
};

const endsText = ({ ends }: Counted): string =>
  Object.entries(ends)
    .sort(([, a], [, b]) => b - a)
    .map(([end, count]) => `${count} ${end}`)
    .join(', ');

const languages: readonly Language[] = ['Python', 'JavaScript'];

const of = (cells: readonly CellSummary[], addon: Addon, mode?: Mode): CellSummary[] =>
  cells.filter((cell) => cell.addon === addon.name && (mode === undefined || cell.mode === mode));

/** The addons of one language that have runs. */
const addonsOf = (cells: readonly CellSummary[], language: Language): Addon[] =>
  addons.filter((addon) => addon.language === language && of(cells, addon).length > 0);

function byAddon(cells: readonly CellSummary[]): string {
  return table(
    ['addon on', 'plain', 'left threads', 'amplified', 'amplified, rate', 'amplified, how'],
    languages.flatMap((language) =>
      addonsOf(cells, language).map((addon) => {
        const amplified = total(of(cells, addon, 'amplified'));
        const plain = of(cells, addon, 'plain');
        return [
          addon.control ? addon.name : `**${addon.name}**`,
          failures(total(plain)),
          leftThreads(plain, language),
          failures(amplified),
          amplified.runs === 0 || addon.control ? '' : `below ${percent(bound(amplified))}`,
          endsText(amplified),
        ];
      }),
    ),
  );
}

function byEnding(cells: readonly CellSummary[], language: Language): string {
  const present = addonsOf(cells, language);
  const ours = present.filter(({ control }) => !control);
  const controls = present.filter(({ control }) => control);
  const names = Object.keys(endingsOf(language)).filter((ending) =>
    cells.some((cell) => cell.ending === ending),
  );
  const some = (among: readonly Addon[], ending: string, mode: Mode): CellSummary[] =>
    among.flatMap((addon) => of(cells, addon, mode)).filter((cell) => cell.ending === ending);
  const ourName = ours[0]?.name ?? 'ours';
  return table(
    [
      'ending',
      ...controls.flatMap(({ name }) => [`${name}: plain`, 'amplified']),
      ...(ours.length === 0 ? [] : [`**${ourName}**: plain`, 'left threads', 'amplified', 'rate']),
    ],
    names.map((ending) => {
      const amplified = total(some(ours, ending, 'amplified'));
      return [
        ending,
        ...controls.flatMap((addon) =>
          (['plain', 'amplified'] as const).map((mode) => failures(total(some([addon], ending, mode)))),
        ),
        ...(ours.length === 0
          ? []
          : [
              failures(total(some(ours, ending, 'plain'))),
              leftThreads(some(ours, ending, 'plain'), language),
              failures(amplified),
              amplified.runs === 0 ? '' : `below ${percent(bound(amplified))}`,
            ]),
      ];
    }),
  );
}

function byHost(cells: readonly CellSummary[], hosts: readonly AddonHost[], language: Language): string {
  const present = addonsOf(cells, language);
  return table(
    [
      'host',
      ...present.flatMap(({ name, control }) => [`${control ? name : `**${name}**`}: plain`, 'amplified']),
    ],
    hosts
      .filter(({ name }) => cells.some((cell) => cell.host === name && cell.language === language))
      .map((host) => [
        `${host.name} (${versionOf(host)})`,
        ...present.flatMap((addon) =>
          (['plain', 'amplified'] as const).map((mode) =>
            failures(total(of(cells, addon, mode).filter((cell) => cell.host === host.name))),
          ),
        ),
      ]),
  );
}

function faultTable(some: readonly CellSummary[]): string {
  return table(
    ['cell', 'failed', 'how', 'left threads'],
    some.map((cell) => [
      [cell.addon, cell.host, cell.ending, cell.mode].join(' / '),
      failures(cell),
      endsText(cell),
      String(cell.threadsLeft),
    ]),
  );
}

/** Speeds as a table, with a row for each host and concurrency. */
export function speedTable(speeds: readonly Speed[]): string {
  const hosts = [...new Set(speeds.map(({ host }) => host))];
  const cell = (host: string, many: number, control: boolean): string[] => {
    const speed = speeds.find(
      (each) => each.host === host && each.atOnce === many && each.control === control,
    );
    return speed === undefined ? ['', '', ''] : [grouped(speed.perSecond), us(speed.wallUs), us(speed.cpuUs)];
  };
  return table(
    ['host, at once', 'control: per second', 'each', 'CPU', '**ours**: per second', 'each', 'CPU'],
    hosts.flatMap((host) =>
      atOnce.map((many) => [
        `${host}, ${grouped(many)}`,
        ...cell(host, many, true),
        ...cell(host, many, false),
      ]),
    ),
  );
}

/** The summary at the end of a run, for a terminal. */
export function cureLines(summary: CureSummary): string {
  const bad = faults(summary);
  return [
    byAddon(summary.cells),
    ...languages.flatMap((language) =>
      summary.cells.some((cell) => cell.language === language) ? [byEnding(summary.cells, language)] : [],
    ),
    ...(bad.length === 0 ? [] : [`Ours failed:\n${faultTable(bad)}`]),
    ...summary.serviceFailures.map(({ service, message }) => `The service ${service} failed: ${message}`),
  ].join('\n\n');
}

const endingTable = (language: Language): string =>
  table(
    ['ending', 'what the program does'],
    Object.entries(endingsOf(language)).map(([ending, { means }]) => [ending, means]),
  );

/** Where and when it was measured. */
export interface Measurement {
  readonly commit: string;
  readonly cores: number;
  readonly command: string;
}

/** The whole text of docs/measurements/cure.md. */
export function cureMarkdown(
  summary: CureSummary,
  speeds: readonly Speed[],
  { commit, cores, command }: Measurement,
): string {
  const { cells } = summary;
  const hosts = addonHosts();
  const bad = faults(summary);
  const minutes = Math.round(summary.durationMs / 60_000);
  const ours = total(cells.filter(({ control, mode }) => !control && mode === 'amplified'));
  const parts = [
    '# The cure, measured',
    '<!-- Written by `npm run cure`: change scenarios/cure/markdown.ts, not this file. -->',
    `Two addons before and after their cure: a Python module on [pyo3-async-runtimes](../../examples/addons/pyo3-usual) and on
[owned-runtime-pyo3](../../examples/addons/pyo3-owned), a Node addon on [napi's own runtime](../../examples/addons/napi-usual) and on
[owned-runtime-napi](../../examples/addons/napi-owned). Programs use them, close nothing, and end in every way that their hosts
have. Of ${grouped(ours.runs)} amplified exits on owned-runtime ${ours.failed} failed.`,
    `\`${command}\` on ${summary.startedAt.slice(0, 10)} at ${commit}, ${cores} cores, ${minutes} minutes of runs:`,
    byAddon(cells),
    `A run fails when it ends in a different way from what its ending says, hangs, prints a crash, or writes to stderr where its host writes
nothing.

- _Plain_ runs are not disturbed; they run with \`--strict\`.
- _Left threads_ counts plain runs that ended well, with a thread still running at exit. Endings whose programs leave threads of
  their own aren't counted.
- _Amplified_ runs are under the [exit amplifier](sensitivity.md#the-exit-amplifier).
- The rate is the upper Clopper-Pearson bound at 95 %.
- _Cloned_: no future of the addon borrows a JavaScript object.`,
    ...(bad.length === 0 ? [] : ['## Where ours failed', faultTable(bad)]),
    ...languages.flatMap((language) => {
      if (!cells.some((cell) => cell.language === language)) return [];
      const names = language === 'Python' ? 'Python' : 'Node, Bun and Deno';
      return [
        `## ${names}, by ending`,
        `Failed runs of all runs, on all hosts together.`,
        byEnding(cells, language),
        endingTable(language),
        `## ${names}, by host`,
        byHost(cells, hosts, language),
      ];
    }),
    '## Speed',
    `\`npm run cure -- speed\` measures awaitables that are ready as soon as the runtime has a turn, one after another and 1,000 at once.
The table shows medians of alternating rounds. _Each_ is the wall-clock time for one, _CPU_ the process's user and system time for
one.`,
    speeds.length === 0 ? 'Not measured.' : speedTable(speeds),
    '## Run it',
    `\`\`\`sh
npm run cure                                        # all of it, and this page; continues where it was interrupted
npm run cure -- --quick                             # every ending on a few hosts, in some minutes
npm run cure -- --only 'bun / terminate' --runs 100 # cells whose name holds that; a name is 'addon / host / ending / mode'
npm run cure -- --on python3.12,node22 --perturb amplify
npm run cure -- speed                               # speed alone
npx quiesce run --plan scenarios/cure.plan.ts --only 'owned-runtime-napi / deno / exit / amplified' -n 100
\`\`\`

- \`--runs N\` (300) is the number of amplified runs of each ending on owned-runtime, over all hosts together. There are a fifth as
  many plain runs, and a tenth as many of controls.
- \`.cache/cure\` gets the tester's own \`report.json\` and \`report.html\`, and \`summary.json\`.
- The Pythons are those of the machine, on \`PATH\` or in pyenv's folder: no registry has interpreters. Node, Bun and Deno come from
  npm ([runtimes](runtimes.md)).
- The programs are \`scenarios/python/addon_*.py\` and \`scenarios/typescript/addon-*.ts\`. \`npm test\` runs a slice.`,
  ];
  return `${parts.join('\n\n')}\n`;
}
