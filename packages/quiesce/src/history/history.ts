// history/: failure rates over sessions, kept in a file of JSON lines. The plot of them is in report/.
import { mkdir, readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { EnvironmentError, messageOf, QuiesceError, UsageError } from '../errors.js';
import { writeAtomically } from '../files/atomic-write.js';
import { withLock } from '../files/file-lock.js';
import { outcomeCounts, type PlanResult, requireResult } from '../results/result.js';
import { schemaProblem } from '../schema-problem.js';

/** Default file of the history, relative to the working directory. */
export const HISTORY_FILE = '.quiesce/history.jsonl';

/** One scenario's part in one session of the tester. */
export interface HistoryEntry {
  readonly startedAt: Date;
  /** Label of the session, such as a commit; `null` for none. */
  readonly label: string | null;
  readonly scenario: string;
  readonly command: readonly string[];
  readonly runs: number;
  readonly failed: number;
  /** Failed runs by outcome, such as `{ SIGABRT: 8 }`. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Median of the milliseconds from "work done" to the end of the process; `null` if no run reported it. */
  readonly exitMedianMs: number | null;
  readonly exitP99Ms: number | null;
  /** Whether the runs were perturbed, so that the rate isn't that of plain runs. */
  readonly perturbed: boolean;
}

const count = z.int().min(0);
const milliseconds = z.number().min(0).nullable();

/** A line of the file: a session, as JSON. A field that is added later needs a default. */
const sessionSchema = z.looseObject({
  history: z.literal(1),
  startedAt: z.iso.datetime(),
  durationMs: z.number(),
  label: z.string().nullable(),
  /** Ids of the sessions that made its runs. There are several if a session was resumed. */
  sessions: z.array(z.string()).default([]),
  results: z.array(
    z.looseObject({
      scenario: z.string(),
      command: z.array(z.string()),
      runs: count,
      failed: count,
      outcomes: z.record(z.string(), count),
      exitMedianMs: milliseconds,
      exitP99Ms: milliseconds,
      perturbed: z.boolean(),
    }),
  ),
});

type Session = z.infer<typeof sessionSchema>;

/**
 * Adds the result of a session to a history: a file of JSON lines, one for each session. The file is created if it
 * doesn't exist. Scenarios without runs are left out. A session that resumed earlier ones replaces them, since it has
 * their runs. Testers that end at the same time don't overwrite each other's entries.
 * @throws UsageError when the result isn't one or the file isn't a history; EnvironmentError when it can't be written.
 */
export async function addToHistory(
  file: string,
  result: PlanResult,
  label: string | null = null,
): Promise<void> {
  requireResult(result, "a history's session");
  const made = result.scenarios.filter(({ runs }) => runs.length > 0);
  if (made.length === 0) return;
  const session: Session = {
    history: 1,
    startedAt: result.startedAt.toISOString(),
    durationMs: result.durationMs,
    label,
    sessions: [...result.sessions],
    results: made.map((scenarioResult) => ({
      scenario: scenarioResult.scenario.name,
      command: [...scenarioResult.scenario.command],
      runs: scenarioResult.runs.length,
      failed: scenarioResult.failed,
      outcomes: Object.fromEntries(outcomeCounts(scenarioResult)),
      exitMedianMs: scenarioResult.exitMs?.median ?? null,
      exitP99Ms: scenarioResult.exitMs?.p99 ?? null,
      perturbed: scenarioResult.scenario.perturb !== null,
    })),
  };
  await locked(file, async () => {
    const text = (await historyText(file)) ?? '';
    const kept = linesOf(file, text).filter(({ session: earlier }) => !isResumedBy(earlier, session));
    const lines = [...kept.map(({ line }) => line), JSON.stringify(session)];
    await writeAtomically(file, `${lines.join('\n')}\n`);
  });
}

const isResumedBy = ({ sessions: earlier }: Session, { sessions: later }: Session): boolean =>
  earlier.length > 0 && earlier.length < later.length && earlier.every((id) => later.includes(id));

/**
 * Makes sure, before the runs, that a file is a history or doesn't exist yet.
 * @throws UsageError when it is something else.
 */
export async function checkHistory(file: string): Promise<void> {
  linesOf(file, (await historyText(file)) ?? '');
}

/**
 * Reads a history, oldest first.
 * @throws UsageError when the file doesn't exist or isn't a history.
 */
export async function readHistory(file: string): Promise<HistoryEntry[]> {
  const text = await historyText(file);
  if (text === undefined) {
    throw new UsageError(`history ${file} doesn't exist`, 'quiesce run --history writes one');
  }
  return linesOf(file, text)
    .map(({ session: { startedAt, label, results } }) => ({ startedAt: new Date(startedAt), label, results }))
    .sort((a, b) => a.startedAt.getTime() - b.startedAt.getTime())
    .flatMap(({ startedAt, label, results }) => results.map((result) => ({ startedAt, label, ...result })));
}

async function historyText(file: string): Promise<string | undefined> {
  try {
    // A device can't be replaced, and a pipe would be waited for.
    if (!(await stat(file)).isFile()) throw new Error('it is not a regular file');
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new UsageError(`can't read history ${file}: ${messageOf(error)}`);
  }
}

function linesOf(file: string, text: string): { line: string; session: Session }[] {
  return text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    const json = jsonOf(line);
    const parsed = sessionSchema.safeParse(json);
    if (parsed.success) return [{ line, session: parsed.data }];
    const problem = json === undefined ? 'it is not JSON' : schemaProblem(parsed.error);
    throw new UsageError(
      `${file} is not a history of quiesce: line ${i + 1}: ${problem}`,
      `give --history another file, or remove line ${i + 1}`,
    );
  });
}

/** `undefined` for text that isn't JSON. */
function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

// A write takes milliseconds. Once a dead writer's lock would have expired, waiting longer is pointless.
const LOCK_WAIT_MS = 30_000;

/**
 * The file is rewritten, so that it is whole even if a tester is killed. Writers take turns through a lock file beside
 * it.
 */
async function locked(file: string, work: () => Promise<void>): Promise<void> {
  const lock = `${resolve(file)}.lock`;
  try {
    await mkdir(dirname(lock), { recursive: true });
    await withLock(lock, { waitMs: LOCK_WAIT_MS }, work);
  } catch (error) {
    if (error instanceof QuiesceError) throw error;
    throw new EnvironmentError(`can't write history ${file}: ${messageOf(error)}`, undefined, {
      cause: error,
    });
  }
}
