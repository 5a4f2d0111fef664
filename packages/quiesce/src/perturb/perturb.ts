import { createHash, randomInt } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { UsageError } from '../errors.js';
import { wholeUpTo } from '../number-text.js';
import { isMusl } from '../process/c-library.js';
import { findExecutable } from '../process/executable.js';

/** The parts of the perturbation layer, in the order in which they are listed. */
export const PERTURBATIONS = ['affinity', 'load', 'nice', 'allocator', 'tokio', 'amplify'] as const;

/** One part of the perturbation layer; docs/measurements/sensitivity.md says what each does. */
export type PerturbationName = (typeof PERTURBATIONS)[number];

/** How one run is perturbed: each part that is on, with its value. */
export type Perturbation = { readonly [name in PerturbationName]?: number };

/** What a scenario's runs are perturbed by: the parts, each with a fixed value or with a value drawn for each run. */
export interface PerturbChoice {
  /** `null`: drawn for each run. */
  readonly parts: ReadonlyMap<PerturbationName, number | null>;
  /** Whether each run has only some of the parts, drawn as well. */
  readonly some: boolean;
}

/** File of the exit amplifier, once it is built; docs/measurements/sensitivity.md. */
export const AMPLIFIER_FILE = fileURLToPath(
  new URL(`../../../native/exit-amplifier.${process.platform}-${process.arch}.so`, import.meta.url),
);

/** Seeds are unsigned 32-bit integers. */
export const SEED_LIMIT = 2 ** 32;

/** A random seed, if none was given. */
export const randomSeed = (): number => randomInt(SEED_LIMIT);

interface Part {
  readonly name: PerturbationName;
  /** Its range of values, as text. */
  readonly values: string;
  readonly least: number;
  readonly most: number;
  /** Turns a random 32-bit integer into a value. */
  draw(random: number): number;
  /** Why it isn't available here, and what to do; `undefined` if it is available. */
  problem(): string | undefined;
}

const cpus = allowedCpus();

// Limits that a correct program can bear: its share of a CPU stays a quarter or more, as with one busy process for each
// CPU and nice 5.
const parts: readonly Part[] = [
  {
    name: 'affinity',
    values: 'the number of a CPU',
    least: 0,
    most: 8191,
    draw: (random) => cpus[random % cpus.length] ?? 0,
    problem: () => needsProgram('taskset', 'it comes with util-linux, on Linux'),
  },
  {
    name: 'load',
    values: 'a number of busy processes',
    least: 1,
    most: 64,
    draw: (random) => 1 + (random % cpus.length),
    problem: () => undefined,
  },
  {
    name: 'nice',
    values: 'a niceness',
    least: 1,
    most: 19,
    draw: (random) => 1 + (random % 5),
    problem: () => needsProgram('nice', 'it comes with coreutils'),
  },
  {
    name: 'allocator',
    values: 'a byte',
    least: 1,
    most: 255,
    draw: (random) => 1 + (random % 255),
    problem: () => undefined,
  },
  {
    name: 'tokio',
    values: 'a number of worker threads',
    least: 1,
    most: 256,
    draw: (random) => 1 + (random % (2 * cpus.length)),
    problem: () => undefined,
  },
  {
    name: 'amplify',
    values: 'a seed',
    least: 0,
    most: SEED_LIMIT - 1,
    draw: (random) => random,
    problem: amplifierProblem,
  },
];

const PART = `(?:${PERTURBATIONS.join('|')})(?:=[0-9]+)?`;

/** The pattern of what `parsePerturb` reads, for schemas. An editor shows it, so it is a plain one. */
export const PERTURBATION = new RegExp(`^\\s*(?:none|all|${PART}(?:\\s*,\\s*${PART})*)\\s*$`);

/** Of those, the ones whose values are in range. */
export const USABLE_PERTURBATION = new RegExp(
  `^(?:${parts.map(({ name, least, most }) => `${name}=${wholeUpTo(least, most)}`).join('|')}|[a-z,\\s])*$`,
);

/** The pattern of a list that has a part twice. */
export const TWICE = new RegExp(PERTURBATIONS.map((name) => `${name}[\\s\\S]*${name}`).join('|'));

/**
 * Reads a list such as `amplify,nice` (values drawn for each run), `amplify=7,nice=3` (these values in each run),
 * `all` (some of all parts that are available here, drawn for each run) or `none`.
 * @returns `null` for none.
 * @throws UsageError when a part or its value is unknown, or isn't available here, or a part is there twice.
 */
