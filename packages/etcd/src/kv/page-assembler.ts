import type { RangeMessage } from '../rpc/messages/range-response.js';
import type { RangeBytes } from './key-range.js';
import { NearEnds } from './near-ends.js';

type Keys = RangeMessage['kvs'];

/** A page whose keys may not be decoded yet. */
export interface Page {
  readonly revision: bigint;
  /** The keys, in the answers that they came in. */
  readonly parts: Keys[];
  /** Whether there is another page. */
  readonly more: boolean;
}

/** What to ask for next. */
export interface PageRequest extends RangeBytes {
  readonly limit: number;
}

/** Makes pages of one size of the answers to the requests that {@link NearEnds} chooses. */
export class PageAssembler {
  readonly #range: RangeBytes;
  readonly #pageSize: number;
  readonly #revision: bigint;
  #ends: NearEnds | undefined;
  /** The page that isn't complete yet, or may be the last one. */
  #parts: Keys[] = [];
  #length = 0;
  #next: PageRequest | undefined;

  constructor(range: RangeBytes, pageSize: number, revision: bigint) {
    this.#range = range;
    this.#pageSize = pageSize;
    this.#revision = revision;
  }

  /** The next request; `undefined` when all pages are there. */
  get next(): PageRequest | undefined {
    return this.#next;
  }

  /** The pages that an answer completes: at most two. */
  take({ kvs, more, count }: RangeMessage): Page[] {
    const pages: Page[] = [];
    const limit = this.#next?.limit ?? this.#pageSize;
    if (kvs.length > 0) {
      if (this.#length === this.#pageSize) pages.push(this.#page(true));
      this.#parts.push(kvs);
      this.#length += kvs.length;
      if (this.#length === this.#pageSize && more) pages.push(this.#page(true));
    }
    // Most ranges have one page.
    if (more) this.#ends ??= new NearEnds(this.#range, this.#pageSize);
    const missing = this.#pageSize - this.#length || this.#pageSize;
    const next = this.#ends?.after({ kvs, more, count: Number(count) }, limit, missing);
    this.#next = next && { ...next, limit: missing };
    if (next === undefined) pages.push(this.#page(false));
    return pages;
  }

  #page(more: boolean): Page {
    const page = { revision: this.#revision, parts: this.#parts, more };
    this.#parts = [];
    this.#length = 0;
    return page;
  }
}
