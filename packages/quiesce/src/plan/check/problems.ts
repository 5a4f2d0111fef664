// biome-ignore-all lint/suspicious/noTemplateCurlyInString: a plan's own placeholders
import { statSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { definedOnly } from '../../defined.js';
import { nameMatcher } from '../../glob.js';
import { checkerProblem } from '../../perturb/checker.js';
import { tunes, tuningProblems } from '../../perturb/tuning.js';
import { findExecutable } from '../../process/executable.js';
import { witnessProblem } from '../../run/witness.js';
import { nearMiss, type PlaceholderText, references, textsOf } from '../../service/placeholders.js';
import { isOfService } from '../../service/service.js';
import { expandedNames } from '../matrix.js';
import type { OptionValues, OverridingOptions, ScenarioDefaults } from '../options.js';
import type { Matrix, Part, PlanParts } from '../plan.js';
import type { CombinationProblem } from '../plan-error.js';
import { AXES, type Placeholder } from './placeholders.js';

/** What the caller sets for a whole plan, as far as these problems depend on it. */
export type Caller = OverridingOptions & { readonly only?: readonly string[] };

type Add = (path: CombinationProblem['path'], message: string, hint?: string) => void;

/**
 * Everything that is wrong with a plan's scenarios and the services that they use, although each field is right by
 * itself. Nothing is started. What the caller's options say for all scenarios is checked elsewhere.
 */
export function combinationProblems(parts: PlanParts, caller: Caller, baseDir: string): CombinationProblem[] {
  const found = new Map<string, CombinationProblem>();
  // What the defaults say is wrong for many scenarios, and is reported once.
  const add: Add = (path, message, hint) =>
    void found.set(JSON.stringify([path, message]), { path, message, hint });
  const { services, defaults, scenarios } = parts;
  const chosen = chosenParts(scenarios, caller.only);
  for (const [i, { fields, whole }] of chosen) {
    const pathOf = (...names: (keyof ScenarioDefaults)[]): CombinationProblem['path'] => {
      const own = names.find((name) => fields[name] !== undefined);
      if (own !== undefined) return ['scenarios', i, own];
      const common = names.find((name) => defaults.fields[name] !== undefined);
      return common === undefined ? ['scenarios', i] : ['defaults', common];
    };
    const all = { ...defaults.fields, ...fields, env: { ...defaults.fields.env, ...fields.env } };
    const envPath = (name: string): CombinationProblem['path'] =>
      fields.env?.[name] === undefined ? ['defaults', 'env', name] : ['scenarios', i, 'env', name];
    for (const { name, problem } of tuningProblems(all.env)) {
      add(envPath(name), problem);
    }
    if (whole && defaults.whole) checkOptions(all, caller, pathOf, fields, add);
    const directory = directoryProblem(all.cwd, baseDir);
    if (directory !== undefined) add(pathOf('cwd'), directory.problem, directory.hint);
    for (const message of sharedVariables(fields.uses ?? defaults.fields.uses ?? [], services)) {
      add(pathOf('uses'), message, 'give one of them another name');
    }
    const { command, matrix } = fields;
    // A matrix that is wrong may be meant to fill them in.
    const axesKnown = matrix === undefined ? whole : areAxes(Object.keys(matrix));
    const isSet = (name: string): boolean => Object.hasOwn(all.env, name) || Object.hasOwn(process.env, name);
    const misplaced = (words: readonly string[]): Problem | undefined =>
      axesKnown ? placeholderProblem(words, matrix, isSet) : undefined;
    for (const [name, value] of Object.entries(all.env)) {
      const found = misplaced([value]);
      if (found !== undefined) add(envPath(name), found.problem, found.hint);
    }
    if (command === undefined) continue;
    const problem = misplaced(command) ?? programProblem(command, all, directory === undefined, baseDir);
    if (problem !== undefined) add(['scenarios', i, 'command'], problem.problem, problem.hint);
    if (command[0] !== '${python}' || Object.keys(matrix ?? {}).join() !== 'python') continue;
    for (const [k, python] of (matrix?.python ?? []).entries()) {
      const missing = programProblem([python], all, directory === undefined, baseDir);
      if (missing !== undefined) add(['scenarios', i, 'matrix', 'python', k], missing.problem, missing.hint);
    }
  }
  for (const name of new Set(chosen.flatMap(([, { fields }]) => fields.uses ?? defaults.fields.uses ?? []))) {
    const service = Object.hasOwn(services, name) ? services[name] : undefined;
    if (service === undefined) continue;
    for (const variable of tunes(service.env ?? {})) {
      add(['services', name, 'env', variable], `${variable} changes nothing: no service is amplified`);
    }
    for (const { name: variable, problem } of tuningProblems(service.provides ?? {})) {
      add(['services', name, 'provides', variable], problem);
    }
    const directory = directoryProblem(service.cwd, baseDir);
    if (directory !== undefined) add(['services', name, 'cwd'], directory.problem, directory.hint);
    if (service.command === undefined) continue;
    const problem = programProblem(service.command, service, directory === undefined, baseDir);
    if (problem !== undefined) add(['services', name, 'command'], problem.problem, problem.hint);
  }
  const strict = ({ fields }: Part<ScenarioDefaults>): boolean =>
    fields.strict ?? defaults.fields.strict ?? false;
  const wholly = defaults.whole && scenarios.every(({ whole }) => whole);
  if (
    wholly &&
    defaults.fields.allowThreads?.length &&
    caller.strict === undefined &&
    !scenarios.some(strict)
  ) {
    add(['defaults', 'allowThreads'], IDLE_THREADS, 'set strict, too');
  }
  return [...found.values()];
}

/** The variables that two of a scenario's services provide: it could get only one of them. */
function sharedVariables(uses: readonly string[], services: PlanParts['services']): string[] {
  const from = new Map<string, string>();
  return uses.flatMap((service) => {
    const provides = Object.hasOwn(services, service) ? services[service]?.provides : undefined;
    return Object.keys(provides ?? {}).flatMap((variable) => {
      const other = from.get(variable);
      from.set(variable, service);
      return other === undefined || other === service
        ? []
        : `services ${JSON.stringify(other)} and ${JSON.stringify(service)} both provide ${variable}`;
    });
  });
}

const IDLE_THREADS = 'threads are allowed, but nothing is strict about them';

/** Problems of a scenario's options with one another, and with this machine. */
function checkOptions(
  all: ScenarioDefaults,
  caller: Caller,
  pathOf: (...names: (keyof ScenarioDefaults)[]) => CombinationProblem['path'],
  own: ScenarioDefaults,
  add: Add,
): void {
  const {
    valgrind = false,
    asan = false,
    strict,
    timeline,
    witness = true,
    signatures = true,
    expect = 'clean',
  } = { ...all, ...definedOnly(caller) };
  const checker = checkerProblem({ valgrind, asan });
  if (checker !== undefined) {
    add(valgrind ? pathOf('valgrind', 'asan') : pathOf('asan'), checker.problem, checker.hint);
  }
  const blind = witness ? witnessProblem() : 'it is switched off';
  if (strict && blind !== undefined) {
    add(
      pathOf('strict', 'witness'),
      `strict needs the witness, which sees the threads that are left at exit: ${blind}`,
    );
  }
  if (timeline && !witness) {
    add(
      pathOf('timeline', 'witness'),
      'there is no timeline without the witness',
      'leave out one of the two settings',
    );
  }
  if (own.ignoreOutput?.length && !judgesOutput({ signatures, expect })) {
    add(
      pathOf('ignoreOutput'),
      'output is to be ignored, but none counts',
      'leave out one of the two settings',
    );
  }
  if (own.allowThreads?.length && !strict) add(pathOf('allowThreads'), IDLE_THREADS, 'set strict, too');
  const until = caller.until ?? (caller.runs === undefined ? untilOf(own, all) : undefined);
  if (caller.runs === undefined && all.allowFailures && until === undefined) {
    add(pathOf('allowFailures'), 'allowFailures needs until');
  }
}

/** Whether a run's output bears on its outcome. */
export const judgesOutput = ({ signatures, expect }: Pick<OptionValues, 'signatures' | 'expect'>): boolean =>
  signatures || (typeof expect === 'object' && expect.stderr === 'empty');

/** A scenario's own `runs` overrides the `until` of the defaults. */
const untilOf = (own: ScenarioDefaults, all: ScenarioDefaults): unknown =>
  own.runs === undefined ? all.until : own.until;

/** The scenarios that the caller chooses, with their places. A matrix makes several of one. */
function chosenParts(
  scenarios: PlanParts['scenarios'],
  only: readonly string[] = [],
): (readonly [number, PlanParts['scenarios'][number]])[] {
  if (only.length === 0) return [...scenarios.entries()];
  const names = scenarios.map(({ fields }) => expandedNames(fields));
  const matchers = only.map((pattern) => nameMatcher(pattern, names.flat()));
  return [...scenarios.entries()].filter(([i]) =>
    names[i]?.some((name) => matchers.some((matches) => matches(name))),
  );
}

interface Problem {
  readonly problem: string;
  readonly hint: string;
}

function programProblem(
  [program = '']: readonly string[],
  { cwd, env }: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> },
  hasDirectory: boolean,
  baseDir: string,
): Problem | undefined {
  // A matrix or a service fills placeholders in later.
  if (references(program).some((name) => isAxisName(name) || isOfService(name))) return undefined;
  if (!hasDirectory && program.includes('/') && !isAbsolute(program)) return undefined;
  const found = findExecutable(program, resolve(baseDir, cwd ?? '.'), env?.PATH ?? process.env.PATH);
  return found.path === undefined ? found : undefined;
}