export function parsePerturb(text: string): PerturbChoice | null {
  const words = text.split(',').map((word) => word.trim());
  if (words.length === 1 && words[0] === 'none') return null;
  if (words.length === 1 && words[0] === 'all') {
    const available = parts.filter((part) => part.problem() === undefined);
    return { parts: new Map(available.map(({ name }) => [name, null])), some: true };
  }
  const chosen = new Map<PerturbationName, number | null>();
  for (const word of words) {
    const [, name = '', value] = /^([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    const part = parts.find((known) => known.name === name);
    if (name === 'none' || name === 'all') {
      throw new UsageError(`the perturbation ${name} can't be combined with others`, 'give it alone');
    }
    if (part === undefined) {
      throw new UsageError(
        `unknown perturbation ${JSON.stringify(name)}`,
        `give all, none, or some of ${PERTURBATIONS.join(',')}`,
      );
    }
    if (chosen.has(part.name)) {
      throw new UsageError(`the perturbation ${name} is there twice`, 'give it once, with one value or none');
    }
    const problem = part.problem();
    if (problem !== undefined) throw new UsageError(`the perturbation ${name} isn't available: ${problem}`);
    chosen.set(part.name, value === undefined ? null : parseValue(part, value));
  }
  return { parts: chosen, some: false };
}

/** Reads what `perturbChoiceText` wrote, perhaps on a machine with other parts. */
export function savedPerturbChoice(text: string): PerturbChoice {
  const names = new Set<string>(PERTURBATIONS);
  const words = text === 'all' ? PERTURBATIONS : text.split(',');
  const saved = words.flatMap((word): [PerturbationName, number | null][] => {
    const [name = '', value] = word.split('=', 2);
    return names.has(name) ? [[name as PerturbationName, value === undefined ? null : Number(value)]] : [];
  });
  return { parts: new Map(saved), some: text === 'all' };
}

/** The parts that `all` leaves out here, each with the reason. */
export function unavailablePerturbations(): { readonly name: PerturbationName; readonly reason: string }[] {
  return parts.flatMap((part) => {
    const reason = part.problem();
    return reason === undefined ? [] : [{ name: part.name, reason }];
  });
}

function parseValue({ name, values, least, most }: Part, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new UsageError(
      `wrong value ${JSON.stringify(text)} for the perturbation ${name}`,
      `give ${values}, from ${least} to ${most}`,
    );
  }
  if (name === 'affinity' && !cpus.includes(value)) {
    throw new UsageError(`this process may not run on CPU ${value}`, `it may run on ${cpus.join(', ')}`);
  }
  return value;
}

/** The perturbation of one run. The same choice, seed and run number give the same perturbation in every scenario. */
export function drawPerturbation(choice: PerturbChoice, seed: number, run: number): Perturbation {
  const drawn: { [name in PerturbationName]?: number } = {};
  for (const [name, fixed] of choice.parts) {
    // Each part draws independently, so that adding or removing a part doesn't change the others.
    const hash = createHash('sha256')
      .update(JSON.stringify([seed, run, name]))
      .digest();
    // With `all`, a run is amplified three times in four, and has each other part half of the time.
    if (choice.some && hash.readUInt8(31) % 4 >= (name === 'amplify' ? 3 : 2)) continue;
    drawn[name] = fixed ?? (parts.find((part) => part.name === name) as Part).draw(hash.readUInt32LE(0));
  }
  return drawn;
}

/** The text that makes `--perturb` repeat a run: `nice=3,amplify=7`, or `none`. */
export function perturbationText(perturbation: Perturbation): string {
  const on = PERTURBATIONS.flatMap((name) => {
    const value = perturbation[name];
    return value === undefined ? [] : [`${name}=${value}`];
  });
  return on.length === 0 ? 'none' : on.join(',');
}

/** The text that `--perturb` was given, normalized. */
export function perturbChoiceText(choice: PerturbChoice): string {
  if (choice.some) return 'all';
  return [...choice.parts].map(([name, value]) => (value === null ? name : `${name}=${value}`)).join(',');
}

function amplifierProblem(): string | undefined {
  if (process.platform !== 'linux')
    return `the exit amplifier is a Linux preload library, and this is ${process.platform}`;
  if (isMusl()) return 'the exit amplifier needs glibc, and this system has musl';
  if (existsSync(AMPLIFIER_FILE)) return undefined;
  return `the exit amplifier was not built (${AMPLIFIER_FILE} is missing): install Rust from https://rustup.rs, then npm run build`;
}

function needsProgram(name: string, hint: string): string | undefined {
  return findExecutable(name, process.cwd()).path === undefined
    ? `${name} is not in PATH (${hint})`
    : undefined;
}

/** CPUs that this process may use. */
function allowedCpus(): number[] {
  try {
    const list = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
    return list.split(',').flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
  } catch {
    return Array.from({ length: availableParallelism() }, (_, i) => i);
  }
}
