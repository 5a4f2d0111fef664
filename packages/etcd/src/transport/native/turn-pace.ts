import { nextTick } from '../../util/timers.js';

/** How long what is handled in one turn of the event loop may take, in ms: all else that the process does waits for it. */
const LONGEST_TURN_MS = 3;

/** The most that is handled in one turn, however fast it goes. */
const MOST_IN_TURN = 256;

const resolved = Promise.resolve();

/**
 * How many answers to handle in one turn of the event loop. That depends on what their callers do with them, which
 * the last turn shows: to read a key takes microseconds, to parse a value of 1 MiB and put another one milliseconds.
 */
export class TurnPace {
  #most = MOST_IN_TURN;
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
    if (count === 0 || (count === 1 && this.#most === MOST_IN_TURN)) return;
    this.#handled = count;
    // A tick that a microtask asks for comes when no microtask is left. queueMicrotask() would cost ten times as much.
    void resolved.then(this.#afterMicrotasks);
  }

  readonly #afterMicrotasks = (): void => nextTick(this.#ended);

  readonly #ended = (): void => {
    const turns = (performance.now() - this.#began) / LONGEST_TURN_MS;
    // A short turn of few says little about one of many.
    if (turns <= 1 && this.#handled < this.#most) return;
    this.#most = Math.min(Math.max(Math.floor(this.#handled / turns), 1), MOST_IN_TURN);
  };
}
