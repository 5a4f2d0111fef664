// biome-ignore-all lint/suspicious/noTemplateCurlyInString: a plan's own placeholders
import { statSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { definedOnly } from '../../defined.js';
import { nameMatcher } from '../../glob.js';
import { checkerProblem } from '../../perturb/checker.js';
import { tuningProblems } from '../../perturb/tuning.js';
import { findExecutable } from '../../process/executable.js';
import { witnessProblem } from '../../run/witness.js';
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
    for (const { name, problem } of tuningProblems(all.env)) {
      const place =
        fields.env?.[name] === undefined ? ['defaults', 'env', name] : ['scenarios', i, 'env', name];
      add(place, problem);
    }
    if (whole && defaults.whole) checkOptions(all, caller, pathOf, fields, add);
    const directory = directoryProblem(all.cwd, baseDir);
    if (directory !== undefined) add(pathOf('cwd'), directory.problem, directory.hint);
    for (const message of sharedVariables(fields.uses ?? defaults.fields.uses ?? [], services)) {
      add(pathOf('uses'), message, 'give one of them another name');
    }
    if (fields.command === undefined) continue;
    const problem =
      placeholderProblem(fields.command, fields.matrix) ??
      programProblem(fields.command, all, directory === undefined, baseDir);
    if (problem !== undefined) add(['scenarios', i, 'command'], problem.problem, problem.hint);
    if (fields.command[0] !== '${python}' || Object.keys(fields.matrix ?? {}).join() !== 'python') continue;
    for (const [k, python] of (fields.matrix?.python ?? []).entries()) {
      const missing = programProblem([python], all, directory === undefined, baseDir);
      if (missing !== undefined) add(['scenarios', i, 'matrix', 'python', k], missing.problem, missing.hint);
    }
  }
  for (const name of new Set(chosen.flatMap(([, { fields }]) => fields.uses ?? defaults.fields.uses ?? []))) {
    const service = Object.hasOwn(services, name) ? services[name] : undefined;
    if (service === undefined) continue;
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
  if (program.search(PLACEHOLDER) >= 0) return undefined;
  if (!hasDirectory && program.includes('/') && !isAbsolute(program)) return undefined;
  const found = findExecutable(program, resolve(baseDir, cwd ?? '.'), env?.PATH ?? process.env.PATH);
  return found.path === undefined ? found : undefined;
}

const PLACEHOLDER = /\$\{(runtime|python|npm|dir|port:[^}]*)\}/g;
/** At other places in a word, the text may be meant for a shell. */
const IN_WORD = new RegExp(`^${PLACEHOLDER.source}(?=$|/\\S*$)`);

/** The problem with a placeholder that nothing fills in. No program has such a name. */
function placeholderProblem(
  [program = '', ...words]: readonly string[],
  matrix: Matrix = {},
): Problem | undefined {
  const axes = Object.keys(matrix);
  const inWords = words.map((word) => IN_WORD.exec(word)).filter((found) => found !== null);
  for (const [placeholder, name = ''] of [...program.matchAll(PLACEHOLDER), ...inWords]) {
    if (!Object.hasOwn(AXES, name)) {
      return {
        problem: `only a service has ${placeholder}`,
        hint: 'its provides gives it to scenarios, as a variable',
      };
    }
    const axis = AXES[name as Placeholder];
    if (axes.some((one) => axis.is.test(one))) continue;
    return {
      problem: `${placeholder} needs a matrix with the axis ${axis.name}`,
      hint: `such as matrix: { ${axis.example} } in a plan`,
    };
  }
  return undefined;
}

function directoryProblem(cwd: string | undefined, baseDir: string): Problem | undefined {
  const path = resolve(baseDir, cwd ?? '.');
  const state = statSync(path, { throwIfNoEntry: false });
  if (state?.isDirectory()) return undefined;
  const what = state === undefined ? "doesn't exist" : 'is not a directory';
  return { problem: `cwd ${JSON.stringify(cwd ?? baseDir)} ${what}`, hint: `looked for ${path}` };
}
