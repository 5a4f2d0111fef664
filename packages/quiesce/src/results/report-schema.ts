import { z } from 'zod';
import { reportedConfidence } from '../plan/fields.js';
import { reportedOptions } from '../plan/reported-options.js';

/** Version of the JSON report's shape. It is raised when a field changes its meaning or is removed, not when one is added. */
export const REPORT_VERSION = 1;

const ms = z.number().min(0);
const count = z.int().min(0);
const rate = z.number().min(0).max(1);
const interval = z.looseObject({ lower: rate, upper: rate });

const outcome = z
  .union([
    z.looseObject({ kind: z.enum(['clean', 'hang']) }),
    z.looseObject({ kind: z.literal('exit-code'), code: z.int() }),
    z.looseObject({
      kind: z.literal('signal'),
      signal: z.string(),
      exitCode: z.int().nullable().describe('set when a shell or wrapper reported the signal as 128 + n'),
    }),
    z.looseObject({ kind: z.literal('dirty-output'), because: z.enum(['signature', 'stderr']) }),
    z.looseObject({ kind: z.literal('threads-left'), threads: count }),
  ])
  .describe('how a run ended');

const threadStack = z.looseObject({
  tid: z.int(),
  name: z.string(),
  ownName: z
    .string()
    .exactOptional()
    .describe("its name in the program's own language, where the system has another"),
  main: z.boolean().describe("it is the process's first thread"),
  faulting: z.boolean().describe('it is the one that died'),
  busy: z.boolean().exactOptional().describe('in a hang: it used most CPU time while it was observed'),
  halted: z
    .enum(['ended', 'stopped'])
    .exactOptional()
    .describe('in a hang: it had ended while others continued, or a signal had stopped it'),
  frames: z
    .array(
      z.looseObject({
        name: z.string().nullable().describe('demangled; null where there are no symbols'),
        library: z.string().nullable(),
        source: z.string().nullable().describe('file:line'),
      }),
    )
    .describe('innermost first'),
  faultedIn: z
    .int()
    .exactOptional()
    .describe(
      'it died in its own handler of an earlier fatal signal: index of the frame which that signal interrupted',
    ),
  interpreted: z
    .array(z.looseObject({ name: z.string(), file: z.string(), line: z.int() }))
    .exactOptional()
    .describe(
      "the same in the program's own language, where a tool for that language shows it; innermost first",
    ),
  notInterpreted: z
    .string()
    .exactOptional()
    .describe(
      'why `interpreted` is missing, if the thread may run such code and a tool should have shown it, and what to do; or what is known instead',
    ),
  daemon: z
    .boolean()
    .exactOptional()
    .describe("in a hung program of Java: the program's end does not wait for it"),
  joins: z
    .int()
    .exactOptional()
    .describe(
      'in a hang: the number of the thread whose end it waits for, if it does and the number is known',
    ),
  asleep: z
    .boolean()
    .exactOptional()
    .describe('in a hang without frames, because no debugger may attach: it never ran while it was observed'),
  channel: z
    .string()
    .exactOptional()
    .describe('the same: the kernel function that it waits in, if the kernel reports it'),
  children: z
    .array(z.string())
    .exactOptional()
    .describe("in the main thread of a hang: the process's children, with their commands"),
  forkedFrom: z
    .int()
    .exactOptional()
    .describe(
      'in the main thread of a hang: the process is a fork, without exec, of one that has so many other threads',
    ),
  keptAliveBy: z
    .array(z.string())
    .exactOptional()
    .describe('in a hung Node: what keeps its event loop alive'),
});

const left = z
  .looseObject({
    threads: z
      .array(
        z.looseObject({
          name: z.string(),
          library: z.string().nullable().describe('whose code started it'),
          runtime: z.string().exactOptional().describe('the runtime that started it, such as libstdc++'),
          unloaded: z.literal(true).exactOptional().describe('that library has been unloaded'),
          main: z
            .literal(true)
            .exactOptional()
            .describe('it is the main thread: another one ended the process'),
        }),
      )
      .nullable()
      .describe('null when unknown; at most 64'),
    moreThreads: z.int().min(1).exactOptional().describe('further threads, which are not listed'),
    sockets: z.array(
      z.looseObject({ state: z.enum(['listening', 'connected', 'unconnected']), address: z.string() }),
    ),
    files: z.array(z.string()).describe('entries of its temporary directory, at most 20'),
    unseenProcesses: z
      .string()
      .exactOptional()
      .describe('why processes that outlived it could not be found on this machine; absent if they could'),
    unwitnessed: z
      .string()
      .exactOptional()
      .describe('why the witness could not be used on this machine; absent if it could, or was not wanted'),
  })
  .describe('what was left when the main process ended');

const childCrash = z.looseObject({
  signal: z.string(),
  thread: z.string().describe('name of the thread that died'),
  command: z.string().describe('its command line, shortened'),
});

