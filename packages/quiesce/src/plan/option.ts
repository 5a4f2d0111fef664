import type { z } from 'zod';

/** An option of scenarios: what a plan, the command line and a report have of it, in one place. */
export interface Option<Given, Value = Given> {
  /** What a plan may hold. */
  readonly schema: z.ZodType<Given>;
  /** The value of a scenario for which nothing is given. A value that depends on other options has no default here. */
  readonly default?: Value;
  /** Makes the value from what was given; default: the given value itself. */
  readonly settle?: (given: Given) => Value;
  /** A value that overrides the plan's is added to it instead of replacing it. */
  readonly adds?: true;
  /** What an editor shows of it in a plan; default: the help of its flag. */
  readonly about?: string;
  /** How the command line gives it; an option without can only be in a plan. */
  readonly flag?: Flag<Value>;
  readonly bearsOn: Bearing;
  /** What it is called in an error: "with another ...". */
  readonly noun: string;
  /** Its field of a scenario, where that has a different name from the option. */
  readonly field?: string;
  /** How a report has it; an option without is not in reports, or is part of another field. */
  readonly report?: ReportField<Value>;
}

/** An option whose value needs no other. */
export interface ValueOption<Given, Value = Given> extends Option<Given, Value> {
  readonly default: Value;
}

/** What another value changes, and so whether runs that were made with another can be counted together. */
export type Bearing =
  /** How runs are made or judged: those that were made with another value are never counted together. */
  | 'outcome'
  /** What a report shows of a run besides its outcome. */
  | 'evidence'
  /** What a report states about all runs: reports with another value are not merged. */
  | 'statement'
  /** How many runs are made, where, and in what time. */
  | 'effort';

/** A flag of the command line. */
export interface Flag<Value> {
  /** As commander takes it: `-j, --jobs <n>`. */
  readonly term: string;
  readonly help: string;
  /** Makes of a flag's text what the option's schema takes; default: the text itself. */
  readonly read?: (text: string) => unknown;
  /** The words that give a value; default: the flag and the value. */
  readonly words?: (value: Value) => string[];
}

/** A field of a scenario in a JSON report. */
export interface ReportField<Value> {
  /** Where that isn't the name of the scenario's field. */
  readonly name?: string;
  readonly schema: z.ZodType;
  readonly write?: (value: Value) => unknown;
  readonly read?: (written: never) => Value;
}
