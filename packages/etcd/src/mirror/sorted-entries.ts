import { type Keys, toBytes, toRange } from '../kv/key-range.js';
import type { KeyValue } from '../rpc/messages/key-value.js';

/** Bytes as a string with the same order, one character for each byte. */
export function sortable(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** The first key of a range and the first key after it, as {@link sortable} strings; `undefined` for no end. */
export interface Bounds {
  readonly start: string;
  readonly end: string | undefined;
}

export function boundsOf(keys: Keys): Bounds {
  const { key, rangeEnd } = toRange(keys);
  const start = sortable(toBytes(key));
  if (rangeEnd.length === 0) return { start, end: `${start}\0` };
  const open = rangeEnd.length === 1 && rangeEnd[0] === 0;
  // "All keys" begins at the zero byte, which is the first possible key.
  return { start, end: open ? undefined : sortable(rangeEnd) };
}

/** Whether all of `inner` is in `outer`. */
export function covers(outer: Bounds, inner: Bounds): boolean {
  if (inner.start < outer.start) return false;
  return outer.end === undefined || (inner.end !== undefined && inner.end <= outer.end);
}

/** Keys with their values, in the order of the keys. */
export class SortedEntries {
  readonly #entries = new Map<string, KeyValue>();
  /** All keys in order. The array is made when it is first needed, and kept up to date from then on. */
  #order: string[] | undefined;

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): KeyValue | undefined {
    return this.#entries.get(key);
  }

  set(key: string, entry: KeyValue): void {
    if (!this.#entries.has(key)) this.#order?.splice(this.#indexOf(this.#order, key), 0, key);
    this.#entries.set(key, entry);
  }

  delete(key: string): void {
    if (this.#entries.delete(key)) this.#order?.splice(this.#indexOf(this.#order, key), 1);
  }

  range({ start, end }: Bounds): KeyValue[] {
    this.#order ??= [...this.#entries.keys()].sort();
    const from = this.#indexOf(this.#order, start);
    const to = end === undefined ? this.#order.length : this.#indexOf(this.#order, end);
    return this.#order.slice(from, to).map((key) => this.#entries.get(key) as KeyValue);
  }

  [Symbol.iterator](): IterableIterator<[string, KeyValue]> {
    return this.#entries.entries();
  }

  /** The index of the first key that isn't before this one. */
  #indexOf(order: readonly string[], key: string): number {
    let low = 0;
    let high = order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((order[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
