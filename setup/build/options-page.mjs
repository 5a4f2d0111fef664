// @ts-check
// node setup/build/options-page.mjs: writes docs/options.md from the compiled tester: its table of options, the flags of
// its subcommands, and the schema of plans. `npm run build` compiles it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { table } from '../lib/markdown.mjs';
import { inRoot } from '../lib/paths.mjs';

/**
 * @typedef {{ flags: string, long?: string, description: string, mandatory: boolean,
 *   defaultValue?: unknown }} Flag
 * @typedef {{ name: string, description: string, flags: readonly Flag[] }} Subcommand
 * @typedef {{ description?: string, properties?: Record<string, Field>, additionalProperties?: Field, items?: Field,
 *   required?: string[], type?: string | string[] }} Field
 */

const compiled = (/** @type {string[]} */ ...path) =>
  import(pathToFileURL(inRoot('packages', 'quiesce', 'dist', 'src', ...path)).href);

/** What a different value changes: the `bearsOn` of an option. */
const BEARINGS = /** @type {Record<string, string>} */ ({
  outcome: 'outcomes',
  evidence: 'evidence',
  statement: 'statements',
  effort: 'effort',
});

/**
 * Environment variables: what sets them, and what they mean. A test compares the names with those in the sources.
 * @type {readonly (readonly [name: string, meaning: string])[]}
 */
const READ = [
  [
    'QUIESCE_CACHE',
    "Folder of installed packages and runtimes (default: `quiesce` in the user's cache folder)",
  ],
  ['XDG_CACHE_HOME', "The user's cache folder (default: `~/.cache`)"],
  [
    'QUIESCE_IGNORED_SIGNALS',
    'Set by the command `quiesce` for itself: the signals that were ignored when it began',
  ],
  ['PATH', 'Where programs are looked for; a scenario may set its own'],
  ['NO_COLOR', 'Not empty: no colours in the terminal'],
  ['TERM', '`dumb`: no colours in the terminal'],
  ['COLUMNS', 'Width of the table, in characters, if the output is not a terminal'],
  ['GITHUB_ACTIONS', '`true`: failures become annotations, as with `--github`'],
  ['GITHUB_STEP_SUMMARY', 'File to which the table is added then'],
  ['GITHUB_SHA', 'Label of a session in the history, unless `--label` names one'],
  ['CI_COMMIT_SHORT_SHA', 'The same, on GitLab'],
];

/** @type {typeof READ} */
const SET = [
  ['QUIESCE_DONE_FD', 'Number of the descriptor to which the program writes `done` when its work is done'],
  ['QUIESCE_RUN', 'Number of the run, from 1'],
  ['QUIESCE_RUN_ID', 'Unique for each run'],
  ['QUIESCE_INSIDE', 'Set for all that the tester starts, which finds daemons of a run by it'],
  ['QUIESCE_WITNESS', 'The id of the process that made the socket: the exit witness reports to no other'],
  [
    'QUIESCE_WITNESS_SOCKET',
    'The name of an abstract socket: a child that has lost the descriptor reports its crash there',
  ],
  ['QUIESCE_TIMELINE', 'File of the timeline, with `--timeline`'],
  ['QUIESCE_AMPLIFY_SEED', 'Seed of the amplifier, with `--perturb amplify`'],
  ['QUIESCE_AMPLIFY_REPORT', 'File to which the amplifier writes which processes it amplified'],
];

/** @type {typeof READ} */
const TUNED = [
  ['QUIESCE_AMPLIFY_HOLD_MS', 'Longest hold of one thread, in milliseconds (default: 150)'],
  ['QUIESCE_AMPLIFY_HOLD_BUDGET_MS', 'All holds before the work is done, in milliseconds (default: 2000)'],
  [
    'QUIESCE_AMPLIFY_LINGER_MS',
    'Longest delay of the exiting thread at one step, in milliseconds (default: 20)',
  ],
  ['QUIESCE_AMPLIFY_LINGER_BUDGET_MS', 'All such delays of an exit, in milliseconds (default: 200)'],
  [
    'QUIESCE_AMPLIFY_CHILDREN',
    '`0`: only the process that leads its process group (default: its children too)',
  ],
];

/** All variables of the page that have fixed names. The variables with which CI systems state a shard are added to them. */
export const variables = [...READ, ...SET, ...TUNED].map(([name]) => name);

const code = (/** @type {string} */ text) => `\`${text}\``;

/** Separates `(default: 20, or as the plan says)` at the end of a help text from the rest. */
function helpAndDefault(/** @type {string} */ help) {
  const [all = '', found] = / \(default: ((?:[^()]|\([^()]*\))*)\)$/.exec(help) ?? [];
  return { help: help.slice(0, help.length - all.length), usual: found };
}

/** A help text as a cell. Flags in it are code, so that `<n>` is not an HTML element. */
const sentence = (/** @type {string} */ text) =>
  (text.charAt(0).toUpperCase() + text.slice(1)).replace(/--\w[\w-]*(?: <\w+>)?/g, code);

/** The long flag without its value. */
const longOf = (/** @type {string} */ term) => /--[\w-]+/.exec(term)?.[0] ?? '';

