// merge/: counts the runs of several results, such as those of shards, together. results/ reads and writes them.
import { isDeepStrictEqual } from 'node:util';
import { requireObject, UsageError } from '../errors.js';
import type { RecordedPerturbing } from '../perturb/perturbed-run.js';
import { difference } from '../plan/difference.js';
import type { RecordedScenario } from '../plan/scenario.js';
import type { Shard } from '../plan/shard.js';
import type { Host } from '../results/host.js';
import { allOk, overlap, type PlanResult, requireResult, type ScenarioResult } from '../results/result.js';
import { ScenarioTally } from '../results/tally.js';

/** A report, and its name in an error, such as the file name. */
export interface NamedReport {
  readonly name: string;
  readonly report: PlanResult;
}

/**
 * Merges reports of the same scenarios, such as those of shards: their runs are counted together. A run keeps its number,
 * unless a run of an earlier report has it. A shard that is missing leaves its scenario `stopped`.
 * @throws UsageError when there is no report, reports contradict each other, one shard is there twice, or reports have runs in
 * common.
 */
export function mergeReports(reports: readonly NamedReport[]): PlanResult {
  if (!Array.isArray(reports as unknown))
    throw new UsageError('reports must be a list, each with its name and report');
  for (const each of reports) {
    requireObject(each, 'a named report');
    requireResult(each.report, 'a report to merge');
  }
  if (reports.length === 0) throw new UsageError('there is no report to merge');
  const names = new Set(
    reports.flatMap(({ report }) => report.scenarios.map(({ scenario }) => scenario.name)),
  );
  const scenarios = [...names].map((name) =>
    mergeScenario(
      reports.flatMap((one) => {
        const result = one.report.scenarios.find(({ scenario }) => scenario.name === name);
        return result === undefined ? [] : [{ file: one.name, result }];
      }),
    ),
  );
  refuseOverlap(reports);
  const all = reports.map(({ report }) => report);
  const starts = all.map(({ startedAt }) => startedAt.getTime());
  const ends = all.map(({ startedAt, durationMs }) => startedAt.getTime() + durationMs);
  const startedAt = starts.reduce((least, start) => Math.min(least, start), Number.POSITIVE_INFINITY);
  const serviceFailures = all.flatMap((report) => report.serviceFailures);
  const planFiles = new Set(all.map(({ planFile }) => planFile));
  return {
    ok: allOk({ scenarios, serviceFailures }),
    interrupted: all.some(({ interrupted }) => interrupted),
    startedAt: new Date(startedAt),
    durationMs: ends.reduce((most, end) => Math.max(most, end), 0) - startedAt,
    sessions: all.flatMap(({ sessions }) => sessions),
    hosts: distinct(all.flatMap(({ hosts }) => hosts)),
    planFile: planFiles.size === 1 ? (all[0]?.planFile ?? null) : null,
    serviceFailures,
    scenarios,
  };
}

/** Runs after the check that refuses shards, whose message says more. */
function refuseOverlap(reports: readonly NamedReport[]): void {
  for (const [i, one] of reports.entries()) {
    const other = reports.slice(0, i).find(({ report }) => overlap(report, one.report));
    if (other === undefined) continue;
    const both =
      other.name === one.name
        ? `${one.name} is given twice`
        : `${other.name} and ${one.name} have runs in common`;
    throw new UsageError(
      both,
      'give each report once, and none beside one that it was resumed or merged into',
    );
  }
}

interface Part {
  readonly file: string;
  readonly result: ScenarioResult;
}

function mergeScenario(parts: readonly Part[]): ScenarioResult {
  const first = parts[0] as Part;
  for (const part of parts) refuseOther(first, part);
  const sorted = [...parts].sort((a, b) => (shardOf(a)?.index ?? 0) - (shardOf(b)?.index ?? 0));
  const missing = missingShards(sorted);
  const reasons = sorted.flatMap(({ result: { state, reason }, file }) =>
    state === 'completed' ? [] : `${reason ?? state} (${file})`,
  );
  if (missing.length > 0) reasons.push(`missing: shard ${missing.join(', ')} of ${shardOf(first)?.count}`);
  const results = sorted.map(({ result }) => result);
  const made = results.reduce((sum, { runs }) => sum + runs.length, 0);
  const planned = results.reduce((sum, { scenario }) => sum + scenario.runs, 0);
  const scenario: RecordedScenario = {
    ...first.result.scenario,
    perturb: commonPerturbing(results),
    shard: null,
    runs: Math.max(shardOf(first)?.ofRuns ?? planned, made),
  };
  const tally = new ScenarioTally(scenario, ...results);
  if (reasons.length === 0) return tally.result('completed');
  // A missing shard doesn't mean that a service failed.
  const endedByFailures =
    missing.length === 0 && results.every((one) => one.state === 'completed' || one.endedByFailures);
  const state = made === 0 ? 'not-run' : 'stopped';
  return tally.result(state, [...new Set(reasons)].join('; '), endedByFailures);
}

/** Runs of several sessions have no common seed if theirs differ. */
function commonPerturbing(results: readonly ScenarioResult[]): RecordedPerturbing | null {
  const [first = null, ...others] = results.map(({ scenario }) => scenario.perturb);
  return first && others.some((other) => other?.seed !== first.seed) ? { ...first, seed: null } : first;
}

const shardOf = ({ result }: Part): Shard | null => result.scenario.shard;

/** Refuses reports that were made differently or had another goal: they can't be counted together. */
function refuseOther(first: Part, part: Part): void {
  const shards = [first, part].map((one) => {
    const shard = shardOf(one);
    return shard && [shard.count, shard.ofRuns];
  });
  const seeds = [first, part].map((one) => one.result.scenario.perturb?.seed);
  const other =
    difference(first.result.scenario, part.result.scenario, ['outcome', 'statement'])?.noun ??
    (isDeepStrictEqual(shards[0], shards[1]) ? undefined : 'division into shards') ??
    // Shards are parts of one series of runs, whose perturbations follow from its seed.
    (shards[0] === null || seeds[0] === seeds[1] ? undefined : 'seed');
  if (other === undefined) return;
  const name = JSON.stringify(first.result.scenario.name);
  throw new UsageError(
    `${first.file} and ${part.file} have scenario ${name} with a different ${other}`,
    'merge reports that were made with the same options',
  );
}

/** The missing shards; none if there are no shards. */
function missingShards(sorted: readonly Part[]): number[] {
  const count = shardOf(sorted[0] as Part)?.count ?? 0;
  const files = new Map<number, string>();
  for (const part of sorted) {
    const { index } = shardOf(part) ?? {};
    if (index === undefined) continue;
    const other = files.get(index);
    if (other !== undefined) {
      throw new UsageError(
        `${other} and ${part.file} are both shard ${index} of ${count}`,
        'give each shard once',
      );
    }
    files.set(index, part.file);
  }
  return Array.from({ length: count }, (_, i) => i + 1).filter((index) => !files.has(index));
}

function distinct(hosts: readonly Host[]): Host[] {
  return hosts.filter((host, i) => hosts.findIndex((other) => isDeepStrictEqual(other, host)) === i);
}
