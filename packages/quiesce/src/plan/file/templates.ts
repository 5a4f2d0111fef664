import type { Expect } from '../../run/outcome.js';

/** What runs a program that `quiesce init` writes. */
export const templateHosts = ['node', 'bun', 'deno', 'python'] as const;

/** One such runner. */
export type TemplateHost = (typeof templateHosts)[number];

/** A way for a program to end once its work is done, and the code for it; no code if the program just comes to its end. */
interface Ending {
  readonly name: string;
  readonly expect: Expect;
  readonly javascript?: string;
  readonly python?: string;
}

const endings: readonly Ending[] = [
  { name: 'natural', expect: 'clean' },
  { name: 'exit', expect: 'clean', javascript: 'process.exit();', python: 'sys.exit(0)' },
  {
    name: 'exception',
    expect: { exitCode: 1 },
    javascript: "throw new Error('leaving by an exception');",
    python: 'raise RuntimeError("leaving by an exception")',
  },
  {
    name: 'SIGTERM',
    expect: { signal: 'SIGTERM' },
    javascript: "process.kill(process.pid, 'SIGTERM');\nsetInterval(() => {}, 1_000); // until it comes",
    python: 'os.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()',
  },
];

// Node addons are unloaded with the last worker that loaded them, which the endings of the main thread don't show. Here
// workers do the work, and the code reports when it is done.
const workerEndings: readonly Ending[] = [
  { name: 'in a worker only', expect: 'clean', javascript: "await worker('end');\ndone();" },
  {
    name: 'in two workers',
    expect: 'clean',
    javascript: "await Promise.all([worker('end'), worker('end')]);\ndone();",
  },
  {
    name: 'in one worker after another',
    expect: 'clean',
    javascript: `for (let i = 0; i < 2; i++) {
  const thread = await worker('stay');
  await thread.terminate();
}
done();`,
  },
  {
    name: 'in a terminated worker',
    expect: 'clean',
    javascript: "const thread = await worker('stay');\ndone();\nawait thread.terminate();",
  },
  { name: 'exit inside a worker', expect: 'clean', javascript: "await worker('exit');\ndone();" },
  {
    name: 'exit while a worker runs',
    expect: 'clean',
    javascript: "await worker('stay');\ndone();\nprocess.exit();",
  },
];

const INTERPRETERS: Readonly<Record<TemplateHost, readonly string[]>> = {
  node: ['node'],
  bun: ['bun'],
  deno: ['deno', 'run', '-A'],
  python: ['python3'],
};

/** A plan, as YAML, that runs a program once for each way to end. */
export async function planTemplate(program: string, host: TemplateHost, runs: number): Promise<string> {
  const { stringify } = await import('yaml');
  const all = host === 'node' ? [...endings, ...workerEndings] : endings;
  const plan = {
    defaults: { runs, timeout: '10s' },
    scenarios: all.map(({ name, expect }) => ({
      name,
      command: [...INTERPRETERS[host], program, name],
      expect,
    })),
  };
  const head = [
    '# Does the program exit cleanly, however it ends? quiesce run --plan <this file>',
    '# More runs show rarer failures (quiesce runs-needed --rate 1%); --perturb amplify shows most races soon.',
    '# A scenario with strict: true also fails when a thread still runs at exit.',
  ];
  return `${head.join('\n')}\n${stringify(plan)}`;
}

/** The program of such a plan. It imports a module. */
export function programTemplate(module: string, host: TemplateHost): string {
  if (host === 'python') return pythonText(module);
  return host === 'node' ? nodeText(module) : javascriptText(module);
}

const indented = (code: string, by: string): string => code.replace(/^(?=.)/gm, by);

/** A branch for each ending that has code, chosen by the program's argument. */
const branches = (of: readonly Ending[]): string =>
  of
    .flatMap(({ name, javascript }) =>
      javascript === undefined ? [] : `if (ending === '${name}') {\n${indented(javascript, '  ')}\n}`,
    )
    .join(' else ');

/** A single addon file can be required, but not imported. */
const isAddon = (module: string): boolean => module.endsWith('.node');

const REQUIRE = "import { createRequire } from 'node:module';\n";

const required = (module: string): string => `createRequire(import.meta.url)('${module}')`;

function javascriptText(module: string): string {
  const loads = isAddon(module)
    ? `${REQUIRE}\nconst subject = ${required(module)};`
    : `import * as subject from '${module}';`;
  return `import { writeSync } from 'node:fs';
${loads}

// Put the work here: what starts the module's threads, and leaves them running.
void subject;

// The work is done: what follows is the exit.
if (process.env.QUIESCE_DONE_FD) writeSync(Number(process.env.QUIESCE_DONE_FD), 'done\\n');
const ending = process.argv[2];
${branches(endings)}
`;
}

function nodeText(module: string): string {
  return `import { once } from 'node:events';
import { writeSync } from 'node:fs';
${isAddon(module) ? REQUIRE : ''}import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

/** Put the work here: what starts the module's threads, and leaves them running. */
async function work() {
  const subject = ${isAddon(module) ? required(module) : `await import('${module}')`};
  void subject;
}

/** The work is done: what follows is the exit. */
function done() {
  if (process.env.QUIESCE_DONE_FD) writeSync(Number(process.env.QUIESCE_DONE_FD), 'done\\n');
}

/** Starts a worker and waits for its work. Then it ends, stays or exits, as asked. */
async function worker(then) {
  const thread = new Worker(new URL(import.meta.url), { workerData: then });
  await Promise.race([once(thread, 'message'), once(thread, 'exit')]);
  return thread;
}

const ending = process.argv[2];
if (!isMainThread) {
  await work();
  parentPort.postMessage('worked');
  if (workerData === 'stay') setInterval(() => {}, 1_000);
  if (workerData === 'exit') process.exit();
} else ${branches(workerEndings)} else {
  await work();
  done();
${indented(branches(endings), '  ')}
}
`;
}

function pythonText(module: string): string {
  const endingLines = endings.flatMap(({ name, python }) =>
    python === undefined ? [] : `if ending == "${name}":\n${indented(python, '    ')}`,
  );
  return `import os
import signal
import sys

import ${module} as subject

# Put the work here: what starts the module's threads, and leaves them running.
subject

# The work is done: what follows is the exit.
if "QUIESCE_DONE_FD" in os.environ:
    os.write(int(os.environ["QUIESCE_DONE_FD"]), b"done\\n")
ending = sys.argv[1] if len(sys.argv) > 1 else "natural"
${endingLines.join('\nel')}
`;
}
