// @ts-check

/**
 * The cycles in a graph: a shortest one for each set of nodes that reach one another.
 * @param {ReadonlyMap<string, readonly string[]>} graph where each node leads
 * @returns {string[][]} the nodes of each in order, with the first one again at the end
 */
export function circlesIn(graph) {
  /** @type {string[][]} */
  const circles = [];
  const seen = new Set();
  for (const node of graph.keys()) {
    if (seen.has(node)) continue;
    const circle = shortestWayBack(node, graph);
    if (circle === undefined) continue;
    for (const other of circle) seen.add(other);
    circles.push(circle);
  }
  return circles;
}

/**
 * @param {string} start
 * @param {ReadonlyMap<string, readonly string[]>} graph
 */
function shortestWayBack(start, graph) {
  const ways = [[start]];
  const reached = new Set();
  for (let way = ways.shift(); way !== undefined; way = ways.shift()) {
    for (const next of graph.get(way.at(-1) ?? '') ?? []) {
      if (next === start) return [...way, start];
      if (reached.has(next)) continue;
      reached.add(next);
      ways.push([...way, next]);
    }
  }
  return undefined;
}
