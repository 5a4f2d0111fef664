// Every way in which the programs that use an example addon end, and what the tester expects of it.
import type { Expect } from 'quiesce';

/** A way to end, and its program: of scenarios/python or of scenarios/typescript. */
export interface AddonEnding {
  readonly program: string;
  /** Beside the addon. */
  readonly words: readonly string[];
  readonly expect: Expect;
  /** What the program does, for docs/cure.md. */
  readonly means: string;
  /** Threads of the program's own are left at exit, so the tester can't be strict about them. */
  readonly leavesThreads?: boolean;
}

const quiet = { stderr: 'empty' } as const;

function endings(
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
export const pythonEndings: Readonly<Record<string, AddonEnding>> = {
  ...endings('addon_endings', {
    fall: ['falls off the end', quiet],
    'sys-exit': ['`sys.exit()` in a callback of the event loop', quiet],
    exception: ['an exception that nobody catches', { exitCode: 1 }],
    SIGTERM: ['SIGTERM, without a handler', { signal: 'SIGTERM', ...quiet }],
    'SIGTERM-handler': ['SIGTERM, whose handler calls `sys.exit()`', quiet],
    SIGINT: ['SIGINT, which asyncio makes a KeyboardInterrupt', { signal: 'SIGINT' }],
    'closed-loop': ['the loop is closed under its futures, then falls off the end', 'clean'],
  }),
  ...endings(
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
      { program: 'addon_fork', words: [kind], expect: quiet, means },
    ]),
  ),
  atexit: {
    ...{ program: 'addon_atexit', words: [], expect: quiet },
    means: 'exit handlers from before and after the import, and `__del__`, call it',
  },
};

/** In Node, Bun and Deno: in the middle of three watches, a subscription and 50 calls. */
export const nodeEndings: Readonly<Record<string, AddonEnding>> = {
  ...endings('addon-endings', {
    fall: ['falls off the end, with a subscription', quiet],
    exit: ['`process.exit()` in a callback', quiet],
    exception: ['an exception that nobody catches', { exitCode: 1 }],
    SIGTERM: ['SIGTERM, without a handler', { signal: 'SIGTERM', ...quiet }],
    'SIGTERM-handler': ['SIGTERM, whose handler calls `process.exit()`', quiet],
    'SIGINT-handler': ['SIGINT, whose handler calls `process.exit()`', quiet],
    terminate: ['three workers are terminated, then falls off the end', quiet],
    'terminate-exit': ['three workers are being terminated when `process.exit()` comes', quiet],
    'worker-exit': ['three workers call `process.exit()` themselves', quiet],
    'exit-with-workers': ['`process.exit()` while three workers are at work', quiet],
  }),
  leftover: {
    ...{ program: 'addon-leftover', words: [], expect: quiet },
    means: 'twelve workers are terminated: no socket and no thread of theirs is left',
  },
};
