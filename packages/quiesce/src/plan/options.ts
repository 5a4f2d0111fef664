import { z } from 'zod';
import type { Duration } from '../duration.js';
import { PERTURBATIONS, perturbChoiceText, savedPerturbChoice } from '../perturb/perturb.js';
import type { RecordedPerturbing } from '../perturb/perturbed-run.js';
import type { Expect } from '../run/outcome.js';
import { CONFIDENCE } from '../statistics/intervals.js';
import { parseConfidence, type Rate, type RateGoal } from '../statistics/rate-goal.js';
import { expectation, expectationFlags, parseExpectation, reportedExpectation } from './expectation.js';
import {
  confidence,
  count,
  duration,
  environment,
  flag,
  list,
  names,
  perturbation,
  positiveInteger,
  rate,
  regularExpression,
  reportedConfidence,
  seed,
  text,
} from './fields.js';
import type { Option, ValueOption } from './option.js';

const value = <Given, Value = Given>(option: ValueOption<Given, Value>): ValueOption<Given, Value> => option;
const part = <Given, Value = Given>(option: Option<Given, Value>): Option<Given, Value> => option;

/** Digits as a number; other text is left to the schema. */
export const integerText = (text: string): number | string => (/^\d+$/.test(text) ? Number(text) : text);

const runCount = z.int().min(0);

function goalWords(goal: RateGoal | null): string[] {
  if (goal === null) return [];
  const { rate, confidence, allowFailures } = goal;
  return [
    ...['--until', String(rate)],
    ...(confidence === CONFIDENCE ? [] : ['--confidence', String(confidence)]),
    ...(allowFailures === 0 ? [] : ['--allow-failures', String(allowFailures)]),
  ];
}

const checkers = {
  /**
   * Whether its programs run under valgrind's memcheck, whose errors make a run fail; default false. This raises the
   * timeout.
   */
  valgrind: value<boolean>({
    schema: flag,
    default: false,
    flag: { term: '--valgrind', help: 'run programs under valgrind, whose errors make a run fail' },
    bearsOn: 'outcome',
    noun: 'use of valgrind',
    report: { schema: z.boolean().default(false).describe('its programs ran under valgrind') },
  }),
  /**
   * Whether AddressSanitizer's library is loaded into its programs, for addons that were built with it; default false.
   * This raises the timeout.
   */
  asan: value<boolean>({
    schema: flag,
    default: false,
    flag: {
      term: '--asan',
      help: "run programs with AddressSanitizer's library, for addons that were built with it",
    },
    bearsOn: 'outcome',
    noun: 'use of AddressSanitizer',
    report: { schema: z.boolean().default(false).describe("its programs had AddressSanitizer's library") },
  }),
};

