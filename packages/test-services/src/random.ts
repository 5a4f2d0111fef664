/** Numbers from 0 to below 1. They are the same for the same seed (mulberry32). */
export function uniformFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Returns an integer from 0 to below `below`. */
export type Random = (below: number) => number;

/** Integers. They are the same for the same seed. */
export function randomFrom(seed: number): Random {
  const uniform = uniformFrom(seed);
  return (below) => Math.floor(uniform() * below);
}
