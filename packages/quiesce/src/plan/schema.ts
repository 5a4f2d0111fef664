import { z } from 'zod';
import { UsageError } from '../errors.js';
import { type ServiceSpec, serviceProblem } from '../service/service.js';
import { command, environment, expected, list, positiveInteger, strict, text } from './fields.js';
import { options } from './options.js';
import type { Plan } from './plan.js';

type OptionFields = { [K in keyof typeof options]: z.ZodExactOptional<(typeof options)[K]['schema']> };

const scenarioFields = Object.fromEntries(
  Object.entries(options).map(([name, { schema }]) => [name, (schema as z.ZodType).exactOptional()]),
) as OptionFields;

const serviceSchema = strict({
  command,
  env: environment.exactOptional(),
  cwd: text.exactOptional(),
  ports: list(text, 'port names').exactOptional(),
  ready: strict({
    port: text.exactOptional(),
    log: text.exactOptional(),
    timeoutMs: positiveInteger.exactOptional(),
  }).exactOptional(),
  provides: environment.exactOptional(),
}).superRefine((spec, context) => {
  const problem = serviceProblem(spec as ServiceSpec);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});

const planSchema = strict({
  services: z
    .record(text, serviceSchema, { error: expected('a mapping of services by name') })
    .exactOptional(),
  defaults: strict(scenarioFields).exactOptional(),
  scenarios: list(
    strict({ name: text, command, group: text.exactOptional(), ...scenarioFields }),
    'scenarios',
  ).min(1, {
    error: 'expected at least one scenario',
  }),
}).superRefine(({ services = {}, defaults, scenarios }, context) => {
  for (const [i, spec] of [defaults ?? {}, ...scenarios].entries()) {
    if (spec.runs === undefined || spec.until === undefined) continue;
    const path = i === 0 ? ['defaults'] : ['scenarios', i - 1];
    context.addIssue({ code: 'custom', path, message: 'give runs or until, not both' });
  }
  const names = new Set<string>();
  const users = [{ path: ['defaults'] as PropertyKey[], uses: defaults?.uses ?? [] }];
  for (const [i, { name, uses = [] }] of scenarios.entries()) {
    if (names.has(name)) {
      const message = `${JSON.stringify(name)} is already the name of another scenario`;
      context.addIssue({ code: 'custom', path: ['scenarios', i, 'name'], message });
    }
    names.add(name);
    users.push({ path: ['scenarios', i], uses });
  }
  const known = Object.keys(services).join(', ') || 'none';
  for (const { path, uses } of users) {
    for (const [i, service] of uses.entries()) {
      if (Object.hasOwn(services, service)) continue;
      const message = `unknown service ${JSON.stringify(service)}; the plan's services: ${known}`;
      context.addIssue({ code: 'custom', path: [...path, 'uses', i], message });
    }
  }
});

/**
 * Checks a plan whose matrices were expanded.
 * @param source how to call the plan in an error, such as its file name.
 * @throws UsageError that names the first wrong field and what was expected.
 */
export function checkPlan(plan: unknown, source: string): Plan {
  const parsed = planSchema.safeParse(plan);
  if (parsed.success) return parsed.data as Plan;
  const [first, ...more] = parsed.error.issues;
  const others = more.length === 0 ? '' : ` (and ${more.length} more)`;
  throw new UsageError(`${source}: ${pathText(first?.path ?? [])}${first?.message}${others}`);
}

function pathText(path: readonly PropertyKey[]): string {
  if (path.length === 0) return '';
  const text = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return `${text.replace(/^\./, '')}: `;
}
