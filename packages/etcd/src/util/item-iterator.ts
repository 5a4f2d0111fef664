import { EtcdError, StatusCode } from '../errors.js';
import { atCaller } from './at-caller.js';

/** Where the items come from, several at a time. */
export interface ItemSource<T> {
  /** The next items, possibly none; `undefined` at the end. One call at a time. */
  next(): Promise<readonly T[] | undefined>;
  /** No more items are wanted. */
  close(): void | Promise<void>;
}

/**
 * Yields the items of a source one by one. It isn't an async generator, as that costs several times as much for each
 * item.
 */
export class ItemIterator<T> implements AsyncGenerator<T, void, void> {
  readonly #source: ItemSource<T>;
  #items: readonly T[] = [];
  #index = 0;
  #over = false;
  #refilling: Promise<void> | undefined;

  constructor(source: ItemSource<T>) {
    this.#source = source;
  }

  next(): Promise<IteratorResult<T, void>> {
    // While V8 is cold, a call for each item would cost as much as everything else here.
    if (this.#index < this.#items.length && !this.#over) {
      return resolved({ done: false, value: this.#items[this.#index++] as T });
    }
    if (this.#over && this.#refilling === undefined) return resolved({ done: true, value: undefined });
    this.#refilling ??= this.#source.next().then(this.#filled, this.#failed);
    return this.#refilling.then(this.#resultOrNext);
  }

  /** Whether somebody waits for the next item. */
  get waiting(): boolean {
    return this.#refilling !== undefined;
  }

  /** The first of these items, the last ones from the source, that was not yielded yet; also after the end. */
  nextOf(items: readonly T[]): T | undefined {
    return items === this.#items ? items[this.#index] : items[0];
  }

  async return(): Promise<IteratorResult<T, void>> {
    this.#over = true;
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

  // A loop may wait for long, and what it waits by is then copied by V8's garbage collector: the fewer promises and
  // closures, the better.

  readonly #resultOrNext = (): IteratorResult<T, void> | Promise<IteratorResult<T, void>> => {
    if (this.#over) return { done: true, value: undefined };
    if (this.#index === this.#items.length) return this.next();
    return { done: false, value: this.#items[this.#index++] as T };
  };

  readonly #filled = (items: readonly T[] | undefined): void => {
    this.#refilling = undefined;
    if (items === undefined) this.#over = true;
    if (this.#over) return;
    this.#items = items ?? [];
    this.#index = 0;
  };

  readonly #failed = (error: unknown): never => {
    this.#refilling = undefined;
    this.#over = true;
    throw atCaller(error);
  };
}

/** The same as `Promise.resolve()` for what isn't a promise, in three quarters of the time in V8. */
async function resolved<T>(value: T): Promise<T> {
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
  #waiting = 0;
  #left = false;

  /** @param leave ends what the generator waits for, normally or with an error. */
  constructor(items: AsyncGenerator<T, void, void>, leave: () => void) {
    this.#items = items;
    this.#leave = leave;
  }

  get waiting(): boolean {
    return this.#waiting > 0;
  }

  async next(): Promise<IteratorResult<T, void>> {
    this.#waiting += 1;
    try {
      return await this.#items.next();
    } catch (error) {
      if (this.#left) return { done: true, value: undefined };
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
    this.#left = true;
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
