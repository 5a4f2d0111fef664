import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { Option } from 'commander';
import { stringify } from 'yaml';
import { EnvironmentError, messageOf, UsageError } from '../errors.js';
import { positiveInteger } from './arguments.js';
import { EXIT } from './exit-codes.js';
import type { Subcommand } from './subcommand.js';

type Host = 'node' | 'bun' | 'deno' | 'python';

interface InitFlags {
  readonly host: Host;
  readonly runs: number;
  readonly plan: string;
}

/** `quiesce init`. */
export const init: Subcommand = {
  name: 'init',
  define: (command, finish) =>
    command
      .description('write a plan, and the program it runs, for a module of yours; asks nothing')
      .usage('[options] <module>')
      .argument('<module>', 'what the program imports, such as @scope/package, ./index.js or my_package')
      .addOption(
        new Option('--host <host>', 'what runs the program')
          .choices(['node', 'bun', 'deno', 'python'])
          .default('node'),
      )
      .option('-n, --runs <n>', 'runs of each scenario', positiveInteger, 50)
      .option('--plan <file>', 'the plan to write; the program goes beside it', 'shutdown.plan.yaml')
      .allowExcessArguments(false)
      .action(async (module: string, flags: InitFlags) => {
        process.stdout.write(await writeTemplates(module, flags));
        finish(EXIT.ok);
      }),
};

async function writeTemplates(module: string, { host, runs, plan }: InitFlags): Promise<string> {
  const python = host === 'python';
  if (python ? !/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/.test(module) : !/^[^\s'"\\`]+$/.test(module)) {
    throw new UsageError(
      `${JSON.stringify(module)} is no module that ${host} could import`,
      python ? 'give a dotted name such as my_package' : 'give a package or a path such as ./index.js',
    );
  }
  const extension = extname(plan);
  if (extension !== '.yaml' && extension !== '.yml') {
    throw new UsageError(`--plan ${plan}: the plan is written as YAML`, 'give a name that ends with .yaml');
  }
  const program = `${basename(plan, extension).replace(/\.plan$/, '')}-program.${python ? 'py' : 'mjs'}`;
  const files: [string, string][] = [
    [plan, planText(program, host, runs)],
    [
      join(dirname(plan), program),
      python ? pythonText(module) : host === 'node' ? nodeText(module) : javascriptText(module),
    ],
  ];
  const existing = files.find(([file]) => existsSync(file));
  if (existing !== undefined) {
    throw new UsageError(`${existing[0]} is already there, and is not overwritten`, 'give another --plan');
  }
  const written: string[] = [];
  for (const [file, text] of files) {
    try {
      await writeFile(file, text, { flag: 'wx' });
      written.push(file);
    } catch (error) {
      for (const half of written) await rm(half, { force: true });
      throw new EnvironmentError(`can't write ${file}: ${messageOf(error)}`);
    }
  }
  return (
    `${written.join('\n')}\n` +
    `Let the program do what starts ${module}'s threads, then: quiesce run --plan ${plan}\n`
  );
}

// Addons of Node are unloaded with the last worker that loaded them, which the main thread's endings don't show.
const workerEndings: readonly [string, unknown][] = [
  ['in a worker only', 'clean'],
  ['in two workers', 'clean'],
  ['in one worker after another', 'clean'],
  ['in a terminated worker', 'clean'],
  ['exit inside a worker', 'clean'],
  ['exit while a worker runs', 'clean'],
];

function planText(program: string, host: Host, runs: number): string {
  const interpreter = { node: ['node'], bun: ['bun'], deno: ['deno', 'run', '-A'], python: ['python3'] }[
    host
  ];
  // How a program ends that leaves so.
  const endings: [string, unknown][] = [
    ['natural', 'clean'],
    ['exit', 'clean'],
    ['exception', { exitCode: 1 }],
    ['SIGTERM', { signal: 'SIGTERM' }],
    ...(host === 'node' ? workerEndings : []),
  ];
  const plan = {
    defaults: { runs, timeout: '10s' },
    scenarios: endings.map(([ending, expect]) => ({
      name: ending,
      command: [...interpreter, program, ending],
      expect,
    })),
  };
  const head = [
    '# Does the program leave quietly, however it ends? quiesce run --plan <this file>',
    '# More runs show rarer failures (quiesce runs-needed --rate 1%); --perturb amplify shows most races at once.',
    '# A scenario with strict: true fails too when a thread still runs at exit.',
  ];
  return `${head.join('\n')}\n${stringify(plan)}`;
}

function javascriptText(module: string): string {
  return `import { writeSync } from 'node:fs';
import * as subject from '${module}';

// Here the work: what starts the module's threads, and leaves them running.
void subject;

// The work is done: what follows is the exit.
if (process.env.QUIESCE_DONE_FD) writeSync(Number(process.env.QUIESCE_DONE_FD), 'done\\n');
switch (process.argv[2]) {
  case 'exit':
    process.exit();
    break;
  case 'exception':
    throw new Error('leaving by an exception');
  case 'SIGTERM':
    process.kill(process.pid, 'SIGTERM');
    setInterval(() => {}, 1_000); // until it comes
}
`;
}

function nodeText(module: string): string {
  return `import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

/** Here the work: what starts the module's threads, and leaves them running. */
async function work() {
  const subject = await import('${module}');
  void subject;
}

/** The work is done: what follows is the exit. */
function done() {
  if (process.env.QUIESCE_DONE_FD) writeSync(Number(process.env.QUIESCE_DONE_FD), 'done\\n');
}

/** A worker in which the work has been done, and how it goes on there: end, stay or exit. */
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
} else if (ending === 'in a worker only') {
  await worker('end');
  done();
} else if (ending === 'in two workers') {
  await Promise.all([worker('end'), worker('end')]);
  done();
} else if (ending === 'in one worker after another') {
  for (let i = 0; i < 2; i++) {
    const thread = await worker('stay');
    await thread.terminate();
  }
  done();
} else if (ending === 'in a terminated worker') {
  const thread = await worker('stay');
  done();
  await thread.terminate();
} else if (ending === 'exit inside a worker') {
  await worker('exit');
  done();
} else if (ending === 'exit while a worker runs') {
  await worker('stay');
  done();
  process.exit();
} else {
  await work();
  done();
  switch (ending) {
    case 'exit':
      process.exit();
      break;
    case 'exception':
      throw new Error('leaving by an exception');
    case 'SIGTERM':
      process.kill(process.pid, 'SIGTERM');
      setInterval(() => {}, 1_000); // until it comes
  }
}
`;
}

function pythonText(module: string): string {
  return `import os
import signal
import sys

import ${module} as subject

# Here the work: what starts the module's threads, and leaves them running.
subject

# The work is done: what follows is the exit.
if "QUIESCE_DONE_FD" in os.environ:
    os.write(int(os.environ["QUIESCE_DONE_FD"]), b"done\\n")
ending = sys.argv[1] if len(sys.argv) > 1 else "natural"
if ending == "exit":
    sys.exit(0)
elif ending == "exception":
    raise RuntimeError("leaving by an exception")
elif ending == "SIGTERM":
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
`;
}
