import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { messageOf, UsageError } from '../errors.js';
import { readOptions, writeOptions } from '../plan/reported-options.js';
import type { RecordedScenario } from '../plan/scenario.js';
import { countsAsFailed, type Expect, type Outcome, outcomeLabel } from '../run/outcome.js';
import type { RunRecord } from '../run/run.js';
import type { SignatureMatch } from '../run/signatures.js';
import { schemaProblem } from '../schema-problem.js';
import { VERSION } from '../version.js';
import { REPORT_VERSION, type Report, type ReportedScenario, reportSchema } from './report-schema.js';
import { allOk, type PlanResult, type ScenarioResult } from './result.js';
import { evidenceByRun, ScenarioTally } from './tally.js';

/** A report that was written earlier: a result like that of a session. */
export type SavedReport = PlanResult;

/** A scenario in such a report. */
export type SavedScenario = ScenarioResult;

/** The result as plain data, of the shape that the package's `report.schema.json` describes. */
export function savedReport(result: PlanResult): Record<string, unknown> {
  return {
    version: REPORT_VERSION,
    quiesce: VERSION,
    ok: result.ok,
    interrupted: result.interrupted,
    startedAt: result.startedAt.toISOString(),
    durationMs: round(result.durationMs),
    sessions: result.sessions,
    host: result.hosts[0],
    hosts: result.hosts,
    planFile: result.planFile,
    serviceFailures: result.serviceFailures,
    scenarios: result.scenarios.map(savedScenario),
  };
}

function savedScenario(result: ScenarioResult): Record<string, unknown> {
  const { scenario } = result;
  return {
    name: scenario.name,
    group: scenario.group,
    command: scenario.command,
    ...writeOptions(scenario),
    shard: scenario.shard,
    verdict: result.verdict,
    state: result.state,
    reason: result.reason,
    endedByFailures: result.endedByFailures,
    ok: result.ok,
    completedRuns: result.runs.length,
    failedRuns: result.failed,
    failureRate: { confidence: scenario.confidence, ...result.rate },
    exitMs: result.exitMs,
    failures: result.failures,
    cleanTimeline: result.cleanTimeline,
    runs: result.runs.map((run) => ({
      ...run,
      signature: run.signature?.id ?? null,
      durationMs: round(run.durationMs),
      exitMs: run.exitMs === null ? null : round(run.exitMs),
    })),
  };
}

const round = (ms: number): number => Math.round(ms * 1_000) / 1_000;

/**
 * Reads a report that `--json` wrote. Everything it says about its runs as a whole, such as rates and kinds of
 * failures, is derived again from the runs by this version's rules.
 * @throws UsageError when the file can't be read or isn't a report.
 */
export async function readReport(file: string): Promise<PlanResult> {
  const content = await readJson(file);
  const later = newer.safeParse(content);
  if (later.success) {
    const { version, quiesce = 'a later version' } = later.data;
    throw new UsageError(
      `${file} was written by quiesce ${quiesce}, whose reports have version ${version}: this one reads ${REPORT_VERSION}`,
      `use that version: this is ${VERSION}`,
    );
  }
  const parsed = reportSchema.safeParse(content);
  if (!parsed.success) {
    throw new UsageError(
      `${file} is not a report of quiesce: ${schemaProblem(parsed.error)}`,
      'give a file that quiesce run --json wrote',
    );
  }
  const contradiction = contradictionIn(parsed.data);
  if (contradiction !== undefined) {
    throw new UsageError(`${file} is damaged: ${contradiction}`, 'give a file that quiesce run --json wrote');
  }
  const { startedAt, durationMs, sessions, interrupted, host, hosts, planFile, serviceFailures } =
    parsed.data;
  const scenarios = parsed.data.scenarios.map(scenarioResult);
  return {
    ok: allOk({ scenarios, serviceFailures }),
    ...{ interrupted, durationMs, planFile, serviceFailures, scenarios },
    startedAt: new Date(startedAt),
    // Older reports have no id. Two of them with the same values here are the same report.
    sessions: sessions ?? [`${startedAt} ${durationMs}`],
    hosts: hosts ?? (host === undefined ? [] : [host]),
  };
}

/** What no session writes: runs would be counted twice, or be missing. */
function contradictionIn({ scenarios, sessions }: Report): string | undefined {
  if (scenarios.length === 0) return 'it has no scenarios';
  if (sessions?.length === 0) return 'it names no session that made its runs';
  const names = new Set<string>();
  for (const scenario of scenarios) {
    const name = JSON.stringify(scenario.name);
    if (names.has(name)) return `${name} is in it twice`;
    names.add(name);
    const problem = contradictionInRuns(scenario);
    if (problem !== undefined) return problem.replace('%s', () => name);
  }
  return undefined;
}

/** The same for a scenario, with `%s` for its name. */
function contradictionInRuns(scenario: ReportedScenario): string | undefined {
  const { runs, completedRuns, failedRuns, plannedRuns, expect = 'clean' } = scenario;
  const numbers = new Set<number>();
  for (const { run, outcome, failed } of runs) {
    if (numbers.has(run)) return `%s has run ${run} twice`;
    numbers.add(run);
    if (failed === countsAsFailed(outcome as Outcome, expect as Expect)) continue;
    const counts = failed ? 'a failure' : 'no failure';
    return `run ${run} of %s counts as ${counts}, and its outcome is ${outcomeLabel(outcome as Outcome)}`;
  }
  const failures = runs.filter(({ failed }) => failed).length;
  if (runs.length !== completedRuns)
    return `%s has ${runs.length} runs, and completedRuns is ${completedRuns}`;
  if (failures !== failedRuns) return `%s has ${failures} failed runs, and failedRuns is ${failedRuns}`;
  // An older report doesn't say how many were planned.
  return typeof plannedRuns === 'number' && plannedRuns > 0 && runs.length > plannedRuns
    ? `%s has ${runs.length} runs, and plannedRuns is ${plannedRuns}`
    : undefined;
}

const newer = z.looseObject({ version: z.int().gt(REPORT_VERSION), quiesce: z.string().optional() });

async function readJson(file: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new UsageError(
      missing ? `report ${file} doesn't exist` : `can't read report ${file}: ${messageOf(error)}`,
      undefined,
      { cause: error },
    );
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(
      text.trim() === ''
        ? `report ${file} is empty`
        : `report ${file} is not JSON, or was cut off: ${messageOf(error)}`,
      'give a file that quiesce run --json wrote',
      { cause: error },
    );
  }
}

function scenarioResult(reported: ReportedScenario): ScenarioResult {
  const { runs, failures, cleanTimeline, state, reason, endedByFailures } = reported;
  // A report contains the line of a signature only for the first run of each kind of failure.
  const known = new Map<string, SignatureMatch>();
  for (const { signature } of failures) if (signature !== null) known.set(signature.id, signature);
  const evidence = evidenceByRun({ failures, cleanTimeline });
  const tally = new ScenarioTally(recordedScenario(reported));
  for (const run of runs) {
    const id = run.signature;
    const signature = id === null ? null : (known.get(id) ?? { id, title: id, line: '' });
    const record: RunRecord = { ...run, outcome: run.outcome as Outcome, signature };
    tally.add(record, evidence.get(record.run));
  }
  return tally.result(state, reason, endedByFailures);
}

function recordedScenario(reported: ReportedScenario): RecordedScenario {
  const { name, group, command, shard, failureRate, runs } = reported;
  const options = readOptions(reported);
  return {
    ...options,
    ...{ name, group, command, shard },
    runs: Math.max(options.runs, runs.length),
    confidence: failureRate.confidence,
  };
}
