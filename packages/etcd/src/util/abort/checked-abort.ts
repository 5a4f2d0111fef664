/** Called before a signal reports its state. */
class Check {
  readonly #look: () => void;
  #looking = false;

  constructor(look: () => void) {
    this.#look = look;
  }

  run(): void {
    // What aborts the signal may read the signal's state.
    if (this.#looking) return;
    this.#looking = true;
    try {
      this.#look();
    } finally {
      this.#looking = false;
    }
  }
}

const checks = new WeakMap<AbortSignal, Check>();

/** The class of the signals of {@link CheckedAbortController}. */
class CheckedSignal extends AbortSignal {
  override get aborted(): boolean {
    checks.get(this)?.run();
    return super.aborted;
  }

  override get reason(): unknown {
    checks.get(this)?.run();
    return super.reason;
  }

  override throwIfAborted(): void {
    checks.get(this)?.run();
    super.throwIfAborted();
  }
}

/**
 * A controller whose signal checks whether it should abort before it reports its state. The check may read the clock,
 * which may have passed a deadline while no timer could run. The signal's event then comes at that moment.
 */
export class CheckedAbortController extends AbortController {
  /** @param look aborts this controller if it is time. */
  constructor(look: () => void) {
    super();
    // Only the host can make signals. The host's internal state of the signal stays.
    Object.setPrototypeOf(this.signal, CheckedSignal.prototype);
    checks.set(this.signal, new Check(look));
  }

  override abort(reason?: unknown): void {
    checks.delete(this.signal);
    super.abort(reason);
  }
}
