import type { RangeMessage } from '../rpc/messages/range-response.js';
import { type Distance, KeyAlphabet, type Sum } from './key-alphabet.js';
import { isEndless, type RangeBytes } from './key-range.js';

/** The keys of an answer. They may not be decoded yet. */
export type Keys = RangeMessage['kvs'];

/** What is used of an answer. */
type Answer = Pick<RangeMessage, 'kvs' | 'more' | 'count'>;

/** With small pages, too, this many keys are wanted before an end. To count them costs etcd less than a request does. */
const FEWEST_WANTED = 250;

/** How many requests there may be above one for each page: a fixed number, and a part of the number of pages. */
export const SPARE = { first: 8, perPage: 1 / 2 };

/** After so many answers in a row that were too short, the whole rest is asked for. */
const MOST_SHORT = 4;

/** When so many times the wanted keys are left before an end, it is moved nearer. */
const TOO_MANY = 4;

/** While at most so many times the wanted keys are left, all of them are asked for. */
const MANY = 2;

/** Of an answer that is short enough to be decoded at once, one of so many keys is looked at. */
const SAMPLED_OF_FEW = 8;

/** Of a longer answer, about so many keys are looked at. */
const MOST_SAMPLES = 32;

/**
 * Chooses how far each request for a page reaches into the range. For each request etcd visits all keys of the range
 * that was asked for, to count them, and writers wait meanwhile. With a filter it even reads them all. So the end of a long
 * range is replaced by a nearer one, some pages away: a key that need not exist. Where that is comes from the keys seen
 * so far, so it may be wrong, which costs a request or makes etcd count more. The requests' ranges are always consecutive.
 */
export class NearEnds {
  readonly #rangeEnd: Uint8Array;
  readonly #pageSize: number;
  /** How many keys to have before the end. */
  readonly #aim: number;
  readonly #alphabet = new KeyAlphabet();
  /** The end of the last request. */
  #end: Uint8Array;
  /** How many keys there are from `#end` on, or somewhat more. */
  #beyond = 0;
  /** If the end was moved for the last request: how many keys were left then, in all and before the former end. */
  #moved: { readonly rest: number; readonly left: number; readonly above: number | undefined } | undefined;
  /** How far it is moved next. */
  #step: Distance | undefined;
  /** The last page with keys. */
  #page:
    | { readonly first: Uint8Array | undefined; readonly last: Uint8Array; readonly length: number }
    | undefined;
  #lastKey: Uint8Array | undefined;
  /** What etcd looked at in ranges that were read to their end, and what came of it. They differ by filters. */
  #seen = { keys: 1, matches: 1 };
  #spare = SPARE.first;
  #short = 0;
  /** How many times in a row the end was moved past no key. */
  #empty = 0;

  constructor({ rangeEnd }: RangeBytes, pageSize: number) {
    this.#rangeEnd = rangeEnd;
    this.#pageSize = pageSize;
    this.#end = rangeEnd;
    this.#aim = Math.max(2 * pageSize, FEWEST_WANTED);
  }

