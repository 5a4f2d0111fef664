// The grid: every ending, on every runtime, in every situation.
import { fileURLToPath } from 'node:url';
import { type RuntimeName, runtimeCommand, runtimeNames } from '@quiesce/test-services';
import type { ScenarioSpec } from 'quiesce';
import { type GridEnding, gridEndings } from '../endings.js';

/** What a program is doing when it ends, and the services that it needs for that. */
export const situations = {
  idle: ['etcd'],
  calls: ['etcd'],
  watch: ['etcd'],
  keepalive: ['etcd'],
  'dead endpoint': ['unanswering'],
  'TLS handshake': ['unanswering'],
  'frozen server': ['freezable'],
} as const;

export type Situation = keyof typeof situations;

/** A place in the grid. `null`: the same program without the client, with which the others are compared. */
export interface Cell {
  readonly runtime: RuntimeName;
  readonly ending: GridEnding;
  readonly situation: Situation | null;
}

/**
 * Whether the host itself may delay the end of this cell's program. After an uncaught exception, Bun waits up to 100 ms
 * for its event loop to wake up, if anything holds the loop: scenarios/host-bugs/bun-waits-after-an-exception.mjs. Here
 * nothing arrives that would wake the loop.
 */
export const hostDelays = ({ runtime, ending, situation }: Cell): boolean =>
  runtime === 'bun' &&
  (ending === 'exception' || ending === 'rejection') &&
  (situation === 'dead endpoint' || situation === 'TLS handshake' || situation === 'frozen server');

const keysOf = <Key extends string>(object: Readonly<Record<Key, unknown>>): Key[] =>
  Object.keys(object) as Key[];

/** All cells with the client. */
export const cells: readonly Cell[] = runtimeNames.flatMap((runtime) =>
  keysOf(gridEndings).flatMap((ending) =>
    keysOf(situations).map((situation) => ({ runtime, ending, situation })),
  ),
);

/** The cells without the client. */
export const cellsWithoutClient: readonly Cell[] = runtimeNames.flatMap((runtime) =>
  keysOf(gridEndings).map((ending) => ({ runtime, ending, situation: null })),
);

const here = import.meta.url.includes('/dist/') ? './' : '../dist/grid/';
const PROGRAM = fileURLToPath(new URL(`${here}program.js`, import.meta.url));

/** A cell's name in the tester's reports. */
export const cellName = ({ runtime, ending, situation }: Cell): string =>
  [runtime, ending, situation ?? 'no client'].join(', ');

/** The tester's scenario for a cell. */
export function cellScenario(cell: Cell): ScenarioSpec {
  const { runtime, ending, situation } = cell;
  return {
    name: cellName(cell),
    group: runtime,
    command: [...runtimeCommand(runtime), PROGRAM, ending, situation ?? 'no client'],
    uses: situation === null ? [] : situations[situation],
    expect: gridEndings[ending],
    strict: true,
    // Deno sometimes looks for a newer version of itself, and reports it.
    env: { DENO_NO_UPDATE_CHECK: '1' },
    timeout: '20s',
  };
}
