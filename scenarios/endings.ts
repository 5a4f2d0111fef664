// Every way in which the scenarios' programs end, and what the tester expects of each.
import type { Expect } from 'quiesce';

const QUIET = { stderr: 'empty' } as const;

/**
 * How a program of the library ends, in Node and in Python: the arguments that `leave()` in typescript/leave.ts and
 * python/leave.py accepts.
 */
export const leaveEndings = {
  exit: { node: 'clean', python: 'clean' },
  natural: { node: 'clean', python: 'clean' },
  exception: { node: { exitCode: 1 }, python: { exitCode: 1 } },
  // Python prints it and exits with 0.
  rejection: { node: { exitCode: 1 }, python: 'clean' },
  SIGTERM: { node: { signal: 'SIGTERM' }, python: { signal: 'SIGTERM' } },
  SIGINT: { node: { signal: 'SIGINT' }, python: { signal: 'SIGINT' } },
} as const satisfies Record<string, { node: Expect; python: Expect }>;

export type LeaveEnding = keyof typeof leaveEndings;

/** How grid/program.ts ends. Nothing must be on stderr except what the host itself prints. */
export const gridEndings = {
  natural: QUIET,
  exit: QUIET,
  exception: { exitCode: 1 },
  rejection: { exitCode: 1 },
  SIGTERM: { signal: 'SIGTERM', ...QUIET },
  SIGINT: { signal: 'SIGINT', ...QUIET },
  terminate: QUIET,
  'exit with workers': QUIET,
  close: QUIET,
} as const satisfies Record<string, Expect>;

export type GridEnding = keyof typeof gridEndings;

/**
 * A way in which a program that uses an example addon ends, and that program, in scenarios/python or
 * scenarios/typescript.
 */
export interface AddonEnding {
  readonly program: string;
  /** Arguments after the addon. */
  readonly words: readonly string[];
  readonly expect: Expect;
  /** What the program does, for docs/measurements/cure.md. */
  readonly means: string;
  /** Whether the program leaves threads of its own at exit, so that the tester can't be strict about threads. */
  readonly leavesThreads?: boolean;
}

function addonEndings(
  program: string,
  table: Readonly<Record<string, readonly [means: string, expect: Expect]>>,
  leavesThreads = false,
): Record<string, AddonEnding> {
  return Object.fromEntries(
    Object.entries(table).map(([ending, [means, expect]]) => [
      ending,
      { program, words: [ending], means, expect, ...(leavesThreads && { leavesThreads }) },
    ]),
  );
}

/** In Python: in the middle of three watches, a subscription, and a pending call. */
export const pythonAddonEndings: Readonly<Record<string, AddonEnding>> = {
  ...addonEndings('addon_endings', {
    fall: ['falls off the end', QUIET],
    'sys-exit': ['`sys.exit()` in a callback of the event loop', QUIET],
    exception: ['an exception that nobody catches', { exitCode: 1 }],
    SIGTERM: ['SIGTERM, without a handler', { signal: 'SIGTERM', ...QUIET }],
    'SIGTERM-handler': ['SIGTERM, whose handler calls `sys.exit()`', QUIET],
    SIGINT: ['SIGINT, which asyncio makes a KeyboardInterrupt', { signal: 'SIGINT' }],
    'closed-loop': ['the loop is closed under its futures, then falls off the end', 'clean'],
  }),
  ...addonEndings(
    'addon_endings',
    {
      daemons: ['daemon threads of both kinds call the addon until the end and beyond', 'clean'],
      'daemons-sync': ['daemon threads that wait for its answers', 'clean'],
      'daemons-async': ['daemon threads with an event loop each', 'clean'],
    },
    true,
  ),
  gil: {
    ...{ program: 'addon_gil', words: [], expect: 'clean', leavesThreads: true },
    means: 'daemon threads call in while four subscriptions keep the GIL busy',
  },
  ...Object.fromEntries(
    Object.entries({
      'os.fork': 'used, then used in a child by `os.fork()`, where it must answer within 3 s',
      fork: 'the same by multiprocessing: fork',
      forkserver: 'forkserver',
      spawn: 'spawn',
    }).map(([kind, means]): [string, AddonEnding] => [
      kind,
      { program: 'addon_fork', words: [kind], expect: QUIET, means },
    ]),
  ),
  atexit: {
    ...{ program: 'addon_atexit', words: [], expect: QUIET },
    means: 'exit handlers from before and after the import, and `__del__`, call it',
  },
};

/** In Node, Bun and Deno: in the middle of three watches, a subscription and 50 calls. */
export const nodeAddonEndings: Readonly<Record<string, AddonEnding>> = {
  ...addonEndings('addon-endings', {
    fall: ['falls off the end, with a subscription', QUIET],
    exit: ['`process.exit()` in a callback', QUIET],
    exception: ['an exception that nobody catches', { exitCode: 1 }],
    SIGTERM: ['SIGTERM, without a handler', { signal: 'SIGTERM', ...QUIET }],
    'SIGTERM-handler': ['SIGTERM, whose handler calls `process.exit()`', QUIET],
    'SIGINT-handler': ['SIGINT, whose handler calls `process.exit()`', QUIET],
    terminate: ['three workers are terminated, then falls off the end', QUIET],
    'terminate-exit': ['three workers are being terminated when `process.exit()` comes', QUIET],
    'worker-exit': ['three workers call `process.exit()` themselves', QUIET],
    'exit-with-workers': ['`process.exit()` while three workers are at work', QUIET],
  }),
  leftover: {
    ...{ program: 'addon-leftover', words: [], expect: QUIET },
    means: 'twelve workers are terminated: no socket and no thread of theirs is left',
  },
};
