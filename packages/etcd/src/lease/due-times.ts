// lease/ has the calls on leases, and the code that keeps leases alive by the clock. Things that depend on a lease,
// such as locks, are in concurrency/.

/**
 * Times are rounded down to a multiple of this, in ms, so that items that are due at about the same time are handled
 * together.
 */
const SLOT_MS = 100;

/** A time rounded down to a slot of {@link DueTimes}. */
export function slotOf(time: number): number {
  return Math.floor(time / SLOT_MS) * SLOT_MS;
}

/** When items are due; each has one time. It is a timer wheel whose slots exist only while they hold something. */
export class DueTimes<T> {
  readonly #slots = new Map<number, Set<T>>();
  readonly #times = new Map<T, number>();

  /** Sets, or changes, when the item is due. `Infinity`: never. */
  set(item: T, time: number): void {
    const slot = slotOf(time);
    if (this.#times.get(item) === slot) return;
    this.delete(item);
    if (slot === Number.POSITIVE_INFINITY) return;
    this.#times.set(item, slot);
    const items = this.#slots.get(slot);
    if (items === undefined) this.#slots.set(slot, new Set([item]));
    else items.add(item);
  }

  delete(item: T): void {
    const slot = this.#times.get(item);
    if (slot === undefined) return;
    this.#times.delete(item);
    const items = this.#slots.get(slot);
    items?.delete(item);
    if (items?.size === 0) this.#slots.delete(slot);
  }

  /** Removes and returns the items that are due at `time`. With `wanted`, only the items that it accepts. */
  take(time: number, wanted: (item: T) => boolean = () => true): T[] {
    const due: T[] = [];
    for (const [slot, items] of this.#slots) {
      if (slot > time) continue;
      for (const item of items) if (wanted(item)) due.push(item);
    }
    for (const item of due) this.delete(item);
    return due;
  }

  /** When the first item is due; `Infinity` where there is none. */
  next(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const slot of this.#slots.keys()) if (slot < first) first = slot;
    return first;
  }
}