/** @returns {Promise<Subcommand[]>} `run` first */
async function subcommands() {
  const { Command } = await import(
    import.meta.resolve('commander', pathToFileURL(inRoot('packages/quiesce/src/')).href)
  );
  const names = readdirSync(inRoot('packages', 'quiesce', 'src', 'cli')).map((file) =>
    file.replace(/\.ts$/, '.js'),
  );
  const modules = await Promise.all(names.map((file) => compiled('cli', file)));
  const found = modules
    .flatMap((module) => Object.values(module))
    .filter((value) => typeof value?.define === 'function')
    .map(({ name, define }) => {
      const command = new Command(name);
      define(command, () => {});
      return { name, description: command.description(), flags: command.options };
    });
  const rank = (/** @type {Subcommand} */ { name }) => (name === 'run' ? '' : name);
  return found.sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}

/** @param {import('../../packages/quiesce/dist/src/plan/option.js').Option<unknown>} option */
function defaultOf({ default: usual, flag, about }) {
  const stated = helpAndDefault(about ?? flag?.help ?? '').usual ?? helpAndDefault(flag?.help ?? '').usual;
  if (stated !== undefined) return stated.replace(', or as the plan says', '');
  if (usual === undefined || (Array.isArray(usual) && usual.length === 0)) return 'none';
  return code(typeof usual === 'string' ? usual : JSON.stringify(usual));
}

/** The values that an option accepts, in words, with the unit. */
async function valueWords() {
  const { z } = await import(import.meta.resolve('zod', pathToFileURL(inRoot('packages/quiesce/src/')).href));
  const fields = await compiled('plan', 'fields.js');
  const { expectation } = await compiled('plan', 'expectation.js');
  const words = new Map([
    [fields.duration, 'time with its unit: `ms`, `s`, `m` or `h`'],
    [fields.rate, 'share: `"0.1%"`, or a number between 0 and 1'],
    [fields.confidence, 'share of at most `"99.9999999%"`, or a number'],
    [fields.positiveInteger, 'integer from 1'],
    [fields.count, 'integer from 0'],
    [fields.seed, 'integer from 0 to 2^32 - 1'],
    [fields.flag, '`true` or `false`'],
    [fields.perturbation, 'text: parts, separated by commas'],
    [fields.environment, 'mapping of names to texts'],
    [fields.text, 'text'],
    [expectation, 'text or mapping'],
  ]);
  return (/** @type {unknown} */ schema) => {
    const known = words.get(schema);
    if (known !== undefined) return known;
    const { type } = z.toJSONSchema(schema, { io: 'input' });
    if (type !== 'array')
      throw new Error(`options-page.mjs has no words for a schema: ${JSON.stringify(type)}`);
    return 'list of texts';
  };
}

/** Fields of a plan by their paths, except for options. */
function planFields(/** @type {Field} */ plan, /** @type {readonly string[]} */ options) {
  /** @type {string[][]} */
  const rows = [];
  const walk = (/** @type {Field} */ field, /** @type {string} */ path, /** @type {boolean} */ needed) => {
    const name = path.split('.').at(-1) ?? '';
    const isOption = options.includes(name) && /^(defaults|scenarios)/.test(path);
    if (isOption) return;
    if (path !== '' && field.description !== undefined) {
      const { help, usual = needed ? 'required' : 'none' } = helpAndDefault(field.description);
      const type = field.properties || field.additionalProperties?.properties ? 'mapping' : field.type;
      rows.push([
        code(path),
        field.items ? 'list' : type === 'object' ? 'mapping' : String(type ?? 'mapping'),
        usual,
        help,
      ]);
    }
    const inner = field.properties ?? field.items?.properties ?? {};
    const required = field.required ?? field.items?.required ?? [];
    const at = path === '' ? '' : `${path}${field.items?.properties ? '[]' : ''}.`;
    for (const [key, value] of Object.entries(inner)) walk(value, `${at}${key}`, required.includes(key));
    const named = field.additionalProperties;
    if (named?.properties === undefined) return;
    for (const [key, value] of Object.entries(named.properties)) {
      walk(value, `${path}.NAME.${key}`, named.required?.includes(key) ?? false);
    }
  };
  walk(plan, '', true);
  return rows;
}

/** @param {Flag} flag */
function flagDefault({ flags, description, mandatory, defaultValue }) {
  const { usual } = helpAndDefault(description);
  if (mandatory) return 'required';
  if (flags.includes('[')) return `off; without a value: ${usual}`;
  if (usual !== undefined) return usual;
  if (defaultValue !== undefined) return code(String(defaultValue));
  return flags.includes('<') ? 'none' : 'off';
}

/** @param {readonly Flag[]} flags */
const flagRows = (flags) =>
  flags.map((flag) => [code(flag.flags), flagDefault(flag), sentence(helpAndDefault(flag.description).help)]);