/** Options whose values don't depend on other options. */
export const valueOptions = {
  /** Confidence of every statement about the failure rate; default `"95%"`. */
  confidence: value<Rate, number>({
    schema: confidence,
    default: CONFIDENCE,
    settle: parseConfidence,
    flag: {
      term: '--confidence <level>',
      help: 'confidence of the statements about failure rates (default: 95%)',
    },
    bearsOn: 'statement',
    noun: 'confidence',
  }),
  /** How many runs are made at a time; default 1. With more, exit times are those of a busy machine. */
  jobs: value({
    schema: positiveInteger,
    default: 1,
    flag: {
      term: '-j, --jobs <n>',
      help: 'runs at a time (default: 1, or as the plan says)',
      read: integerText,
    },
    bearsOn: 'effort',
    noun: 'number of jobs',
    report: { schema: z.int().min(1).default(1) },
  }),
  /** How its runs should end; default `'clean'`. */
  expect: value<Expect>({
    schema: expectation,
    default: 'clean',
    flag: {
      term: '--expect <end>',
      help: 'how runs should end: clean, any, exit:N or a signal name (default: clean)',
      read: parseExpectation,
      words: expectationFlags,
    },
    bearsOn: 'outcome',
    noun: 'expectation',
    report: { schema: reportedExpectation },
  }),
  /** Whether a thread that still runs at exit makes a run fail, except for the host's own threads; default false. */
  strict: value<boolean>({
    schema: flag,
    default: false,
    flag: { term: '--strict', help: 'threads that still run at exit make a run fail' },
    bearsOn: 'outcome',
    noun: 'strictness',
    report: { schema: z.boolean().default(false).describe('threads that still run at exit fail a run') },
  }),
  /**
   * Threads that `strict` tolerates, by their names or by the file names of the libraries that started them. `*` and
   * `?` are wildcards.
   */
  allowThreads: value<readonly string[]>({
    schema: list(text, 'names of threads or libraries'),
    default: [],
    adds: true,
    flag: {
      term: '--allow-thread <name>',
      help: 'with --strict: a thread that may still run at exit, by its name or its library; * and ? (repeatable)',
    },
    bearsOn: 'outcome',
    noun: 'list of allowed threads',
    report: {
      schema: z.array(z.string()).default([]).describe('threads or libraries that strict allows to be left'),
    },
  }),
  /**
   * Whether the exit witness is loaded into its programs, if it was built; default true. The witness is a preload
   * library that sees crashes, and threads, sockets and files left at exit. Without it outcomes are just as exact, but
   * there are no stacks of crashes.
   */
  witness: value<boolean>({
    schema: flag,
    default: true,
    about:
      'Loads the exit witness into programs. It reports stacks of crashes, and threads, sockets and files left at exit',
    flag: {
      term: '--no-witness',
      help: "don't load the exit witness into programs: no stacks of crashes, no report of threads, sockets and files left at exit",
    },
    bearsOn: 'evidence',
    noun: 'use of the witness',
    report: { schema: z.boolean().default(true).describe('the exit witness was loaded, where it was built') },
  }),
  /**
   * Whether the timeline of the exit is recorded: what its threads did, and what was torn down when; default false. It
   * needs the witness, and takes a few milliseconds of CPU time for each run: docs/tester.md has the figures.
   */
  timeline: value<boolean>({
    schema: flag,
    default: false,
    flag: {
      term: '--timeline',
      help: 'show the exit of a failed run, and of a clean one beside it: threads and teardown over time',
    },
    bearsOn: 'evidence',
    noun: 'use of the timeline',
    report: { schema: z.boolean().default(false).describe('the timeline of the exit was taken') },
  }),
  ...checkers,
  /**
   * Whether a fatal signature in its output, such as Python's "Fatal Python error", makes a run fail; default true.
   * docs/tester.md lists them.
   */
  signatures: value<boolean>({
    schema: flag,
    default: true,
    about: 'What dying runtimes print makes a run fail',
    flag: {
      term: '--no-signatures',
      help: "don't fail a run that ended as expected for what dying runtimes print",
    },
    bearsOn: 'outcome',
    noun: 'use of signatures',
    report: { schema: z.boolean().default(true).describe('a fatal signature in the output fails a run') },
  }),
  /**
   * Regular expressions: output lines that match one are ignored, both for signatures and where stderr must be empty.
   * An override is added to the plan's list.
   */
  ignoreOutput: value<readonly string[]>({
    schema: list(regularExpression, 'regular expressions'),
    default: [],
    adds: true,
    flag: {
      term: '--ignore-output <pattern>',
      help: 'ignore lines of output that match this regular expression (repeatable)',
    },
    bearsOn: 'outcome',
    noun: 'list of ignored output',
    report: {
      schema: z
        .array(z.string())
        .default([])
        .describe('regular expressions: lines of output that match one were not looked at'),
    },
  }),
  /** Names of the plan's services that must run; their `provides` are in the environment. */
  uses: value<readonly string[]>({
    schema: names('service names'),
    default: [],
    about: "Names of the plan's services that must run",
    bearsOn: 'effort',
    noun: 'list of services',
    report: { schema: z.array(z.string()).default([]).describe('names of the services it needs') },
  }),
};

/**
 * All options of scenarios. Several things are derived from this table: the types, what a plan may contain, the command
 * line's flags, what a report says about a scenario, and which runs can be counted together. Add a new option to
 * `valueOptions`.
 */
