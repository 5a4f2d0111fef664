// Draws the output of `operations --json` as SVG files, which docs/measurements/performance.md shows.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { allClients } from './clients.js';
import { FLOOR_VALUE_BYTES, type Row } from './report.js';

const COLOURS = ['#0b7a75', '#b3541e', '#3d6fb6', '#8a8a8a'];

/** Draws the figures in all of the files, and names the files that it has written. */
export async function plot(folder: string, jsons: readonly string[]): Promise<void> {
  const rows = jsons.flatMap((json) => (JSON.parse(readFileSync(json, 'utf8')) as { rows: Row[] }).rows);
  mkdirSync(folder, { recursive: true });
  const oneConnection = rows.filter(
    ({ client, connections }) => allClients.includes(client) && connections === 1,
  );
  const smallest = Math.min(...oneConnection.map(({ valueBytes }) => valueBytes));
  const usual = oneConnection.some(({ valueBytes }) => valueBytes === FLOOR_VALUE_BYTES)
    ? FLOOR_VALUE_BYTES
    : smallest;
  const small = oneConnection.filter(({ valueBytes }) => valueBytes === usual);
  const busy = oneConnection.filter(({ concurrency }) => concurrency === 64);
  const sizes = new Set(busy.map(({ valueBytes }) => valueBytes));
  const figures: Record<string, TopLevelSpec> = {
    'rate.svg': figure(small, 'concurrency', 'in flight', 'opsPerSecond', 'operations per second'),
    'cpu.svg': figure(small, 'concurrency', 'in flight', 'cpuMicrosPerOp', 'client CPU per operation, µs'),
    'latency.svg': figure(small, 'concurrency', 'in flight', 'p50Micros', 'median latency, µs'),
    ...(sizes.size > 1 && {
      'value-sizes.svg': figure(
        busy,
        'valueBytes',
        'bytes in a value',
        'opsPerSecond',
        'operations per second',
      ),
    }),
  };
  for (const [name, spec] of Object.entries(figures)) {
    const view = new View(parse(compile(spec).spec), { renderer: 'none' });
    writeFileSync(join(folder, name), `${await view.toSVG()}\n`);
    console.log(join(folder, name));
  }
}

/** A line for each client, a panel for each operation. */
function figure(
  rows: readonly Row[],
  x: keyof Row & string,
  xTitle: string,
  y: keyof Row & string,
  yTitle: string,
): TopLevelSpec {
  const logarithmic = { scale: { type: 'log', base: 2 } } as const;
  return {
    background: 'white',
    data: { values: [...rows] },
    facet: { field: 'op', type: 'nominal', title: null, sort: ['get', 'put', 'range', 'txn'] },
    columns: 2,
    resolve: { scale: { x: 'independent', y: 'independent' } },
    spec: {
      width: 320,
      height: 180,
      mark: { type: 'line', point: true },
      encoding: {
        x: { field: x, type: 'quantitative', title: xTitle, ...logarithmic },
        y: {
          field: y,
          type: 'quantitative',
          title: yTitle,
          scale: { type: y === 'opsPerSecond' ? 'linear' : 'log' },
        },
        color: {
          field: 'client',
          type: 'nominal',
          title: null,
          scale: { domain: [...allClients], range: COLOURS },
        },
      },
    },
  };
}
