// @ts-check
import { availableParallelism } from 'node:os';

/**
 * How many test files run at a time: one more than there are processors, as a file mostly waits for servers and for
 * processes to end.
 */
export const FILES_AT_ONCE = availableParallelism() + 1;

/**
 * Does a piece of work for each item, several at a time.
 * @template Item
 * @param {number} atOnce
 * @param {readonly Item[]} items
 * @param {(item: Item) => Promise<void>} work
 */
export async function inTurns(atOnce, items, work) {
  const queue = [...items];
  const turn = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await work(next);
  };
  await Promise.all(Array.from({ length: atOnce }, turn));
}