/**
 * The first problem with a placeholder in the words of a command, or in the value of a variable: nothing fills it in, or it
 * is misspelt.
 */
function placeholderProblem(
  words: readonly string[],
  matrix: Matrix = {},
  isSet: (name: string) => boolean = () => false,
): Problem | undefined {
  for (const [i, text] of textsOf(words).entries()) {
    for (const name of references(text.text)) {
      // At other places in code, the name may be that of its own variable. No program has such a name.
      const isMeant = !text.isCode || i === 0 || text.text.search(IN_WORD) === 0;
      const problem = isAxisName(name)
        ? isMeant && !hasAxis(matrix, name) && lacksAxis(name)
        : isOfService(text.isCode ? name : name.toLowerCase())
          ? isMeant && onlyService(name)
          : !(text.isCode && isSet(name)) && misspeltAxis(name, text, matrix);
      if (problem) return problem;
    }
  }
  return undefined;
}

/** A placeholder that is a word by itself, or the beginning of a path. */
const IN_WORD = /^\$\{[^{}]*\}(?=$|\/\S*$)/;

const AXIS_NAMES = Object.keys(AXES) as Placeholder[];
const isAxisName = (name: string): name is Placeholder => Object.hasOwn(AXES, name);
const areAxes = (names: readonly string[]): boolean =>
  names.length > 0 && names.every((axis) => AXIS_NAMES.some((name) => AXES[name].is.test(axis)));
