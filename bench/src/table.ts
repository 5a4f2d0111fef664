import Table from 'cli-table3';

/** A table of figures for a terminal: the first column has names, the others have numbers. */
export function figureTable(head: readonly string[]): InstanceType<typeof Table> {
  return new Table({
    head: [...head],
    colAligns: head.map((_, column) => (column === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
}
