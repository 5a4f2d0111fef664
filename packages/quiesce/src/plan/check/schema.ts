import { closestMatch } from 'leven';
import { z } from 'zod';
import { definedOnly } from '../../defined.js';
import { messageOf, type UsageError } from '../../errors.js';
import { PACKAGE, parsePackageName, parseRuntime, RUNTIME } from '../../install/installation.js';
import { references, textsOf } from '../../service/placeholders.js';
import { type ServiceProblem, serviceProblems } from '../../service/service.js';
import { command, environment, expected, list, names, positiveInteger, strict, text } from '../fields.js';
import type { PlanText } from '../file/plan-text.js';
import type { Option } from '../option.js';
import { options } from '../options.js';
import type { Matrix, Plan, PlanParts } from '../plan.js';
import { type CombinationProblem, PlanError, type PlanProblem } from '../plan-error.js';
import { AXES, idleAxes } from './placeholders.js';

type OptionFields = { [K in keyof typeof options]: z.ZodExactOptional<(typeof options)[K]['schema']> };

const scenarioFields = Object.fromEntries(
  Object.entries(options).map(([name, option]) => [name, described(option as Option<unknown>)]),
) as OptionFields;

/** The schema, with the text that an editor shows. */
function described({ schema, about, flag, default: usual }: Option<unknown>): z.ZodType {
  const description = (about ?? flag?.help ?? '').replace(', or as the plan says', '');
  // A default whose form differs from a plan's value, such as milliseconds, is only in the text.
  const meta = schema.safeParse(usual).success && { default: usual };
  return (schema as z.ZodType).meta({ description, ...meta }).exactOptional();
}

const readySchema = strict({
  port: text.describe('The port that must accept connections').exactOptional(),
  log: text
    .meta({ description: 'A regular expression that its output must match', format: 'regex' })
    .exactOptional(),
  timeoutMs: positiveInteger.describe('Milliseconds until then at most (default: 30000)').exactOptional(),
})
  .refine(({ port, log }) => port !== undefined || log !== undefined, {
    error: expected('a port or a log to wait for'),
  })
  .meta({ anyOf: [{ required: ['port'] }, { required: ['log'] }] });

const serviceSchema = strict({
  command: command.describe(
    'Program and arguments, without a shell; may name its directory and ports, as docs/tester.md says',
  ),
  env: environment.describe('Added to the environment of the tester').exactOptional(),
  cwd: text.describe('Working directory, relative to the plan file').exactOptional(),
  ports: names('port names').describe('Names of free loopback ports').exactOptional(),
  ready: readySchema.exactOptional(),
  provides: environment.describe('Environment of the scenarios that use it').exactOptional(),
});

const matrix = z
  .record(z.string(), list(text, 'text (quote version numbers)').min(1, { error: expected('some values') }), {
    error: expected('axes with their values, such as runtime: [node@20, node@22]'),
  })
  .meta({
    description: 'Runs it for each combination of runtime, python, npm:NAME, pypi:NAME',
    minProperties: 1,
    // `checkAxes` says what is wrong with an axis.
    propertyNames: { anyOf: [{ enum: ['runtime', 'python'] }, { type: 'string', pattern: PACKAGE.source }] },
    properties: {
      runtime: { type: 'array', minItems: 1, items: { type: 'string', pattern: RUNTIME.source } },
    },
  });

const scenario = {
  name: text.describe('Unique within the plan'),
  command: command.describe('Program and arguments, without a shell'),
  group: text.describe('Heading under which the report lists it').exactOptional(),
  ...scenarioFields,
};

/** `contradictions` says so in words. */
const runsOrUntil = { required: ['runs', 'until'] };

/** What no scenario can have at once, whatever the defaults say. problems.ts says so in words. */
const impossible = [
  { valgrind: true, asan: true },
  { timeline: true, witness: false },
  { strict: true, witness: false },
].map((values) => ({
  required: Object.keys(values),
  properties: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { const: value }])),
}));

