// The benchmark's cells: each addon, on each host, in each ending, plain and amplified.
import type { Plan, ScenarioSpec } from 'quiesce';
import {
  ADDONS,
  type Addon,
  type AddonHost,
  addonHosts,
  addons,
  endingsOf,
  isBuilt,
  programCommand,
  SERVER,
} from './addons.js';

/** In `plain` runs, a thread that is left is a failure. */
export const modes = ['plain', 'amplified'] as const;

export type Mode = (typeof modes)[number];

/** A place in the matrix. */
export interface CureCell {
  readonly addon: Addon;
  readonly host: AddonHost;
  readonly ending: string;
  readonly mode: Mode;
  readonly runs: number;
}

/** How many runs, and of which cells. */
export interface CureOptions {
  /**
   * Amplified runs of each ending on our addons, over all hosts together. Plain runs are a fifth of that, and runs of
   * controls a tenth.
   */
  readonly runs: number;
  /** Cells whose name contains one of these. Default: all. */
  readonly only?: readonly string[];
  /** Names of hosts. Default: all. */
  readonly on?: readonly string[] | undefined;
  readonly modes?: readonly Mode[];
  /** Seed of the amplifier; each cell derives its own from it. */
  readonly seed: number;
}

/** A cell's name in the tester's reports. */
export const cellName = ({ addon, host, ending, mode }: Omit<CureCell, 'runs'>): string =>
  [addon.name, host.name, ending, mode].join(' / ');

const SEEDS = 2 ** 32;
const SHARE = { plain: 5, control: 10 } as const;

/** The cells of a run. Together, their runs are as many for each ending as the options request. */
export function cureCells(options: CureOptions): CureCell[] {
  const { only = [], on, modes: wanted = modes } = options;
  const hosts = addonHosts().filter(({ name }) => on?.includes(name) ?? true);
  return addons
    .filter(isBuilt)
    .flatMap((addon) => {
      const mine = hosts.filter(({ language }) => language === addon.language);
      // The uses of one addon share its runs.
      const uses = addons.filter(({ words, control }) => !control && words[0] === addon.words[0]).length || 1;
      return Object.keys(endingsOf(addon.language)).flatMap((ending) =>
        wanted.flatMap((mode) =>
          mine.map((host): CureCell => {
            const all = options.runs / (addon.control ? SHARE.control : mode === 'plain' ? SHARE.plain : 1);
            return { addon, host, ending, mode, runs: Math.ceil(all / (mine.length * uses)) };
          }),
        ),
      );
    })
    .filter((cell) => only.length === 0 || only.some((part) => cellName(cell).includes(part)));
}

/** The tester's plan. */
export function curePlan(cells: readonly CureCell[], { seed, jobs }: { seed: number; jobs: number }): Plan {
  return {
    services: {
      server: {
        // biome-ignore-start lint/suspicious/noTemplateCurlyInString: the tester's own placeholder
        command: [SERVER, '${port:server}'],
        ports: ['server'],
        ready: { port: 'server' },
        provides: { ADDON_SERVER_PORT: '${port:server}' },
        // biome-ignore-end lint/suspicious/noTemplateCurlyInString: the tester's own placeholder
      },
    },
    defaults: { uses: ['server'], jobs, timeout: '20s' },
    scenarios: cells.map((cell, i) => cellScenario(cell, (seed + i) % SEEDS)),
  };
}

function cellScenario(cell: CureCell, seed: number): ScenarioSpec {
  const { addon, host, ending, mode, runs } = cell;
  const {
    program,
    words,
    expect,
    leavesThreads = false,
  } = endingsOf(addon.language)[ending] as ReturnType<typeof endingsOf>[string];
  return {
    name: cellName(cell),
    group: addon.name,
    command: programCommand(host, program, [...addon.words, ...words]),
    runs,
    expect,
    // Deno sometimes looks for a newer version of itself, and reports it.
    env: { ADDONS, DENO_NO_UPDATE_CHECK: '1', PYTHONDONTWRITEBYTECODE: '1' },
    ...(mode === 'plain' && !leavesThreads && { strict: true }),
    // Otherwise runs with the same number would be delayed alike in all cells.
    ...(mode === 'amplified' && { perturb: 'amplify', seed }),
    // The cause of the controls' many crashes is known, and their stacks would take a second each.
    ...(addon.control && (mode === 'amplified' || leavesThreads) && { witness: false }),
  };
}
