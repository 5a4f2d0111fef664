/** How long what is handled in one turn of the event loop may take, in ms: all else that the process does waits for it. */
const longestTurnMs = 3;

/** The most that is handled in one turn, however fast it goes. */
const mostInTurn = 256;

const resolved = Promise.resolve();

/**
 * How many answers to handle in one turn of the event loop. That depends on what their callers do with them, which
 * the last turn tells: to read a key takes microseconds, to parse a value of 1 MiB and put another one milliseconds.
 */
export class TurnPace {
  #most = mostInTurn;
  #handled = 0;
  #began = 0;

  /** How many to handle in the turn that begins now. */
  begin(): number {
    this.#began = performance.now();
    return this.#most;
  }

  /** So many were handled; what their callers do is still to come. */
  handled(count: number): void {
    // One answer can't be spread over two turns.
    if (count === 0 || (count === 1 && this.#most === mostInTurn)) return;
    this.#handled = count;
    // A tick that a microtask asks for comes when no microtask is left. queueMicrotask() would cost ten times as much.
    void resolved.then(this.#afterMicrotasks);
  }

  readonly #afterMicrotasks = (): void => process.nextTick(this.#ended);

  readonly #ended = (): void => {
    const turns = (performance.now() - this.#began) / longestTurnMs;
    // A short turn of few says little about one of many.
    if (turns <= 1 && this.#handled < this.#most) return;
    this.#most = Math.min(Math.max(Math.floor(this.#handled / turns), 1), mostInTurn);
  };
}
