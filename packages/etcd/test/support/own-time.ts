const STEP_MS = 10;

/**
 * Time in the steps that this process comes to make, in ms: turns of a timer. Where other processes keep this one from
 * running, no step passes. An upper bound on it therefore holds on a busy machine as well.
 */
export class OwnTime implements Disposable {
  #steps = 0;
  readonly #timer = setInterval(() => {
    this.#steps += 1;
  }, STEP_MS);

  /** How much has passed. It is at most the time by the clock. */
  get ms(): number {
    return this.#steps * STEP_MS;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
