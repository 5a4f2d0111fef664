import type { RangeMessage } from '../rpc/messages/range-response.js';
import type { RangeBytes } from './key-range.js';
import { NearEnds } from './near-ends.js';

/** The keys of one answer. They may not be decoded yet. */
export type Keys = RangeMessage['kvs'];

/** A range to ask for. */
export interface ListRequest extends RangeBytes {
  readonly limit: number;
}

/** What the answers to one or two requests have brought. */
export interface Listed {
  /** Consecutive keys, in the answers that they came in. None of them is empty. */
  readonly parts: Keys[];
  /** Whether the range has more keys after these for certain. */
  readonly more: boolean;
}

/** Two requests at a time are for at least this many keys each. Fewer cost etcd less than a second request does. */
export const FEWEST_OF_HALF = 500;

/**
 * Chooses the requests that list a range, and puts their answers together. After the first answer, a long page is asked for by
 * two requests at a time, each for a half of it: etcd reads both at once. Where the second half begins is calculated
 * from the keys seen so far, as in {@link NearEnds}. A wrong guess makes the halves unequal. Only if the first half has
 * more keys than a page, the second one is asked for again later.
 */
export class ListRequests {
  readonly #range: RangeBytes;
  readonly #pageSize: number;
  #ends: NearEnds | undefined;
  #next: readonly ListRequest[] | undefined;
  /** How many pages to ask for at once, after halves of which the second had to be left out. */
  #wholes = 0;
  #misses = 0;

  constructor(range: RangeBytes, pageSize: number) {
    this.#range = range;
    this.#pageSize = pageSize;
  }

  /** The next one or two requests, for consecutive ranges; `undefined` when all keys are there. */
  get next(): readonly ListRequest[] | undefined {
    return this.#next;
  }

  /** Takes the answers to {@link next}, in its order, or that to the first request. */
  take(answers: readonly RangeMessage[]): Listed {
    const [first] = answers;
    const isMiss = answers.length > 1 && first?.more === true;
    if (answers.length > 1) this.#misses = isMiss ? this.#misses + 1 : 0;
    if (isMiss) this.#wholes = 2 ** this.#misses;
    const used = isMiss ? answers.slice(0, 1) : answers;
    const parts = used.map(({ kvs }) => kvs).filter(({ length }) => length > 0);
    const more = used.at(-1)?.more === true;
    const count = answers.reduce((sum, { count }) => sum + Number(count), 0);
    // Most ranges have one page.
    if (more) this.#ends ??= new NearEnds(this.#range, this.#pageSize);
    const rest = this.#ends?.after({ parts, more, count });
    this.#next = rest && this.#requests(rest);
    return { parts, more };
  }

  #requests(rest: RangeBytes & { readonly left: number | undefined }): ListRequest[] {
    const { key, rangeEnd, left } = rest;
    const limit = this.#pageSize;
    // The rest of the range, which comes as a whole.
    const isLast = left !== undefined && left <= limit;
    const half = Math.ceil((isLast ? left : limit) / 2);
    if (half < FEWEST_OF_HALF) return [{ key, rangeEnd, limit }];
    if (this.#wholes > 0) {
      this.#wholes -= 1;
      return [{ key, rangeEnd, limit }];
    }
    const middle = this.#ends?.keyAfter(key, half, rangeEnd);
    if (middle === undefined) return [{ key, rangeEnd, limit }];
    return [
      { key, rangeEnd: middle, limit },
      { key: middle, rangeEnd, limit: isLast ? limit : limit - half },
    ];
  }
}
