/** Called before a signal reports its state. */
class Check {
  readonly #look: () => void;
  #looking = false;

  constructor(look: () => void) {
    this.#look = look;
  }

  run(): void {
    // What aborts the signal may ask for its state.
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

/** What the signals of {@link CheckedAbortController} are. */
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
 * A controller whose signal looks whether it is to abort before it states its state: by the clock, for instance, which may
 * have run past a deadline while no timer could. Its event then comes in that moment.
 */
export class CheckedAbortController extends AbortController {
  /** @param look aborts this controller if it is time. */
  constructor(look: () => void) {
    super();
    // Hosts make signals themselves alone; what they keep in one stays.
    Object.setPrototypeOf(this.signal, CheckedSignal.prototype);
    checks.set(this.signal, new Check(look));
  }

  override abort(reason?: unknown): void {
    checks.delete(this.signal);
    super.abort(reason);
  }
}
