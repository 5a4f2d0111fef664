export type { AmplifierReport } from './amplifier-report.js';
export { type BisectOptions, type BisectResult, bisect, type Tried, type VersionChange } from './bisect.js';
export type { Checker } from './checker.js';
export {
  type CompareOptions,
  type Comparison,
  type ComparisonResult,
  compare,
  compareCounts,
  comparePairs,
  comparePlan,
  type Sample,
} from './compare.js';
export type { Stacks } from './diagnose.js';
export type { Duration } from './duration.js';
export { EnvironmentError, QuiesceError, ServiceError, UsageError } from './errors.js';
export { type CleanExitOptions, expectCleanExit } from './expect-clean-exit.js';
export { type FailureKind, failureKinds, type KindPage } from './failure-kinds.js';
export { addToHistory, HISTORY_FILE, type HistoryEntry, readHistory } from './history.js';
export type { Host } from './host.js';
export { type PackageName, parsePackageName } from './installation.js';
export type { Matrix } from './matrix.js';
export { mergeReports, type NamedReport } from './merge.js';
export { type Expect, type Outcome, outcomeLabel } from './outcome.js';
export {
  definePlan,
  loadPlan,
  type Plan,
  type PlanExport,
  type PlanOverrides,
  type Scenario,
  type ScenarioDefaults,
  type ScenarioSpec,
} from './plan.js';
export type { ExitStatus } from './process-group.js';
export { type GoalVerdict, parseRate, type Rate, type RateGoal } from './rate-goal.js';
export type { NamedComparison } from './report/comparison.js';
export { githubAnnotations, githubSummary } from './report/github.js';
export { htmlReport } from './report/html.js';
export { jsonReport } from './report/json.js';
export { junitReport } from './report/junit.js';
export { readReport, type SavedReport, type SavedScenario } from './report/read.js';
export { tapReport } from './report/tap.js';
export { terminalReport } from './report/terminal.js';
export type { CrashFacts, Evidence, LeftAtExit, RunRecord } from './run.js';
export type { FailureGroup, Phase, ScenarioProgress, ScenarioResult } from './scenario.js';
export { type RunningService, type ServiceSpec, startService } from './service.js';
export {
  type PlanResult,
  type ProgressEvent,
  type RunOptions,
  run,
  runPlan,
  type SessionOptions,
} from './session.js';
export { parseShard, type Shard, type ShardChoice } from './shard.js';
export type { SignatureMatch } from './signatures.js';
export type { StackFrame, ThreadStack } from './stack-trace.js';
export {
  type Counts,
  clopperPearson,
  comparisonPower,
  comparisonRuns,
  type FisherExact,
  fisherExact,
  holm,
  type Interval,
  lowerBound,
  runsNeeded,
  type Summary,
  summarize,
  upperBound,
} from './statistics.js';
export { type LeftSocket, type LeftThread, witnessProblem } from './witness.js';