/** A plan with such scenarios. */
const planOf = <T extends z.ZodObject>(scenario: T) =>
  strict({
    $schema: text.describe("For editors: this package's plan.schema.json").exactOptional(),
    services: z
      .record(z.string(), serviceSchema, { error: expected('a mapping of services by name') })
      .describe('Servers that scenarios need, by name')
      .exactOptional(),
    defaults: strict(scenarioFields)
      .meta({ description: 'What its scenarios have in common', not: runsOrUntil })
      .exactOptional(),
    scenarios: list(scenario, 'scenarios').min(1, { error: 'expected at least one scenario' }),
  });

const writtenScenario = strict({ ...scenario, matrix: matrix.exactOptional() }).meta({
  not: { anyOf: [runsOrUntil, ...impossible] },
});
const expandedScenario = strict(scenario);
const written = planOf(writtenScenario);
const expanded = planOf(expandedScenario);

/** The JSON schema (draft 2020-12) of a plan file: `plan.schema.json` of this package. */
export function planJsonSchema(): object {
  return {
    ...z.toJSONSchema(written, { io: 'input' }),
    $id: 'https://github.com/quiesce/quiesce/blob/main/packages/quiesce/plan.schema.json',
    title: 'A quiesce plan',
  };
}

/**
 * Checks a plan.
 * @param source the plan's name in an error, such as its file name.
 * @param form `written` may have matrices, `expanded` has none any more.
 * @param more.locate finds the place of a part in the plan's file.
 * @param more.further finds what else is wrong, in the parts that are right by themselves.
 * @throws PlanError with everything that is wrong, unknown fields first.
 */
export function checkPlan(
  plan: unknown,
  source: string,
  form: 'written' | 'expanded',
  more: { readonly locate?: PlanText['locate']; readonly further?: Further } = {},
): Plan {
  const { locate = () => undefined, further = () => [] } = more;
  const given = withoutUndefined(plan);
  const parsed = (form === 'written' ? written : expanded).safeParse(given);
  const { unknown, wrong } = sorted(parsed.error);
  const problems = [
    ...unknown.map(({ path, key, message }) => ({ path, message, place: locate([...path, key], true) })),
    ...[...wrong, ...contradictions(given), ...further(partsOf(given, form)).map(withHint)]
      .map(({ path, message }) => ({ path, message, place: locate(path, false) }))
      .sort((a, b) => lineOf(a) - lineOf(b)),
  ];
  if (problems.length > 0) throw new PlanError(source, problems);
  return parsed.data as Plan;
}

type Further = (parts: PlanParts) => CombinationProblem[];

const withHint = ({ path, message, hint }: CombinationProblem): PlanProblem => ({
  path,
  message: hint === undefined ? message : `${message} (${hint})`,
});

/** The parts of a plan, each with the fields that are right. */
function partsOf(plan: unknown, form: 'written' | 'expanded'): PlanParts {
  const { services, defaults, scenarios } = isObject(plan) ? plan : {};
  const scenarioForm = form === 'written' ? writtenScenario : expandedScenario;
  const part = <T extends z.ZodRawShape>(schema: z.ZodObject<T>, spec: unknown) => {
    const given = isObject(spec) ? spec : {};
    const fields: { cwd?: unknown; env?: unknown; command?: unknown } = soundFields(schema, given);
    // Where its program is looked for is unknown then.
    const isLost = (['cwd', 'env'] as const).some((name) => name in given && fields[name] === undefined);
    if (isLost) delete fields.command;
    return { fields, whole: schema.safeParse(spec).success };
  };
  return {
    services: Object.fromEntries(
      Object.entries(isObject(services) ? services : {}).map(([name, spec]) => [
        name,
        part(serviceSchema, spec).fields,
      ]),
    ),
    defaults: part(strict(scenarioFields), defaults ?? {}),
    scenarios: listOf(scenarios).map((spec) => part(scenarioForm, spec)),
  } as PlanParts;
}

/** No plan that is right has more levels. One that is wrong may contain itself. */
const MOST_LEVELS = 8;