  /** The range to ask for a page of next, after this answer to the last request; `undefined` at the end of the range. */
  after(answer: Answer): RangeBytes | undefined {
    const { kvs, more } = answer;
    const count = Number(answer.count);
    const last = lastOf(kvs);
    const isRest = this.#end === this.#rangeEnd;
    if (more ? last === undefined : isRest) return undefined;
    const start = more && last ? Buffer.concat([last, Uint8Array.of(0)]) : this.#end;
    const left = more ? Math.max(0, count - kvs.length) : 0;
    if (!isRest || left > MANY * this.#aim) {
      this.#learn(kvs, count, more);
      this.#moveEnd(last, left);
    }
    return { key: start, rangeEnd: this.#end };
  }

  #learn(kvs: Keys, count: number, more: boolean): void {
    const isShort = !more && kvs.length < this.#pageSize;
    this.#short = isShort ? this.#short + 1 : 0;
    this.#spare += isShort ? -1 : SPARE.perPage;
    if (!more) this.#seen = { keys: this.#seen.keys + count, matches: this.#seen.matches + kvs.length };
    const samples = samplesOf(kvs);
    this.#alphabet.learn(this.#lastKey ? [this.#lastKey, ...samples] : samples);
    const [first] = samples;
    const last = samples.at(-1);
    // The distance of a page of one key is that from the key before it.
    if (last) this.#page = { first: kvs.length > 1 ? first : this.#lastKey, last, length: kvs.length };
    this.#lastKey = last ?? this.#lastKey;
    if (this.#moved === undefined) return;
    this.#beyond = Math.max(0, this.#moved.rest - count);
    this.#adapt(count - this.#moved.left, this.#moved.above);
    this.#moved = undefined;
  }

  /** @param left how many keys are left before the end. */
  #moveEnd(last: Uint8Array | undefined, left: number): void {
    const isFar = left > TOO_MANY * this.#wanted;
    if (!isFar && left > this.#pageSize * this.#keysPerMatch) return;
    const rest = left + this.#beyond;
    // Where it is too far, it is moved back.
    const from = isFar ? last : this.#end;
    if (isFar || this.#step === undefined) this.#step = this.#stepOfPage();
    const mayBeShort = this.#spare >= 1 && this.#short < MOST_SHORT;
    const moved = rest > MANY * this.#wanted && mayBeShort && from ? this.#endAfter(from) : undefined;
    if (moved) {
      this.#moved = { rest, left: isFar ? 0 : left, above: moved.above };
      this.#end = moved.key;
    } else if (left <= this.#pageSize) {
      this.#end = this.#rangeEnd;
      this.#beyond = 0;
    }
  }

  /** How many keys a filter looks at for each that it lets pass. */
  get #keysPerMatch(): number {
    return this.#seen.keys / this.#seen.matches;
  }

  /** How many keys to have before the end. */
  get #wanted(): number {
    return this.#aim * this.#keysPerMatch;
  }

  /** The end was moved, and so many keys are before it that were not before the former one. */
  #adapt(added: number, above: number | undefined): void {
    if (this.#step === undefined) return;
    if (added <= 0) {
      this.#empty += 1;
      if (above !== undefined && this.#empty === 1) this.#alphabet.close(above);
      else this.#step = { depth: this.#alphabet.top, steps: 2 };
      return;
    }
    this.#empty = 0;
    this.#step = { ...this.#step, steps: (this.#step.steps * this.#wanted) / added };
  }

  /** A step for as many keys as wanted, if they are as close together as those of the last page. */
  #stepOfPage(): Distance | undefined {
    if (this.#page === undefined) return undefined;
    const { first, last, length } = this.#page;
    const { depth, steps } = this.#alphabet.distance(first ?? last, last);
    return { depth, steps: (steps * this.#aim) / Math.max(1, length - 1) };
  }

  #endAfter(key: Uint8Array): Sum | undefined {
    if (this.#step === undefined || this.#lastKey === undefined) return undefined;
    this.#step = this.#alphabet.normal(this.#step, this.#lastKey.length - 1);
    const sum = this.#alphabet.add(key, this.#step);
    const isWithin =
      sum && (isEndless({ rangeEnd: this.#rangeEnd }) || Buffer.compare(sum.key, this.#rangeEnd) < 0);
    return isWithin ? sum : undefined;
  }
}

function lastOf(kvs: Keys): Uint8Array | undefined {
  return (Array.isArray(kvs) ? kvs.at(-1) : kvs.last)?.key;
}

/** Some of the keys in order, with the first and the last one. */
function samplesOf(kvs: Keys): Uint8Array[] {
  const some = Array.isArray(kvs)
    ? kvs.filter((_, i) => i % SAMPLED_OF_FEW === 0)
    : kvs.samples(MOST_SAMPLES);
  const last = lastOf(kvs);
  return last ? [...some.map(({ key }) => key), last] : [];
}
