// The package's API: what other programs may use. The folders are layers, from top to bottom: cli, report, history,
// compare, bisect, merge, session, results, plan, perturb, run, install, service, files, process, statistics. A module
// imports from its own folder, from those below it, and from the small modules beside this one.
export {
  type BisectOptions,
  type BisectResult,
  bisect,
  type Tried,
  type VersionChange,
} from './bisect/bisect.js';
export {
  type CompareOptions,
  type ComparePlanOptions,
  type Comparison,
  type ComparisonResult,
  compare,
  compareCounts,
  comparePairs,
  comparePlan,
  type Sample,
} from './compare/compare.js';
export type { Duration } from './duration.js';
export { EnvironmentError, QuiesceError, ServiceError, UsageError } from './errors.js';
export { type CleanExitOptions, expectCleanExit } from './expect-clean-exit.js';
export { addToHistory, HISTORY_FILE, type HistoryEntry, readHistory } from './history/history.js';
export { type PackageName, parsePackageName } from './install/installation.js';
export { mergeReports, type NamedReport } from './merge/merge.js';
export type { PerturbChoice } from './perturb/perturb.js';
export type { Perturbing, RecordedPerturbing } from './perturb/perturbed-run.js';
export { loadPlan } from './plan/file/load.js';
export type { ScenarioDefaults } from './plan/options.js';
export { definePlan, type Matrix, type Plan, type PlanExport, type ScenarioSpec } from './plan/plan.js';
export { type Place, PlanError, type PlanProblem } from './plan/plan-error.js';
export type { PlanOverrides } from './plan/resolve.js';
export type { RecordedScenario, Scenario } from './plan/scenario.js';
export { parseShard, type Shard, type ShardChoice } from './plan/shard.js';
export type { GroupMember } from './process/process-group.js';
export type { ExitStatus } from './process/started-program.js';
export type { NamedComparison } from './report/comparison.js';
export { githubAnnotations, githubSummary } from './report/github.js';
export { htmlReport } from './report/html/html.js';
export { jsonReport } from './report/json.js';
export { junitReport } from './report/junit.js';
export { tapReport } from './report/tap.js';
export { terminalReport } from './report/terminal.js';
export { type FailureKind, failureKinds, type KindPage } from './results/failure-kinds.js';
export type { Host } from './results/host.js';
export type { FailureGroup, Phase, PlanResult, ScenarioResult } from './results/result.js';
export { readReport, type SavedReport, type SavedScenario } from './results/saved-report.js';
export type { AmplifierReport } from './run/amplifier-report.js';
export type { Stacks } from './run/diagnose.js';
export { type Expect, type Outcome, outcomeLabel } from './run/outcome.js';
export type { ChildCrash, CrashFacts, Evidence, ExplainingChild, LeftAtExit, RunRecord } from './run/run.js';
export type { SignatureMatch } from './run/signatures.js';
export type { InterpretedFrame, StackFrame, ThreadStack } from './run/stack-trace.js';
export { type LeftSocket, type LeftThread, witnessProblem } from './run/witness.js';
export { type RunningService, type ServiceSpec, startService } from './service/service.js';
export type { ScenarioProgress } from './session/make-runs.js';
export type { ServiceEvent } from './session/service-pool.js';
export { type ProgressEvent, type RunOptions, run, runPlan, type SessionOptions } from './session/session.js';
export { type FisherExact, fisherExact, holm } from './statistics/fisher.js';
export {
  type Counts,
  clopperPearson,
  type Interval,
  lowerBound,
  upperBound,
} from './statistics/intervals.js';
export { type GoalVerdict, parseRate, type Rate, type RateGoal } from './statistics/rate-goal.js';
export { comparisonPower, comparisonRuns, runsNeeded } from './statistics/sample-size.js';
export { type Summary, summarize } from './statistics/summary.js';
export type {
  ThreadState,
  Timeline,
  TimelineCrash,
  TimelinePhase,
  TimelineThread,
  TornDown,
} from './timeline/model.js';