/** A field that is `undefined` counts as absent, as in the types. */
function withoutUndefined(value: unknown, levels = MOST_LEVELS): unknown {
  if (levels === 0) return value;
  if (Array.isArray(value)) return value.map((item) => withoutUndefined(item, levels - 1));
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, field]) =>
      field === undefined ? [] : [[name, withoutUndefined(field, levels - 1)]],
    ),
  );
}

const lineOf = ({ place }: PlanProblem): number => place?.line ?? 0;

type Path = readonly (string | number)[];

/** For a value that fits none of several forms but resembles one: what is wrong with respect to that form. */
function narrowed(issue: z.core.$ZodIssue): readonly z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const close = issue.errors.find((errors) => errors.every(({ path }) => path.length > 0));
  return close?.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })) ?? [issue];
}

/** What is wrong, unknown fields first. */
export function problemsOf(error: z.ZodError): PlanProblem[] {
  const { unknown, wrong } = sorted(error);
  return [...unknown.map(({ path, message }) => ({ path, message })), ...wrong];
}

/** Separates unknown fields, one by one, from everything else that is wrong. */
function sorted(error: z.ZodError | undefined): {
  unknown: (PlanProblem & { readonly key: string })[];
  wrong: PlanProblem[];
} {
  const issues = (error?.issues ?? []).flatMap(narrowed);
  const unknown: (PlanProblem & { readonly key: string })[] = [];
  const wrong: PlanProblem[] = [];
  const meant = new Set<string>();
  for (const issue of issues) {
    if (issue.code !== 'unrecognized_keys') continue;
    const known = issue.message.split(', ');
    for (const key of issue.keys) {
      const near = closestMatch(key, known, { maxDistance: Math.max(2, Math.floor(key.length / 3)) });
      if (near !== undefined) meant.add(JSON.stringify([...issue.path, near]));
      const help = near === undefined ? `the fields here are ${known.join(', ')}` : `did you mean "${near}"?`;
      const message = `unknown field ${JSON.stringify(key)}; ${help}`;
      unknown.push({ path: issue.path as Path, key, message });
    }
  }
  for (const { code, path, message } of issues) {
    // A field that is missing because its name is misspelt is a single error.
    const place = JSON.stringify(path);
    if (code === 'unrecognized_keys' || meant.has(place)) continue;
    // A value that breaks several rules is reported once.
    meant.add(place);
    wrong.push({ path: path as Path, message });
  }
  return { unknown, wrong };
}

/** Contradictions between fields. A field that is wrong by itself is skipped. */
function contradictions(plan: unknown): PlanProblem[] {
  const problems: PlanProblem[] = [];
  const add = (path: Path, message: string): void => void problems.push({ path, message });
  if (!isObject(plan)) return problems;
  const services = isObject(plan.services) ? plan.services : {};
  for (const [name, spec] of Object.entries(services)) {
    for (const { path, message } of problemsOfService(spec)) add(['services', name, ...path], message);
    for (const { path, message } of axesOfService(spec)) add(['services', name, ...path], message);
  }
  const known = Object.keys(services).join(', ') || 'none';
  const check = (spec: unknown, path: Path): void => {
    if (!isObject(spec)) return;
    if (spec.runs !== undefined && spec.until !== undefined) add(path, 'give runs or until, not both');
    for (const [i, service] of listOf(spec.uses).entries()) {
      if (typeof service !== 'string' || Object.hasOwn(services, service)) continue;
      add([...path, 'uses', i], `unknown service ${JSON.stringify(service)}; the plan's services: ${known}`);
    }
    if (isObject(spec.matrix))
      checkAxes(spec.matrix, axisTexts(spec, plan.defaults), [...path, 'matrix'], add);
  };
  check(plan.defaults, ['defaults']);
  const names = new Set<unknown>();
  for (const [i, spec] of listOf(plan.scenarios).entries()) {
    check(spec, ['scenarios', i]);
    const name = isObject(spec) ? spec.name : undefined;
    if (typeof name !== 'string') continue;
    if (names.has(name)) {
      add(['scenarios', i, 'name'], `${JSON.stringify(name)} is already the name of another scenario`);
    }
    names.add(name);
  }
  return problems;
}