/** The text of docs/options.md. */
export async function optionsPage() {
  const { optionNames, optionOf } = await compiled('plan', 'options.js');
  const { planJsonSchema } = await compiled('plan', 'check', 'schema.js');
  const words = await valueWords();
  const commands = await subcommands();
  const ofScenarios = new Set(
    optionNames.flatMap((/** @type {string} */ name) => longOf(optionOf(name).flag?.term ?? '') || []),
  );
  const rows = optionNames.map((/** @type {string} */ name) => {
    const option = optionOf(name);
    const { about, flag, schema, bearsOn, adds } = option;
    const { help } = helpAndDefault(flag?.help ?? about ?? '');
    const added = adds ? '. The flag adds to what the plan has' : '';
    return [
      flag === undefined ? 'plan only' : code(flag.term),
      code(name),
      defaultOf(option),
      sentence(help) + added,
      words(schema),
      BEARINGS[bearsOn] ?? bearsOn,
    ];
  });
  const sections = commands.map(({ name, description, flags }) => {
    const shared = flags.filter(({ long }) => ofScenarios.has(long)).map(({ long }) => code(long ?? ''));
    const own = flags.filter(({ long }) => !ofScenarios.has(long));
    const also =
      shared.length === 0
        ? ''
        : shared.length === ofScenarios.size
          ? '\n\nIt has all flags of the table above.'
          : `\n\nFrom the table above it has ${shared.join(', ')}.`;
    const list = own.length === 0 ? '' : `\n\n${table([['flag', 'default', 'meaning'], ...flagRows(own)])}`;
    return `### quiesce ${name}\n\n${sentence(description)}.${also}${list}`;
  });
  const ofEnvironment = (/** @type {typeof READ} */ list) =>
    table([['variable', 'meaning'], ...list.map(([name, meaning]) => [code(name), meaning])]);
  return `# Options of the tester

<!-- Written by \`node setup/build/options-page.mjs\` from packages/quiesce: change the option there. -->

[The tester](tester.md) explains how they work together. \`quiesce SUBCOMMAND --help\` prints the same texts.

## Options of scenarios

Each is a flag of the command line, a field of a scenario, and a field of a plan's \`defaults\`. A flag wins over the scenario,
and the scenario over \`defaults\`. Only \`--expect\` needs a command: how a plan's scenarios end is stated in the plan. "Changes" says what another value affects:

- **outcomes**: how runs are made or judged. Runs with different values are never counted together.
- **evidence**: what a report shows of a run besides its outcome.
- **statements**: what a report states about all runs. Reports with different values are not merged.
- **effort**: how many runs are made, where, and in what time.

${table([['flag', 'plan field', 'default', 'meaning', 'value', 'changes'], ...rows])}

## Flags by subcommand

\`quiesce --version\` prints the version, and \`--help\` of any subcommand its flags.

${sections.join('\n\n')}

## Other fields of a plan

\`NAME\` stands for a name of your choice. Times in \`ready\` are numbers, in milliseconds.

${table([['field', 'type', 'default', 'meaning'], ...planFields(planJsonSchema(), optionNames)])}

## Environment variables

The tester reads:

${ofEnvironment(READ)}

\`--shard auto\` reads the place of this job and the number of jobs:

${table([['variable', 'counts from', 'number of jobs'], ...(await shardVariables())])}

The tester sets these for each program under test:

${ofEnvironment(SET)}

Scenarios may set these for the amplifier, by \`env\`:

${ofEnvironment(TUNED)}

[The pytest plugin](../packages/pytest-quiesce) and the [GitHub Action](ci.md) read \`QUIESCE_COMMAND\`: the command that runs the
tester (default: the project's own, from npm).
`;
}

async function shardVariables() {
  const { PLACES } = await compiled('plan', 'shard.js');
  return PLACES.map(
    (/** @type {{ index: string, first: number, count: string | null }} */ { index, first, count }) => [
      code(index),
      String(first),
      count === null ? 'not stated: give `auto/n`' : code(count),
    ],
  );
}

/** Names of the environment variables that the tester's sources and preload libraries read or set. */
export function variablesInSources() {
  const names = new Set();
  for (const folder of [
    'packages/quiesce/src',
    'crates/exit-witness/src',
    'crates/exit-amplifier/src',
    'crates/preload/src',
  ]) {
    for (const file of readdirSync(inRoot(folder), { recursive: true, encoding: 'utf8' })) {
      if (!/\.(ts|rs)$/.test(file)) continue;
      const text = readFileSync(inRoot(folder, file), 'utf8');
      // A prefix of names is none.
      for (const [name] of text.matchAll(/\bQUIESCE_\w*[A-Z\d]\b/g)) names.add(name);
      for (const [, name] of text.matchAll(/process\.env\.([A-Z]\w*)/g)) names.add(name);
      for (const [, list = ''] of text.matchAll(/\{([^{}]*)\} = process\.env\b/g)) {
        // The rest, and names that are only removed from it (`NAME: _name`), are not read.
        for (const part of list.split(',')) {
          const [, name] = /^\s*(\w+)(?!\s*:\s*_)\b/.exec(part) ?? [];
          if (name !== undefined) names.add(name);
        }
      }
    }
  }
  return [...names].sort();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(inRoot('docs', 'options.md'), await optionsPage());
}
