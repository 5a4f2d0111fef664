// @ts-check

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