/** Contradictions between its fields, among those that are right by themselves. */
function problemsOfService(spec: unknown): ServiceProblem[] {
  if (!isObject(spec)) return [];
  const sound = soundFields(serviceSchema, { ...spec, ready: undefined });
  // If its ports are wrong, references to ports can't be checked.
  const portsUnknown = spec.ports !== undefined && sound.ports === undefined;
  const ready = isObject(spec.ready) ? soundFields(readySchema, spec.ready) : {};
  if (portsUnknown) return serviceProblems({ ready: definedOnly({ log: ready.log }) });
  return serviceProblems({ ...sound, ready });
}

/** Placeholders of a matrix, which nothing fills in for a service. */
function axesOfService(spec: unknown): ServiceProblem[] {
  if (!isObject(spec)) return [];
  const { command = [], env = {}, provides = {} } = soundFields(serviceSchema, spec);
  return Object.entries({ command, env: Object.values(env), provides: Object.values(provides) }).flatMap(
    ([field, words]) =>
      textsOf(words).flatMap(({ text, isCode }) =>
        references(text)
          .filter((name) => !isCode && Object.hasOwn(AXES, name))
          .map((name) => ({ path: [field], message: `only a scenario with a matrix has \${${name}}` })),
      ),
  );
}

/** The fields that are right. */
function soundFields<T extends z.ZodRawShape>(
  { shape }: z.ZodObject<T>,
  given: Readonly<Record<string, unknown>>,
): Partial<z.infer<z.ZodObject<T>>> {
  const sound = Object.entries(shape).filter(
    ([name, schema]) => given[name] !== undefined && (schema as z.ZodType).safeParse(given[name]).success,
  );
  return Object.fromEntries(sound.map(([name]) => [name, given[name]])) as Partial<z.infer<z.ZodObject<T>>>;
}

/** The texts of a scenario in which its matrix fills in placeholders; none if one of these fields isn't right. */
function axisTexts(spec: Readonly<Record<string, unknown>>, defaults: unknown): string[] | undefined {
  const { command, env, matrix } = soundFields(writtenScenario, { env: {}, ...definedOnly(spec) });
  const given = { env: {}, ...definedOnly(isObject(defaults) ? defaults : {}) };
  const common = soundFields(writtenScenario, given).env;
  if (command === undefined || env === undefined || matrix === undefined || common === undefined)
    return undefined;
  return [...command, ...Object.values({ ...common, ...env })];
}

function checkAxes(
  matrix: Readonly<Record<string, unknown>>,
  texts: readonly string[] | undefined,
  path: Path,
  report: (path: Path, message: string) => void,
): void {
  let sound = texts !== undefined;
  const add = (at: Path, message: string): void => {
    sound = false;
    report(at, message);
  };
  const axes = Object.keys(matrix);
  if (axes.length === 0) add(path, 'expected axes with their values, such as runtime: [node@20, node@22]');
  for (const [i, value] of listOf(matrix.runtime).entries()) {
    if (typeof value !== 'string' || value === '') continue;
    try {
      parseRuntime(value);
    } catch (error) {
      add([...path, 'runtime', i], `${messageOf(error)}; ${(error as UsageError).hint}`);
    }
  }
  for (const axis of axes) {
    if (axis === 'runtime' || axis === 'python') continue;
    try {
      parsePackageName(axis);
    } catch (error) {
      add([...path, axis], `${messageOf(error)}; an axis is runtime, python, npm:NAME or pypi:NAME`);
    }
  }
  for (const registry of ['npm:', 'pypi:']) {
    if (axes.filter((axis) => axis.startsWith(registry)).length > 1) {
      add(path, `only one ${registry}NAME axis can be in a matrix`);
    }
  }
  if (!sound) return;
  for (const { axis, placeholder } of idleAxes(matrix as Matrix, texts ?? [])) {
    const where = `write ${placeholder} where the command or its env names it`;
    add([...path, axis], `nothing uses this axis, so all its rows would run the same; ${where}`);
  }
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