const run = z.looseObject({
  run: z.int().min(1).describe('number of the run, from 1 on; a shard begins with a later one'),
  outcome,
  failed: z.boolean(),
  durationMs: ms.describe('from start to the end of the main process, or to the timeout'),
  workDone: z.boolean().describe('the program reported "work done"'),
  exitMs: ms.nullable().describe('from "work done" to the end of the main process; null when unknown'),
  signature: z.string().nullable().describe('id of the fatal signature in its output'),
  leaked: z.array(z.string()).describe('command lines of processes that outlived it and were killed'),
  diedIn: z.string().nullable().default(null).describe('name of the thread that died from a signal'),
  childCrashes: z
    .array(childCrash)
    .default([])
    .describe('processes other than the main one that died from a signal, at most 20'),
  left: left.default({ threads: null, sockets: [], files: [] }),
  perturbation: z.string().nullable().default(null).describe('the value of --perturb that repeats this run'),
  amplifier: z
    .looseObject({
      processes: count,
      holds: count,
      heldMs: ms,
      lingers: count,
      lingeredMs: ms,
    })
    .nullable()
    .default(null)
    .describe(
      'what the exit amplifier did; null when the run was not amplified, or when it is unknown, as for a process that was killed',
    ),
});

const library = z.string().nullable().describe('file of a library or program');
const at = z.number().describe('milliseconds, from time 0 on');
const phaseKind = z.enum(['exit', 'python', 'handler', 'library', 'unload']);

const timeline = z
  .looseObject({
    run: z.int().min(1),
    zero: z.enum(['work-done', 'exit', 'start']).describe('what time 0 is'),
    endMs: at,
    end: z.enum(['gone', 'crashed', 'killed']).describe('killed: it hung'),
    crash: z
      .looseObject({
        atMs: at,
        tid: z.int(),
        signal: z.string(),
        library: library.describe('the library that it died in, if the stack was taken'),
      })
      .nullable(),
    phases: z
      .array(
        z.looseObject({
          what: phaseKind.describe(
            'exit: from its call on; python: the interpreter finalizes; handler: an exit handler or static destructor; library: the loader takes it down; unload: dlclose',
          ),
          name: library.describe('the library; for an exit, the function that was called'),
          tid: z.int(),
          fromMs: at,
          toMs: at.nullable().describe('null when it had not ended'),
          count: z.int().min(1).describe('handlers that ran one right after another'),
        }),
      )
      .describe('parts of the exit, in the order in which they began'),
    threads: z.array(
      z.looseObject({
        tid: z.int(),
        name: z.string(),
        library: library.describe('library or program that started it'),
        main: z.boolean(),
        fromMs: at.nullable().describe('null when unknown'),
        toMs: at.nullable().describe('null when it existed until the end'),
        spans: z
          .array(
            z.looseObject({
              state: z.enum(['ran', 'waited', 'slept', 'held']),
              fromMs: at,
              toMs: at,
            }),
          )
          .describe('what it did; waited: for a CPU; held: delayed by the exit amplifier'),
      }),
    ),
    says: z.string().describe('what it shows, in a sentence'),
    tornDown: z
      .looseObject({ what: phaseKind, name: library, atMs: at })
      .nullable()
      .describe('what had been torn down when the thread of that sentence still ran'),
    lostEvents: count,
  })
  .describe('the exit as it happened');

const failure = z.looseObject({
  outcome,
  phase: z
    .enum(['work', 'exit', 'unknown'])
    .describe('exit: after "work done"; work: before; unknown: the program does not report it'),
  signature: z
    .looseObject({ id: z.string(), title: z.string(), line: z.string() })
    .nullable()
    .describe('a known fatal text in its output, and the line that contained it'),
  diedIn: z.string().nullable().default(null),
  kind: z
    .looseObject({
      id: z.string(),
      title: z.string(),
      page: z.string(),
      detail: z.string().nullable().default(null).describe('the particular culprit, such as a library'),
      or: z
        .looseObject({ id: z.string(), title: z.string(), page: z.string(), decide: z.string() })
        .nullable()
        .default(null)
        .describe('another cause that the traces fit, and what would decide between the two'),
    })
    .nullable()
    .default(null)
    .describe('the likely cause, and the page about it'),
  runs: z.array(z.int().min(1)).min(1).describe('numbers of the runs, ascending'),
  evidence: z
    .looseObject({
      stdout: z.string(),
      stderr: z.string(),
      stacks: z.string().nullable(),
      threads: z.array(threadStack).default([]),
      child: childCrash
        .extend({
          signal: z.string().nullable().describe('signal that it died from; null for a hang'),
          pid: z.int().exactOptional().describe('of a hang'),
          alike: z
            .int()
            .exactOptional()
            .describe('of a hang: how many other children that are waited for hang in the same place'),
        })
        .nullable()
        .default(null)
        .describe('the process that crash, stacks and threads describe, if it is not the main one'),
      crash: z
        .looseObject({
          main: z.boolean().describe('it was the main thread that died'),
          python: z.boolean().describe('Python was in the process'),
          unloaded: z
            .string()
            .nullable()
            .default(null)
            .describe('file of an unloaded library whose code or data it used'),
          overflow: z.boolean().exactOptional().describe('the thread had run out of stack'),
          unwound: z.boolean().exactOptional().describe('the thread had called pthread_exit'),
          exiting: z
            .boolean()
            .exactOptional()
            .describe('the process had called exit or quick_exit, or main had returned'),
          finalizing: z.boolean().exactOptional().describe('Python was being finalized'),
          sender: z
            .enum(['itself', 'another'])
            .nullable()
            .exactOptional()
            .describe('process that sent the signal; null if the thread caused it'),
        })
        .nullable()
        .default(null)
        .describe('for a crash that the witness saw'),
      timeline: timeline.nullable().default(null).describe('null when it was not taken'),
    })
    .describe('of the first of the runs, or the first with stacks'),
});

