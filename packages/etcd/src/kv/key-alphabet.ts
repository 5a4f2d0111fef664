/** How many bytes of a key are looked at, from the first one in which keys differ. */
const DEPTHS = 8;

/** What is known about one place in the keys. */
interface Place {
  /** The bytes that were seen there, ascending. */
  readonly bytes: number[];
  /** Whether keys seem to have no higher byte there. */
  closed: boolean;
}

/** A distance between keys: so many steps from byte to byte at one place, the first of which is 0. */
export interface Distance {
  readonly depth: number;
  readonly steps: number;
}

/** A key that was calculated. */
export interface Sum {
  readonly key: Uint8Array;
  /** The place where it has a byte above all those seen there, if there is one. */
  readonly above: number | undefined;
}

/**
 * Which bytes keys have at each place, to calculate with keys as with numbers: 2 after `list/0999` is `list/1001`, once
 * digits were seen. It knows only some of the keys, so its results are guesses.
 */
export class KeyAlphabet {
  readonly #places = new Map<number, Place>();
  #top = Number.POSITIVE_INFINITY;

  /** Learns from some keys in ascending order. */
  learn(keys: readonly Uint8Array[]): void {
    const [first] = keys;
    const last = keys.at(-1);
    if (first === undefined || last === undefined) return;
    const from = commonLength(first, last);
    this.#top = Math.min(this.#top, from);
    for (const key of keys) {
      for (let depth = from; depth < Math.min(from + DEPTHS, key.length); depth++) {
        const place = this.#place(depth);
        const byte = key[depth] as number;
        const rank = rankIn(place.bytes, byte);
        if (rank === place.bytes.length) place.closed = false;
        if (place.bytes[rank] !== byte) place.bytes.splice(rank, 0, byte);
      }
    }
  }

  /** No key was found with a higher byte at this place than those that were seen. */
  close(depth: number): void {
    this.#place(depth).closed = true;
  }

  /** The first place in which the keys that were seen differ. */
  get top(): number {
    return this.#top;
  }

  /** How far it is from one key to a later one. */
  distance(from: Uint8Array, to: Uint8Array): Distance {
    const depth = commonLength(from, to);
    let steps = 0;
    let scale = 1;
    for (let at = depth; at < depth + DEPTHS; at++) {
      steps += (this.#rank(to, at) - this.#rank(from, at)) * scale;
      scale /= this.#size(at + 1);
    }
    return { depth, steps };
  }

  /** The same distance, at the first place where it is at least one step, but no later than `deepest`. */
  normal({ depth, steps }: Distance, deepest: number): Distance {
    let at = depth;
    let left = steps;
    while (left < 1 && at < deepest) {
      at += 1;
      left *= this.#size(at);
    }
    return { depth: at, steps: left };
  }

  /** A key that is so much later than another, by at least one step; `undefined` if there is none. */
  add(key: Uint8Array, { depth, steps }: Distance): Sum | undefined {
    const sum = new Uint8Array(depth + 1);
    sum.set(key.subarray(0, depth + 1));
    // Where the key is over, it is before all bytes.
    for (let at = key.length; at <= depth; at++) sum[at] = this.#place(at).bytes[0] ?? 0;
    let carry = Math.max(1, Math.round(steps));
    for (let at = depth; at >= 0; at--) {
      const { bytes, closed } = this.#place(at);
      const byte = sum[at] as number;
      const target = rankIn(bytes, byte) + carry;
      if (target < bytes.length) {
        sum[at] = bytes[target] as number;
        return { key: sum, above: undefined };
      }
      const highest = bytes.at(-1);
      const above =
        highest === undefined || byte > highest ? byte + carry : highest + target - bytes.length + 1;
      if (above <= 0xff && !closed) {
        sum[at] = above;
        return { key: sum, above: at };
      }
      const size = Math.max(1, bytes.length);
      carry = Math.max(1, Math.floor(target / size));
      sum[at] = bytes[target % size] ?? 0;
    }
    return undefined;
  }

  #place(depth: number): Place {
    let place = this.#places.get(depth);
    if (place === undefined) {
      place = { bytes: [], closed: false };
      this.#places.set(depth, place);
    }
    return place;
  }

  #size(depth: number): number {
    return Math.max(1, this.#place(depth).bytes.length);
  }

  #rank(key: Uint8Array, depth: number): number {
    const byte = key[depth];
    return byte === undefined ? 0 : rankIn(this.#place(depth).bytes, byte);
  }
}

/** How many of the ascending bytes are lower. */
function rankIn(bytes: readonly number[], byte: number): number {
  let rank = 0;
  while (rank < bytes.length && (bytes[rank] as number) < byte) rank += 1;
  return rank;
}

/** How many bytes two keys begin with in common. */
function commonLength(one: Uint8Array, other: Uint8Array): number {
  const most = Math.min(one.length, other.length);
  let length = 0;
  while (length < most && one[length] === other[length]) length += 1;
  return length;
}
