/** Something that keeps a command of this repository from doing its work. Shown without a stack trace. */
export class SetupError extends Error {
  /**
   * @param {string} message one sentence: what failed
   * @param {{ hint?: string, output?: string, exitCode?: number }} [details] `hint`: what to do about it;
   * `output`: the tail of what the failed program printed
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
  constructor(message, hint) {
    super(message, { hint, exitCode: 2 });
  }
}
