import { EtcdError, StatusCode } from '../errors.js';
import { atCaller } from './at-caller.js';

/**
 * Where the items come from, a portion at a time. What a program waits for long is old for V8 once it comes, and so is all that it holds,
 * until the next full collection. So a portion isn't the result of the wait.
 */
export interface ItemSource<T> {
  /** Resolves when there is a portion to take, or the end; `undefined` where there is already. One call at a time. */
  arrival(): Promise<void> | undefined;
  /** Takes the portion that has arrived, possibly without items; `undefined` at the end. */
  take(): readonly T[] | undefined;
  /** No more items are wanted. */
  close(): void | Promise<void>;
}

/**
 * Yields the items of a source one by one. It isn't an async generator, as that costs several times as much for each
 * item.
 */
export class ItemIterator<T> implements AsyncGenerator<T, void, void> {
  readonly #source: ItemSource<T>;
  readonly #signal: AbortSignal | undefined;
  #items: readonly T[] = none;
  #index = 0;
  /** `ends`: what was taken is dropped, and only the end is yet to come. */
  #state: 'yields' | 'ends' | 'over' = 'yields';
  /** The result of the call that waits for the next portion. */
  #refilling: Promise<IteratorResult<T, void>> | undefined;

  /** @param signal ends it with its reason before the next item, also before those that have arrived. */
  constructor(source: ItemSource<T>, signal?: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
  }

  next(): Promise<IteratorResult<T, void>> {
    if (this.#signal?.aborted && this.#state !== 'over') return this.#aborted(this.#signal);
    // While V8 is cold, a call for each item would cost as much as everything else here.
    if (this.#index < this.#items.length && this.#state === 'yields') {
      return resolved({ done: false, value: this.#items[this.#index++] as T });
    }
    if (this.#refilling !== undefined) return this.#refilling.then(this.#nextAfter);
    if (this.#state === 'over') return resolved({ done: true, value: undefined });
    // They aren't kept until the next portion comes.
    if (this.#state === 'yields') this.#items = none;
    const arrival = this.#source.arrival();
    if (arrival === undefined) return resolved(this.#filled());
    this.#refilling = arrival.then(this.#filled, this.#failed);
    return this.#refilling;
  }

  /** The source has dropped what wasn't taken. What was taken and not yielded is dropped, too; only the end is yet to come. */
  drop(): void {
    if (this.#state === 'yields') this.#state = 'ends';
  }

  /** Whether somebody waits for the next item. */
  get waiting(): boolean {
    return this.#refilling !== undefined;
  }

  /** The first item of the last portion that was not yielded yet; also after the end. */
  get upcoming(): T | undefined {
    return this.#items[this.#index];
  }

  async return(): Promise<IteratorResult<T, void>> {
    this.#state = 'over';
    await this.#source.close();
    return { done: true, value: undefined };
  }

  async throw(error: unknown): Promise<IteratorResult<T, void>> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  async #aborted({ reason }: AbortSignal): Promise<never> {
    await this.return();
    throw reason;
  }

  // A loop may wait for long. What it waits by is then copied by V8's garbage collector, with what it gets: the fewer
  // promises and closures, the better.

  readonly #filled = (): IteratorResult<T, void> | Promise<IteratorResult<T, void>> => {
    this.#refilling = undefined;
    const items = this.#state === 'over' ? undefined : this.#source.take();
    if (items === undefined) {
      this.#state = 'over';
      return { done: true, value: undefined };
    }
    this.#items = none;
    this.#index = 0;
    if (items.length === 0) return this.next();
    if (items.length > 1) {
      this.#items = items;
      this.#index = 1;
    }
    return { done: false, value: items[0] as T };
  };

  readonly #nextAfter = (): Promise<IteratorResult<T, void>> => this.next();

  readonly #failed = (error: unknown): never => {
    this.#refilling = undefined;
    this.#state = 'over';
    throw atCaller(error);
  };
}

const none: readonly never[] = [];

/** The same as `Promise.resolve()`. For what isn't a promise it takes three quarters of the time in V8. */
async function resolved<T>(value: T | Promise<T>): Promise<T> {
  return value;
}

/** What one loop can iterate over. */
interface Looped<T> extends AsyncGenerator<T, void, void> {
  /** Whether somebody waits for the next item. */
  readonly waiting: boolean;
}

/**
 * The items of a generator, which can be left while somebody waits for the next item. A generator alone ends only after
 * that item has arrived.
 */
export class Leavable<T> implements Looped<T> {
  readonly #items: AsyncGenerator<T, void, void>;
  readonly #leave: () => void;
  readonly #signal: AbortSignal | undefined;
  #waiting = 0;
  /** It was left, or it has ended. */
  #over = false;

  /**
   * @param leave ends what the generator waits for, normally or with an error.
   * @param signal ends it with its reason before the next item, also before those that have arrived.
   */
  constructor(items: AsyncGenerator<T, void, void>, leave: () => void, signal?: AbortSignal) {
    this.#items = items;
    this.#leave = leave;
    this.#signal = signal;
  }

  get waiting(): boolean {
    return this.#waiting > 0;
  }

  async next(): Promise<IteratorResult<T, void>> {
    if (this.#signal?.aborted && !this.#over) {
      await this.return();
      throw this.#signal.reason;
    }
    this.#waiting += 1;
    try {
      const result = await this.#items.next();
      if (result.done) this.#over = true;
      return result;
    } catch (error) {
      if (this.#over) return { done: true, value: undefined };
      this.#over = true;
      throw error;
    } finally {
      this.#waiting -= 1;
    }
  }

  return(): Promise<IteratorResult<T, void>> {
    this.#end();
    return this.#items.return();
  }

  throw(error: unknown): Promise<IteratorResult<T, void>> {
    this.#end();
    return this.#items.throw(error);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #end(): void {
    this.#over = true;
    this.#leave();
  }
}

/**
 * Gives each loop over the same items its own iterator, so that two loops can't wait at the same time: each would get
 * only some of the items. Loops that run one after another share the items.
 */
export class OneLoop<T> {
  readonly #items: Looped<T>;
  readonly #what: string;
  /** The iterator that asked last. */
  #loop: AsyncGenerator<T, void, void> | undefined;

  /** @param what the name of the source, for the message: `watch`. */
  constructor(items: Looped<T>, what: string) {
    this.#items = items;
    this.#what = what;
  }

  iterator(): AsyncGenerator<T, void, void> {
    const items = this.#items;
    const loop: AsyncGenerator<T, void, void> = {
      next: () => {
        if (this.#loop !== loop) {
          if (items.waiting) return Promise.reject(this.#refused());
          this.#loop = loop;
        }
        return items.next();
      },
      return: () => items.return(),
      throw: (error) => items.throw(error),
      [Symbol.asyncIterator]: () => loop,
      [Symbol.asyncDispose]: async () => void (await items.return()),
    };
    return loop;
  }

  #refused(): EtcdError {
    const what = this.#what;
    const message = `this ${what} is already consumed by another loop, and each item goes to only one; make another ${what}`;
    return new EtcdError(message, { code: StatusCode.FAILED_PRECONDITION, sent: false });
  }
}
