// beside/ compares two builds of this client. Two processes of one build differ by 3 to 9 % for their whole life. So
// there are many pairs of processes, and each pair counts once.
import { median, startEtcd } from '@quiesce/test-services';
import { livingCommand, SUBJECT } from '../clients.js';
import { BESIDE_GO, type Figure, isRate, type Subject } from '../gate/floors.js';
import type { Sample } from '../gate/judge.js';
import { pairedBatches } from '../gate/measure.js';
import { writeListed } from '../list.js';
import { startLiving } from '../living.js';
import { writeKeys } from '../operations.js';
import { writeJson } from '../report.js';
import { figureTable } from '../table.js';
import { type Estimate, ratioEstimate } from './signed-rank.js';

/** How thorough the comparison is, and with what. */
export interface BesideOptions {
  /** The other build: its index.js. */
  readonly other: string;
  /** Pairs of processes. */
  readonly pairs: number;
  /** Batches of each client in each cell of a pair. */
  readonly rounds: number;
  /** About how long a batch takes. */
  readonly batchMs: number;
  /** Cells to measure, by the beginning of their names; default: all. */
  readonly cells?: readonly string[];
  /** By how many percent to slow this build down: the comparison must find that. */
  readonly slower: number;
  readonly json?: string;
}

/** A figure of one cell. */
export interface Compared {
  readonly cell: string;
  readonly figure: Figure;
  /** One ratio for each pair of processes. */
  readonly ratios: readonly number[];
  /** At 95 % confidence. */
  readonly estimate: Estimate;
  readonly verdict: Verdict;
}

type Verdict = 'slower' | 'faster' | 'no difference found';

type BatchSubject = Extract<Subject, { readonly concurrency: number }>;

const VALUE_BYTES = 32;
const KEYS = 1000;
/** Keys of `list`, which are also the events of `watch`. */
const LISTED_KEYS = 20_000;
const FIGURES = ['rate', 'CPU'] as const;
/** How often all verdicts of a comparison are right if there is no difference. */
const CONFIDENCE = 0.95;

/** Compares this build with another one. The exit code is 1 if it is slower in a cell, or takes more CPU time. */
export async function beside(options: BesideOptions): Promise<number> {
  const subjects = cells(options.cells);
  const samples = subjects.map((): Sample[] => []);
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  await writeKeys(server.endpoint, VALUE_BYTES);
  const startRevision = await writeListed(server.endpoint, LISTED_KEYS);
  const living = { endpoint: server.endpoint, keys: KEYS, valueBytes: VALUE_BYTES, startRevision };
  const own = (): ReturnType<typeof startLiving> =>
    startLiving(SUBJECT, livingCommand(SUBJECT, { ...living, slower: options.slower }));
  const others = (): ReturnType<typeof startLiving> =>
    startLiving('the other build', livingCommand(SUBJECT, { ...living, client: options.other }));
  for (let pair = 0; pair < options.pairs; pair++) {
    const ownFirst = pair % 2 === 0;
    await using first = ownFirst ? own() : others();
    await using second = ownFirst ? others() : own();
    const [subject, other] = ownFirst ? [first, second] : [second, first];
    for (const [i, { op, concurrency }] of subjects.entries()) {
      const measured = await pairedBatches(
        { subject, other },
        op,
        concurrency,
        options.batchMs,
        options.rounds,
      )();
      samples[i]?.push(middleOf(measured));
    }
    process.stderr.write(`· pair ${pair + 1} of ${options.pairs}\n`);
  }
  const results = compare(subjects.map(nameOf), samples);
  console.log(`\n${SUBJECT}, times the other build, of ${options.pairs} pairs\n${tableOf(results)}`);
  writeJson(options.json, { pairs: options.pairs, results });
  return results.every(({ verdict }) => verdict !== 'slower') ? 0 : 1;
}

/** The verdict on each figure of each cell. */
export function compare(names: readonly string[], samples: readonly (readonly Sample[])[]): Compared[] {
  // With many figures, one is outside its own interval by chance.
  const each = 1 - (1 - CONFIDENCE) / (names.length * FIGURES.length);
  return names.flatMap((cell, i) =>
    FIGURES.map((figure) => {
      const ratios = (samples[i] ?? []).map((sample) => sample[figure] ?? Number.NaN);
      const { low, high } = ratioEstimate(ratios, each);
      const [worse, better] = isRate(figure) ? [high < 1, low > 1] : [low > 1, high < 1];
      const verdict = worse ? 'slower' : better ? 'faster' : 'no difference found';
      return { cell, figure, ratios, estimate: ratioEstimate(ratios), verdict };
    }),
  );
}

function tableOf(results: readonly Compared[]): string {
  const table = figureTable(['cell', 'figure', 'middle', '95 % interval', '']);
  for (const { cell, figure, estimate, verdict } of results) {
    const { middle, low, high } = estimate;
    const interval = Number.isFinite(high) ? `${low.toFixed(3)} to ${high.toFixed(3)}` : 'too few pairs';
    table.push([cell, figure, middle.toFixed(3), interval, verdict]);
  }
  return table.toString();
}

/** The batches of one pair count once. */
function middleOf(samples: readonly Sample[]): Sample {
  return Object.fromEntries(
    FIGURES.map((figure) => [figure, median(samples.map((sample) => sample[figure] ?? Number.NaN))]),
  );
}

/** The cells of the gate that a living client measures. */
function cells(wanted: readonly string[] | undefined): BatchSubject[] {
  const of = new Map<string, BatchSubject>();
  for (const { subject } of BESIDE_GO) if (isBatch(subject)) of.set(nameOf(subject), subject);
  return [...of.values()].filter(
    (subject) => wanted?.some((cell) => nameOf(subject).startsWith(cell)) !== false,
  );
}

function isBatch(subject: Subject): subject is BatchSubject {
  return subject.concurrency !== undefined;
}

function nameOf({ op, concurrency }: BatchSubject): string {
  return `${op} x${concurrency}`;
}
