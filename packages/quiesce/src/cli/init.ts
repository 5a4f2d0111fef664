import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { Option } from 'commander';
import { EnvironmentError, messageOf, UsageError } from '../errors.js';
import { planTemplate, programTemplate, type TemplateHost, templateHosts } from '../plan/templates.js';
import { positiveInteger } from './arguments.js';
import { EXIT } from './exit-codes.js';
import type { Subcommand } from './subcommand.js';

interface InitFlags {
  readonly host: TemplateHost;
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
      .addOption(new Option('--host <host>', 'what runs the program').choices(templateHosts).default('node'))
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
    [plan, planTemplate(program, host, runs)],
    [join(dirname(plan), program), programTemplate(module, host)],
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