const scenario = z.looseObject({
  name: z.string(),
  group: z.string().nullable().default(null),
  command: z.array(z.string()).min(1),
  ...reportedOptions,
  shard: z
    .looseObject({ index: z.int().min(1), count: z.int().min(1), ofRuns: count })
    .nullable()
    .default(null)
    .describe('the part of all runs that this is; null when it is all of them'),
  verdict: z.enum(['below', 'at-least', 'not-below', 'open']).nullable().default(null),
  state: z.enum(['completed', 'stopped', 'not-run']).default('completed'),
  reason: z.string().nullable().default(null).describe('why it was stopped or not run'),
  endedByFailures: z
    .boolean()
    .default(false)
    .describe(
      'stopped or not run because enough runs failed, and not because of the machine, a service or a signal',
    ),
  ok: z.boolean().default(true),
  completedRuns: count.default(0),
  failedRuns: count.default(0),
  failureRate: z
    .looseObject({
      confidence: reportedConfidence.describe('of both'),
      upperBound: rate.describe('one-sided Clopper-Pearson bound'),
      interval: interval.describe('two-sided Clopper-Pearson interval'),
    })
    .default({ confidence: 0.95, upperBound: 1, interval: { lower: 0, upper: 1 } }),
  exitMs: z
    .looseObject({ count, median: ms, p99: ms, max: ms })
    .nullable()
    .default(null)
    .describe('over all runs that reported "work done"; null when none did'),
  failures: z.array(failure).describe('kinds of failures, the most frequent first'),
  cleanTimeline: timeline.nullable().default(null).describe('of the first run that ended as expected'),
  runs: z.array(run).describe('every finished run'),
});

const sample = z.looseObject({ failed: count, runs: count, interval });

const comparison = z.looseObject({
  names: z.looseObject({ before: z.string(), after: z.string() }),
  before: sample,
  after: sample,
  p: z
    .looseObject({ twoSided: rate, lower: rate, higher: rate })
    .describe("Fisher's exact test; lower: of after failing less"),
  adjustedP: rate.describe("two-sided, after Holm's adjustment"),
  confidence: reportedConfidence,
  verdict: z.enum(['better', 'worse', 'not-proven']),
  runsToProve: count.nullable(),
});

const host = z.looseObject({
  platform: z.string(),
  arch: z.string(),
  cpus: z.int().min(1),
  node: z.string(),
});

/** What `quiesce run --json` writes. Fields that were added later have defaults, so that older reports can be read. */
export const reportSchema = z.looseObject({
  version: z.literal(REPORT_VERSION),
  quiesce: z.string().exactOptional().describe('version of the package that wrote it'),
  ok: z.boolean().default(true).describe('every scenario is ok and no service failed'),
  interrupted: z.boolean().default(false),
  startedAt: z.iso.datetime(),
  durationMs: ms.default(0),
  sessions: z
    .array(z.string())
    .exactOptional()
    .describe('ids of the sessions that made the runs: several if it was resumed or merged'),
  host: host.exactOptional(),
  hosts: z.array(host).exactOptional().describe('in a merged report: all machines that made runs'),
  planFile: z.string().nullable().default(null).describe('the plan file, as given; null for a command'),
  serviceFailures: z.array(z.looseObject({ service: z.string(), message: z.string() })).default([]),
  scenarios: z.array(scenario),
  comparisons: z.array(comparison).exactOptional().describe('of quiesce compare'),
});

/** A report as its file contains it. */
export type Report = z.output<typeof reportSchema>;

/** A scenario in a report. */
export type ReportedScenario = Report['scenarios'][number];

/** The JSON schema (draft 2020-12) of what `--json` writes: `report.schema.json` of this package. */
export function jsonSchema(): Record<string, unknown> {
  const comparedReports = z.looseObject({
    version: z.literal(REPORT_VERSION),
    comparisons: z.array(comparison),
  });
  return {
    ...z.toJSONSchema(z.union([reportSchema, comparedReports]), { io: 'output' }),
    $id: 'https://github.com/quiesce/quiesce/blob/main/packages/quiesce/report.schema.json',
    title: 'Report of the shutdown stress tester quiesce',
  };
}
