import { monotonicMs, nextTick } from '../../util/timers.js';

/**
 * How long what is handled in one turn of the event loop may take, in ms: everything else in the process waits for it.
 */
const LONGEST_TURN_MS = 3;

/** The most answers that are handled in one turn, however fast that is. */
const MOST_IN_TURN = 256;

const resolved = Promise.resolve();

/**
 * How many answers to handle in one turn of the event loop. That depends on what their callers do with them, which the
 * last turn shows. Reading a key takes microseconds; parsing a value of 1 MiB and putting another one takes
 * milliseconds.
 */
export class TurnPace {
  #most = MOST_IN_TURN;
  #handled = 0;
  #began = 0;

  /** How many to handle in the turn that begins now. */
  begin(): number {
    this.#began = monotonicMs();
    return this.#most;
  }

  /** This many were handled. Their callers have yet to run. */
  handled(count: number): void {
    // One answer can't be spread over two turns.
    if (count === 0 || (count === 1 && this.#most === MOST_IN_TURN)) return;
    this.#handled = count;
    // A tick requested in a microtask runs when no microtasks are left. queueMicrotask() would cost ten times as much.
    void resolved.then(this.#afterMicrotasks);
  }

  readonly #afterMicrotasks = (): void => nextTick(this.#ended);

  readonly #ended = (): void => {
    const turns = (monotonicMs() - this.#began) / LONGEST_TURN_MS;
    // A short turn with few answers says little about a turn with many.
    if (turns <= 1 && this.#handled < this.#most) return;
    this.#most = Math.min(Math.max(Math.floor(this.#handled / turns), 1), MOST_IN_TURN);
  };
}
