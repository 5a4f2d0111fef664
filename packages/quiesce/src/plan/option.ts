import type { z } from 'zod';

/** An option of scenarios: how a plan, the command line and a report treat it, in one place. */
export interface Option<Given, Value = Given> {
  /** What a plan may hold. */
  readonly schema: z.ZodType<Given>;
  /** The value of a scenario that doesn't set it. A value that depends on other options has no default here. */
  readonly default?: Value;
  /** Turns what was given into the value; default: the given value itself. */
  readonly settle?: (given: Given) => Value;
  /** Whether a value from the caller is added to the plan's value instead of replacing it. */
  readonly adds?: true;
  /** What an editor shows about it in a plan; default: the help of its flag. */
  readonly about?: string;
  /** How the command line sets it. An option without a flag can be set only in a plan. */
  readonly flag?: Flag<Value>;
  readonly bearsOn: Bearing;
  /** Its name in an error: "with another ...". */
  readonly noun: string;
  /** Its field in a scenario, if that has a different name from the option. */
  readonly field?: string;
  /** How a report contains it. An option without this is not in reports, or is part of another field. */
  readonly report?: ReportField<Value>;
}

/** An option whose value doesn't depend on other options. */
export interface ValueOption<Given, Value = Given> extends Option<Given, Value> {
  readonly default: Value;
}

/** What the option affects, and so whether runs that were made with different values can be counted together. */
export type Bearing =
  /** How runs are made or judged: runs with different values are never counted together. */
  | 'outcome'
  /** What a report shows about a run besides its outcome. */
  | 'evidence'
  /** What a report states about all runs: reports with different values are not merged. */
  | 'statement'
  /** How many runs are made, where, and how fast. */
  | 'effort';

/** A flag of the command line. */
export interface Flag<Value> {
  /** The flag in commander's notation: `-j, --jobs <n>`. */
  readonly term: string;
  readonly help: string;
  /** Turns a flag's text into what the option's schema accepts; default: the text itself. */
  readonly read?: (text: string) => unknown;
  /** The words that set a value; default: the flag and the value. */
  readonly words?: (value: Value) => string[];
}

/** A field of a scenario in a JSON report. */
export interface ReportField<Value> {
  /** Set if that isn't the name of the scenario's field. */
  readonly name?: string;
  readonly schema: z.ZodType;
  readonly write?: (value: Value) => unknown;
  readonly read?: (written: never) => Value;
}
