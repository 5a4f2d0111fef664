import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';
import { flagWords, optionNames, optionOf } from './options.js';
import { optionValue, type RecordedScenario } from './scenario.js';

const reported = optionNames.flatMap((name) => {
  const { report, field = name } = optionOf(name);
  return report === undefined ? [] : [{ ...report, field, name: report.name ?? field }];
});

/** The options' fields of a scenario in a report. */
export const reportedOptions: Readonly<Record<string, z.ZodType>> = Object.fromEntries(
  reported.map(({ name, schema }) => [name, schema]),
);

/** The same, filled in. */
export function writeOptions(scenario: RecordedScenario): Record<string, unknown> {
  const values = scenario as unknown as Record<string, unknown>;
  return Object.fromEntries(
    reported.map(({ name, field, write = (value) => value }) => [name, write(values[field])]),
  );
}

/** Reads what `writeOptions` wrote, after `reportedOptions` has checked it. */
export function readOptions(
  written: Readonly<Record<string, unknown>>,
): Omit<RecordedScenario, 'name' | 'group' | 'command' | 'shard' | 'confidence'> {
  return Object.fromEntries(
    reported.map(({ name, field, read = (value) => value }) => [field, read(written[name] as never)]),
  ) as never;
}

/** The flags that make a command's runs like this scenario's, except for its perturbation. */
export function commandFlags(scenario: RecordedScenario): string[] {
  return optionNames.flatMap((name) => {
    const { bearsOn, default: usual } = optionOf(name);
    if (name === 'perturb' || (bearsOn !== 'outcome' && bearsOn !== 'evidence')) return [];
    const value = optionValue(scenario, name);
    return isDeepStrictEqual(value, usual) ? [] : flagWords(name, value);
  });
}
