import type { Keys } from './near-ends.js';

/** What one request for the next keys of a range has brought. */
export interface Answered {
  /** Who uses the keys takes them out, so that they aren't in memory while the next ones are awaited. */
  keys: Keys | undefined;
  /** Whether there is a key after these for certain. */
  readonly more: boolean;
  /** Whether there is none. */
  readonly isEnd: boolean;
}

/** The next keys of an answer that no page before has. */
export interface PagePart {
  readonly keys: Keys;
  readonly length: number;
}

/** A page whose keys may not be decoded yet. Those of the pages before are taken first. */
export interface Page {
  readonly parts: readonly PagePart[];
  /** Whether there is another page. */
  readonly more: boolean;
}

/** Makes pages of one size of answers of any size. */
export class PageAssembler {
  readonly #pageSize: number;
  /** The page that isn't complete yet, or may be the last one. */
  #parts: PagePart[] = [];
  #length = 0;

  constructor(pageSize: number) {
    this.#pageSize = pageSize;
  }

  /** The pages that the keys of an answer complete. At the end of the range that is all, and at least one. */
  take(answered: Answered): Page[] {
    const { keys = [], more, isEnd } = answered;
    answered.keys = undefined;
    const pages: Page[] = [];
    for (let from = 0; from < keys.length; ) {
      // There is a key after this page.
      if (this.#length === this.#pageSize) pages.push(this.#page(true));
      const length = Math.min(this.#pageSize - this.#length, keys.length - from);
      this.#parts.push({ keys: Array.isArray(keys) ? keys.slice(from, from + length) : keys, length });
      this.#length += length;
      from += length;
    }
    if (isEnd) pages.push(this.#page(false));
    else if (this.#length === this.#pageSize && more) pages.push(this.#page(true));
    return pages;
  }

  #page(more: boolean): Page {
    const page = { parts: this.#parts, more };
    this.#parts = [];
    this.#length = 0;
    return page;
  }
}
