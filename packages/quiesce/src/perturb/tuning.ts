const MILLISECONDS = { pattern: /^\d{1,9}$/, wanted: 'a whole number of milliseconds, without a unit' };

/** The variables that tune the exit amplifier. docs/options.md says what each does. */
const TUNES: Readonly<Record<string, { readonly pattern: RegExp; readonly wanted: string }>> = {
  QUIESCE_AMPLIFY_HOLD_MS: MILLISECONDS,
  QUIESCE_AMPLIFY_HOLD_BUDGET_MS: MILLISECONDS,
  QUIESCE_AMPLIFY_LINGER_MS: MILLISECONDS,
  QUIESCE_AMPLIFY_LINGER_BUDGET_MS: MILLISECONDS,
  QUIESCE_AMPLIFY_CHILDREN: { pattern: /^[01]$/, wanted: '0 or 1' },
};

/** The tester sets these itself. A tester in a run of another one has that one's. */
const OWN = ['QUIESCE_AMPLIFY_SEED', 'QUIESCE_AMPLIFY_REPORT'];

/** Whether a variable is meant to tune it: with its prefix, or almost. */
const isForAmplifier = (name: string): boolean => /^QUIESCE_?AMPLIF/i.test(name) && !OWN.includes(name);

/** The variables of an environment that tune the amplifier. */
export const tunes = (env: Readonly<Record<string, string | undefined>>): string[] =>
  Object.keys(env).filter((name) => isForAmplifier(name) && env[name] !== undefined);

/** What is wrong with the variables that tune the amplifier, which would take its own values instead. */
export function tuningProblems(
  env: Readonly<Record<string, string | undefined>>,
): { readonly name: string; readonly problem: string }[] {
  return Object.entries(env).flatMap(([name, value]) => {
    if (!isForAmplifier(name) || value === undefined) return [];
    if (!Object.hasOwn(TUNES, name)) {
      return {
        name,
        problem: `${name} is not a variable of the amplifier; there are ${Object.keys(TUNES).join(', ')}`,
      };
    }
    const { pattern, wanted } = TUNES[name] ?? MILLISECONDS;
    return pattern.test(value)
      ? []
      : { name, problem: `${name} is ${JSON.stringify(value)}: give ${wanted}` };
  });
}
