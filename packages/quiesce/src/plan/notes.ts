import { tunes } from '../perturb/tuning.js';
import { references, textsOf } from '../service/placeholders.js';
import type { ResolvedPlan } from './scenario.js';

/**
 * What changes nothing in a plan, though it isn't wrong: another program may read it, or another command line may use it. A
 * sentence each.
 */
export function planNotes({ scenarios, services }: ResolvedPlan): string[] {
  const commands = [
    ...scenarios.map(({ name, command }) => ({
      ...{ what: `the command of ${JSON.stringify(name)}`, command, filled: [] as string[] },
    })),
    ...Object.entries(services).map(([name, { command }]) => ({
      ...{ what: `the command of service ${JSON.stringify(name)}`, command, filled: ['dir'] },
    })),
  ];
  const variables = commands.flatMap(({ what, command, filled }) => {
    const names = textsOf(command).flatMap(({ text, isCode }) => (isCode ? [] : references(text)));
    const unfilled = [...new Set(names)].filter(
      (name) => /^[A-Za-z_]\w*$/.test(name) && !filled.includes(name),
    );
    return unfilled.map((name) => `nothing fills in \${${name}} in ${what}, since no shell runs it`);
  });
  const tuned = scenarios.filter(({ perturb }) => !perturb?.choice.parts.has('amplify'));
  const idle = tuned.flatMap(({ name, env }) =>
    tunes(env).map((variable) => `${variable} changes nothing in ${JSON.stringify(name)}`),
  );
  const ofTester = tuned.length === scenarios.length ? tunes(process.env) : [];
  return [
    ...variables,
    ...[...idle, ...ofTester.map((variable) => `${variable} changes nothing`)].map(
      (text) => `${text}: the exit amplifier is not used (--perturb amplify)`,
    ),
  ];
}
