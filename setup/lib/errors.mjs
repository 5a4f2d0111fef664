// @ts-check

/** Something that keeps a command of this repository from doing its work. It is shown without a stack trace. */
export class SetupError extends Error {
  /**
   * @param {string} message one sentence: what failed
   * @param {{ hint?: string | undefined, output?: string | undefined, exitCode?: number }} [details] `hint`: what to do
   * about it; `output`: the last lines that the failed program printed
   */
  constructor(message, { hint, output, exitCode = 3 } = {}) {
    super(message);
    this.hint = hint;
    this.output = output;
    this.exitCode = exitCode;
  }
}

/** Arguments that make no sense: exit code 2. */
export class UsageError extends SetupError {
  /**
   * @param {string} message
   * @param {string} [hint]
   */
  constructor(message, hint) {
    super(message, { hint, exitCode: 2 });
  }
}

/** The answer to `--help`: how a command is used. */
export class Help extends Error {}

/**
 * Fails on the first name that isn't known. So no list of names in this repository outlives what it names.
 * @param {Iterable<string>} names
 * @param {Iterable<string>} known
 * @param {(name: string) => string} message
 * @param {string} [hint]
 */
export function refuseUnknown(names, known, message, hint) {
  const all = new Set(known);
  for (const name of names) if (!all.has(name)) throw new UsageError(message(name), hint);
}