const hasAxis = (matrix: Matrix, name: Placeholder): boolean =>
  Object.keys(matrix).some((axis) => AXES[name].is.test(axis));

const lacksAxis = (name: Placeholder): Problem => ({
  problem: `\${${name}} needs a matrix with the axis ${AXES[name].name}`,
  hint: `such as matrix: { ${AXES[name].example} } in a plan`,
});

const onlyService = (name: string): Problem => ({
  problem: `only a service has \${${name}}`,
  hint: 'its provides gives it to scenarios, as a variable',
});

function misspeltAxis(name: string, text: PlaceholderText, matrix: Matrix): Problem | undefined {
  const near = nearMiss(name, text, AXIS_NAMES);
  // Without a matrix, a text that a program fills in itself is more likely, unless only the case differs.
  const isOther = Object.keys(matrix).length === 0 && near !== name.toLowerCase();
  if (near === undefined || isOther) return undefined;
  return { problem: `\${${name}} is not a placeholder`, hint: `did you mean \${${near}}?` };
}

function directoryProblem(cwd: string | undefined, baseDir: string): Problem | undefined {
  const path = resolve(baseDir, cwd ?? '.');
  const state = statSync(path, { throwIfNoEntry: false });
  if (state?.isDirectory()) return undefined;
  const what = state === undefined ? "doesn't exist" : 'is not a directory';
  return { problem: `cwd ${JSON.stringify(cwd ?? baseDir)} ${what}`, hint: `looked for ${path}` };
}
