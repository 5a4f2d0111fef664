import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { basename, dirname, extname, join, relative, resolve } from 'node:path';
import { Option } from 'commander';
import { EnvironmentError, messageOf, UsageError } from '../errors.js';
import { planTemplate, programTemplate, type TemplateHost, templateHosts } from '../plan/file/templates.js';
import { findExecutable } from '../process/executable.js';
import { runToEnd } from '../process/run-to-end.js';
import { shellLine } from '../report/text.js';
import { positiveInteger } from './arguments.js';
import type { Subcommand } from './subcommand.js';
import { EXIT } from './subcommand.js';

interface InitFlags {
  readonly host: TemplateHost;
  readonly runs: number;
  readonly plan: string;
}

const DEFAULT_PLAN = 'shutdown.plan.yaml';
const FIND_TIMEOUT_MS = 30_000;

/** `quiesce init`. */
export const init: Subcommand = {
  name: 'init',
  define: (command, finish) =>
    command
      .description('write a plan for your module, and the program that it runs')
      .usage('[options] <module>')
      .argument('<module>', 'what the program imports, such as @scope/package, ./index.js or my_package')
      .addOption(new Option('--host <host>', 'what runs the program').choices(templateHosts).default('node'))
      .option('-n, --runs <n>', 'runs of each scenario', positiveInteger, 50)
      .option('--plan <file>', 'the plan to write; the program is written beside it', DEFAULT_PLAN)
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
      `${JSON.stringify(module)} is not a module that ${host} can import`,
      python ? 'give a dotted name such as my_package' : 'give a package or a path such as ./index.js',
    );
  }
  const extension = extname(plan);
  if (extension !== '.yaml' && extension !== '.yml') {
    throw new UsageError(`--plan ${plan}: the plan is written as YAML`, 'give a name that ends with .yaml');
  }
  const program = `${basename(plan, extension).replace(/\.plan$/, '')}-program.${python ? 'py' : 'mjs'}`;
  const folder = dirname(plan);
  const imported = python ? await pythonModule(module, folder) : javascriptModule(module, host, folder);
  const files: [string, string][] = [
    [plan, await planTemplate(program, host, runs)],
    [join(folder, program), programTemplate(imported, host)],
  ];
  const existing = files.find(([file]) => existsSync(file));
  if (existing !== undefined) {
    throw new UsageError(`${existing[0]} already exists, and is not overwritten`, 'give another --plan');
  }
  const written: string[] = [];
  for (const [file, text] of files) {
    try {
      await mkdir(folder, { recursive: true });
      await writeFile(file, text, { flag: 'wx' });
      written.push(file);
    } catch (error) {
      for (const half of written) await rm(half, { force: true });
      throw new EnvironmentError(`can't write ${file}: ${messageOf(error)}`);
    }
  }
  return (
    `${written.join('\n')}\n` +
    `Edit the program so that it starts ${module}'s threads, then: ${shellLine(['quiesce', 'run', ...(plan === DEFAULT_PLAN ? [] : ['--plan', plan])])}\n`
  );
}

/**
 * How a program in a folder imports a module. A path is relative to the working directory.
 * @throws UsageError when the module doesn't exist.
 */
function javascriptModule(module: string, host: TemplateHost, folder: string): string {
  if (/^(?:\.{0,2}\/|\.)/.test(module)) {
    const path = resolve(module);
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
      throw new UsageError(`${module} is not a file`, `looked for ${path}; an import names the file itself`);
    }
    const from = relative(resolve(folder), path);
    return from.startsWith('.') ? from : `./${from}`;
  }
  // Schemes such as npm: or bun:, and names that a project maps, are left to the host.
  if (isBuiltin(module) || /^(?:\w+:|#)/.test(module) || host === 'deno') return module;
  const name = module
    .split('/')
    .slice(0, module.startsWith('@') ? 2 : 1)
    .join('/');
  for (let at = resolve(folder); ; at = dirname(at)) {
    if (existsSync(join(at, 'node_modules', name)) || packageName(at) === name) return module;
    if (at === dirname(at)) break;
  }
  throw new UsageError(
    `the package ${name} is not installed where ${resolve(folder)} would find it`,
    'install it there, or give a path such as ./index.js',
  );
}

/** The name in a folder's `package.json`, by which the folder's own modules may import it. */
function packageName(folder: string): unknown {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name;
  } catch {
    return undefined;
  }
}

/** @throws UsageError when Python doesn't find the module from there. Without Python, nothing is checked. */
async function pythonModule(module: string, folder: string): Promise<string> {
  const top = module.split('.')[0] as string;
  if (findExecutable('python3', '.').path === undefined) return module;
  const find =
    'import sys; sys.path[0] = sys.argv[2]; from importlib.util import find_spec; print(bool(find_spec(sys.argv[1])))';
  const { stdout } = await runToEnd(['python3', '-c', find, top, resolve(folder)], {
    ...{ cwd: '.', timeoutMs: FIND_TIMEOUT_MS, keep: [100, 0] },
  });
  if (stdout.trim() !== 'False') return module;
  throw new UsageError(
    `Python can't find the module ${top} from ${resolve(folder)}`,
    'install it, or give --plan a file in the folder that has it',
  );
}
