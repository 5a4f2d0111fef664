import { UsageError } from '../errors.js';

/** One thing that is wrong in a plan. */
export interface PlanProblem {
  /** Such as `["scenarios", 0, "runs"]`; empty if the text is not a plan at all. */
  readonly path: readonly (string | number)[];
  /** What was expected, and what was found. */
  readonly message: string;
  /** Where in the file; `undefined` for a plan that isn't YAML or JSON. */
  readonly place?: Place | undefined;
}

/** A place in a text, both from 1 on. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** A plan is wrong. The message lists everything that is wrong: a single problem on the same line, several on a line each. */
export class PlanError extends UsageError {
  readonly problems: readonly PlanProblem[];

  /** @param source the plan's name in the message, such as its file name. */
  constructor(source: string, problems: readonly PlanProblem[], options?: ErrorOptions) {
    const lines = problems.map((problem) => problemText(source, problem));
    const text =
      lines.length === 1
        ? lines[0]
        : `${source} has ${lines.length} errors:${lines.map((line) => `\n  ${line}`).join('')}`;
    super(text as string, undefined, options);
    this.problems = problems;
  }
}

function problemText(source: string, { path, message, place }: PlanProblem): string {
  const where = place === undefined ? source : `${source}:${place.line}:${place.column}`;
  const steps = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('');
  return [where, steps.replace(/^\./, ''), message].filter((part) => part !== '').join(': ');
}

/** A problem of fields with one another, with the caller's options or with this machine. */
export interface CombinationProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
  /** What to do about it. */
  readonly hint: string | undefined;
}