export const options = {
  /** How many runs; default 20. Can't be combined with `until`. */
  runs: value<number>({
    schema: positiveInteger,
    default: 20,
    flag: {
      term: '-n, --runs <n>',
      help: 'runs of each scenario (default: 20, or as the plan says)',
      read: integerText,
    },
    bearsOn: 'effort',
    noun: 'number of runs',
    report: {
      name: 'plannedRuns',
      schema: runCount.default(0).describe('of this shard, where there are shards'),
    },
  }),
  /**
   * Makes as many runs as it takes to show that the failure rate is below this, such as `"0.1%"` or 0.001. Stops once
   * that is decided. docs/statistics.md describes the test.
   */
  until: part<Rate, RateGoal | null>({
    schema: rate,
    flag: {
      term: '--until <rate>',
      help: 'run until the failure rate is proven to be below this, such as 0.1%',
      words: goalWords,
    },
    bearsOn: 'statement',
    noun: 'rate to be shown',
    report: {
      schema: z
        .looseObject({
          rate: z.number().gt(0).lt(1),
          confidence: reportedConfidence,
          allowFailures: runCount,
        })
        .nullable()
        .default(null)
        .describe('the rate that its runs were to show'),
    },
  }),
  /** Failed runs that `until` tolerates; default 0. Each makes the test longer, and more powerful. */
  allowFailures: part<number>({
    schema: count,
    flag: {
      term: '--allow-failures <n>',
      help: 'failed runs that --until tolerates (default: 0)',
      read: integerText,
    },
    bearsOn: 'statement',
    noun: 'number of allowed failures',
  }),
  /**
   * How its runs are perturbed, so that races show: `"all"`, `"none"` (the default), or parts such as
   * `"amplify,nice=3"`. docs/measurements/sensitivity.md describes them.
   */
  perturb: part<string, RecordedPerturbing | null>({
    schema: perturbation,
    flag: {
      term: '--perturb <parts>',
      help: `disturb runs so that races show: all, none, or some of ${PERTURBATIONS.join(',')}, each with =value or drawn for each run`,
      words: (perturb) => ['--perturb', perturb === null ? 'none' : perturbChoiceText(perturb.choice)],
    },
    bearsOn: 'outcome',
    noun: 'perturbation',
    report: {
      schema: z
        .looseObject({ parts: z.string(), seed: runCount.nullable() })
        .nullable()
        .default(null)
        .describe('what its runs were perturbed by; seed null: reports with different seeds were merged'),
      write: (perturb) => perturb && { parts: perturbChoiceText(perturb.choice), seed: perturb.seed },
      read: (written: { parts: string; seed: number | null } | null) =>
        written && { choice: savedPerturbChoice(written.parts), seed: written.seed },
    },
  }),
  /** The seed of perturbations, from 0 to 2^32 - 1; default: a new one each time, which is reported. */
  seed: part<number>({
    schema: seed,
    flag: {
      term: '--seed <n>',
      help: 'seed of the perturbations (default: a new one, which is printed)',
      read: integerText,
    },
    bearsOn: 'effort',
    noun: 'seed',
  }),
  // Before the timeout, which they raise: if both differ, the cause is reported.
  ...checkers,
  /** A run that takes longer is a hang; default `"10s"`, at most 24 days. */
  timeout: value<Duration, number>({
    schema: duration,
    default: 10_000,
    flag: {
      term: '--timeout <duration>',
      help: 'a run that takes longer counts as a hang: 500ms, 10s, 2m, at most 24 days (default: 10s)',
      words: (ms) => ['--timeout', `${ms}ms`],
    },
    bearsOn: 'outcome',
    noun: 'timeout',
    field: 'timeoutMs',
    report: { schema: z.number().min(0).default(10_000) },
  }),
  /** Working directory, relative to the plan file; default: the plan file's directory. */
  cwd: part<string>({
    schema: text,
    about: "Working directory, relative to the plan file (default: the plan file's directory)",
    bearsOn: 'effort',
    noun: 'working directory',
    report: { schema: z.string().default('.') },
  }),
  /** Added to the environment of the tester. A scenario's variables are added to those of the defaults. */
  env: part<Readonly<Record<string, string>>>({
    schema: environment,
    about: 'Added to the environment of the tester',
    bearsOn: 'effort',
    noun: 'environment',
  }),
  ...valueOptions,
};

/** Name of an option of scenarios. */
export type OptionName = keyof typeof options;

/** The options' names, in the order of the table. */
export const optionNames = Object.keys(options) as OptionName[];

/** An option without its types, for code that treats all options alike. */
export const optionOf = (name: OptionName): Option<unknown> => options[name] as Option<unknown>;

type GivenOf<T> = T extends { readonly schema: z.ZodType<infer Given> } ? Given : never;
type ValueOf<T> = T extends { readonly default: infer Value } ? Value : never;

/** What the scenarios of a plan have in common, and what each may override. */
export type ScenarioDefaults = { readonly [K in OptionName]?: GivenOf<(typeof options)[K]> };

/** The values of the options that don't depend on other options. */
export type OptionValues = { readonly [K in keyof typeof valueOptions]: ValueOf<(typeof valueOptions)[K]> };

/** What only a plan, or a command's own flags, can set for a scenario, since it isn't the same for all. */
export const OF_ONE_SCENARIO = ['uses', 'env', 'cwd', 'expect'] as const satisfies readonly OptionName[];

/** Options that can override the plan for all of its scenarios. */
export type OverridingOptions = Omit<ScenarioDefaults, (typeof OF_ONE_SCENARIO)[number]>;

/** The words of a command line that set an option to a value. */
export function flagWords(name: OptionName, value: unknown): string[] {
  const { flag, default: usual } = optionOf(name);
  if (flag === undefined) return [];
  if (flag.words !== undefined) return flag.words(value);
  const word = flagOf(name) as string;
  if (typeof value === 'boolean') return value === usual ? [] : [word];
  return [value].flat().flatMap((one) => [word, String(one)]);
}

/** Its long flag, such as `--jobs`; `undefined` if it has none. */
export const flagOf = (name: OptionName): string | undefined =>
  /--[\w-]+/.exec(optionOf(name).flag?.term ?? '')?.[0];
