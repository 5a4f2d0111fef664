import { atCaller } from './at-caller.js';

/** Where the items come from, several at a time. */
export interface ItemSource<T> {
  /** The next items, which may be none; `undefined` at the end. One call at a time. */
  next(): Promise<readonly T[] | undefined>;
  /** No more is wanted. */
  close(): void | Promise<void>;
}

/** Items one by one, of a source of several. Not an async generator, which costs several times as much for each item. */
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
    if (this.#refilling === undefined) {
      if (!this.#over && this.#index < this.#items.length) {
        const value = this.#items[this.#index++] as T;
        return Promise.resolve({ done: false, value });
      }
      if (this.#over) return Promise.resolve({ done: true, value: undefined });
      this.#refilling = this.#refill();
    }
    return this.#refilling.then(() => this.next());
  }

  /** The first of these items, which came from the source last, that was not given out; also after the end. */
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

  async #refill(): Promise<void> {
    try {
      const items = await this.#source.next();
      if (items === undefined) this.#over = true;
      if (this.#over) return;
      this.#items = items ?? [];
      this.#index = 0;
    } catch (error) {
      this.#over = true;
      throw atCaller(error);
    } finally {
      this.#refilling = undefined;
    }
  }
}
