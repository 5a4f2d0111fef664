import { isDeepStrictEqual } from 'node:util';
import type { Bearing } from './option.js';
import { flagOf, flagWords, OF_ONE_SCENARIO, type OptionName, optionNames, optionOf } from './options.js';
import { optionValue, type RecordedScenario } from './scenario.js';

/** How two scenarios differ, and how a command line requests what the first one has. */
export interface Difference {
  readonly noun: string;
  readonly hint: string;
}

const OF_THE_SAME = 'use the command or plan that it was made with';

/**
 * The first difference between two scenarios among options of these kinds; `undefined` if the scenarios are the same
 * experiment, so that their runs can be counted together.
 */
export function difference(
  first: RecordedScenario,
  second: RecordedScenario,
  bearings: readonly Bearing[],
): Difference | undefined {
  if (!isDeepStrictEqual(first.command, second.command)) return { noun: 'command', hint: OF_THE_SAME };
  return differentOption(first, second, bearings);
}

/**
 * The first difference in how two programs' runs are made and judged; `undefined` if their failure rates can be compared.
 * What the programs need may differ.
 */
export const differentJudgement = (
  first: RecordedScenario,
  second: RecordedScenario,
): Difference | undefined => differentOption(first, second, ['outcome'], ['uses', 'env', 'cwd']);

function differentOption(
  first: RecordedScenario,
  second: RecordedScenario,
  bearings: readonly Bearing[],
  except: readonly OptionName[] = [],
): Difference | undefined {
  for (const name of optionNames) {
    const { bearsOn, noun } = optionOf(name);
    if (!bearings.includes(bearsOn) || except.includes(name)) continue;
    const [one, other] = [first, second].map((scenario) => compared(name, optionValue(scenario, name)));
    if (isDeepStrictEqual(one, other)) continue;
    const words = flagWords(name, optionValue(first, name));
    const ofOne = (OF_ONE_SCENARIO as readonly OptionName[]).includes(name);
    return {
      noun,
      hint: ofOne
        ? OF_THE_SAME
        : words.length === 0
          ? `leave out ${flagOf(name)}, as before`
          : `give ${words.join(' ')}, as before`,
    };
  }
  return undefined;
}

// Two choices of perturbations are the same if a command line would request the same parts, in any order. Which parts
// `all` has depends on the machine, and the seed is a separate option.
const compared = (name: OptionName, value: unknown): unknown =>
  name === 'perturb'
    ? flagWords(name, value)
        .flatMap((word) => word.split(','))
        .sort()
    : value;
