// history/: failure rates over sessions, kept in a SQLite file. The plot of them is in report/.
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Database, SqlJsStatic } from 'sql.js';
import { EnvironmentError, messageOf, QuiesceError, UsageError } from '../errors.js';
import { writeAtomically } from '../files/atomic-write.js';
import { withLock } from '../files/file-lock.js';
import { outcomeCounts, type PlanResult } from '../results/result.js';

/** Where the history is kept when nothing else is said, relative to the working directory. */
export const HISTORY_FILE = '.quiesce/history.sqlite';

/** One scenario's part in one session of the tester. */
export interface HistoryEntry {
  readonly startedAt: Date;
  /** What the session was labelled with, such as a commit; `null` when it wasn't. */
  readonly label: string | null;
  readonly scenario: string;
  readonly command: readonly string[];
  readonly runs: number;
  readonly failed: number;
  /** Failed runs by outcome, such as `{ SIGABRT: 8 }`. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Milliseconds from work done to process gone; `null` when no run said it. */
  readonly exitMedianMs: number | null;
  readonly exitP99Ms: number | null;
  /** Runs were perturbed, so that the rate isn't that of plain runs. */
  readonly perturbed: boolean;
}

const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE session (
    id INTEGER PRIMARY KEY,
    started_at TEXT NOT NULL,
    duration_ms REAL NOT NULL,
    label TEXT
  );
  CREATE TABLE result (
    session INTEGER NOT NULL REFERENCES session (id),
    scenario TEXT NOT NULL,
    command TEXT NOT NULL,
    runs INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    outcomes TEXT NOT NULL,
    exit_median_ms REAL,
    exit_p99_ms REAL,
    perturbed INTEGER NOT NULL,
    PRIMARY KEY (session, scenario)
  );
  PRAGMA user_version = ${SCHEMA_VERSION};`;

/**
 * Adds what a session showed to the history in a SQLite file, which is made when it isn't there. Scenarios without a
 * run are left out. Testers that end at once don't lose each other's.
 * @throws UsageError when the file is no history; EnvironmentError when it can't be written.
 */
export async function addToHistory(
  file: string,
  result: PlanResult,
  label: string | null = null,
): Promise<void> {
  const made = result.scenarios.filter(({ runs }) => runs.length > 0);
  if (made.length === 0) return;
  await locked(file, async () => {
    const database = (await openHistory(file)) ?? (await newHistory());
    try {
      database.run('INSERT INTO session (started_at, duration_ms, label) VALUES (?, ?, ?)', [
        result.startedAt.toISOString(),
        result.durationMs,
        label,
      ]);
      const session = database.exec('SELECT last_insert_rowid()')[0]?.values[0]?.[0] as number;
      for (const scenarioResult of made) {
        const { scenario, runs, failed, exitMs } = scenarioResult;
        database.run('INSERT INTO result VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)', [
          session,
          scenario.name,
          JSON.stringify(scenario.command),
          runs.length,
          failed,
          JSON.stringify(Object.fromEntries(outcomeCounts(scenarioResult))),
          exitMs?.median ?? null,
          exitMs?.p99 ?? null,
          scenario.perturb === null ? 0 : 1,
        ]);
      }
      await writeAtomically(file, database.export());
    } finally {
      database.close();
    }
  });
}

/**
 * Reads a history, oldest first.
 * @throws UsageError when the file isn't there or is no history.
 */
export async function readHistory(file: string): Promise<HistoryEntry[]> {
  const database = await openHistory(file);
  if (database === undefined) {
    throw new UsageError(`history ${file} doesn't exist`, 'quiesce run --history keeps one');
  }
  try {
    const [rows] = database.exec(
      `SELECT started_at, label, scenario, command, runs, failed, outcomes, exit_median_ms, exit_p99_ms, perturbed
       FROM result JOIN session ON session.id = result.session ORDER BY started_at, session.id, result.rowid`,
    );
    return (rows?.values ?? []).map(
      ([at, label, scenario, command, runs, failed, outcomes, median, p99, perturbed]) => ({
        startedAt: new Date(at as string),
        label: label as string | null,
        scenario: scenario as string,
        command: JSON.parse(command as string) as string[],
        runs: runs as number,
        failed: failed as number,
        outcomes: JSON.parse(outcomes as string) as Record<string, number>,
        exitMedianMs: median as number | null,
        exitP99Ms: p99 as number | null,
        perturbed: perturbed === 1,
      }),
    );
  } finally {
    database.close();
  }
}

// Loaded when it is needed: most runs keep no history.
async function sqlite(): Promise<SqlJsStatic> {
  const { default: initialise } = await import('sql.js');
  return await initialise();
}

async function newHistory(): Promise<Database> {
  const { Database: Sqlite } = await sqlite();
  const database = new Sqlite();
  database.run(SCHEMA);
  return database;
}

async function openHistory(file: string): Promise<Database | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new UsageError(`can't read history ${file}: ${messageOf(error)}`);
  }
  const { Database: Sqlite } = await sqlite();
  const database = new Sqlite(bytes);
  let version: unknown;
  try {
    version = database.exec('PRAGMA user_version')[0]?.values[0]?.[0];
    database.exec('SELECT 1 FROM session, result LIMIT 1');
  } catch (error) {
    database.close();
    throw new UsageError(`${file} is no history of this tester: ${messageOf(error)}`);
  }
  if (version === SCHEMA_VERSION) return database;
  database.close();
  throw new UsageError(`${file} was written by another version of this tester`, 'use another file');
}

// A write takes milliseconds: who waits longer than a dead writer's lock lasts waits in vain.
const LOCK_WAIT_MS = 30_000;

/** SQLite as WebAssembly has the whole database in memory, so writers take turns by a file beside it. */
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
