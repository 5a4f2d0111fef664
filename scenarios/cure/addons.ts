// The addons under test, and the hosts that they are loaded into.
import { execFileSync } from 'node:child_process';
import { dirname } from 'node:path';
import { provided, pythonBinaries, runtimeCommand, runtimeNames } from '@quiesce/test-services';
import { type AddonEnding, nodeAddonEndings, pythonAddonEndings } from '../endings.js';
import { pythonProgram, typescriptProgram } from '../in-root.js';

const files = provided('addons') ?? {};

/** The loopback server that all of them talk to; empty if they aren't built. */
export const SERVER = files['addon-server'] ?? '';

/** The folder in which programs look for them. */
export const ADDONS = dirname(SERVER);

export type Language = 'Python' | 'JavaScript';

/** One of the addons in examples/addons, in one of its uses. */
export interface Addon {
  readonly name: string;
  readonly language: Language;
  /** The first arguments of its programs. */
  readonly words: readonly string[];
  /** Whether it is an addon as authors write it today. The others are its cure. */
  readonly control: boolean;
}

const addon = (language: Language, control: boolean, name: string, ...words: string[]): Addon => ({
  ...{ language, control, name, words },
});

/** All addons, controls first. `cloned`: none of its futures borrows a JavaScript object. */
export const addons: readonly Addon[] = [
  addon('Python', true, 'pyo3-async-runtimes', 'addon_pyo3_usual'),
  addon('Python', false, 'owned-runtime-pyo3', 'addon_pyo3_owned'),
  addon('JavaScript', true, "napi's own", 'addon_napi_usual', 'next'),
  addon('JavaScript', true, "napi's own, cloned", 'addon_napi_usual', 'nextCloned'),
  addon('JavaScript', false, 'owned-runtime-napi', 'addon_napi_owned', 'next'),
  addon('JavaScript', false, 'owned-runtime-napi, cloned', 'addon_napi_owned', 'nextCloned'),
];

/** Whether set-up has built it. */
export const isBuilt = ({ words: [module = ''] }: Addon): boolean =>
  files[module.replaceAll('_', '-')] !== undefined;

/** An interpreter or runtime. */
export interface AddonHost {
  readonly name: string;
  readonly language: Language;
  /** What runs a program. */
  readonly command: readonly string[];
}

/** All hosts of this machine: its Pythons, and the runtimes that set-up installs. */
export function addonHosts(): AddonHost[] {
  return [
    ...Object.entries(pythonBinaries()).map(
      ([name, binary]): AddonHost => ({ name, language: 'Python', command: [binary] }),
    ),
    ...runtimeNames.map(
      (name): AddonHost => ({ name, language: 'JavaScript', command: runtimeCommand(name) }),
    ),
  ];
}

/** The version that a host reports. */
export function versionOf({ command: [binary = ''] }: AddonHost): string {
  const said = execFileSync(binary, ['--version'], { encoding: 'utf8' });
  return /\d+\.\d+\.\d+\S*/.exec(said)?.[0] ?? said.trim();
}

/** The endings of a language. */
export const endingsOf = (language: Language): Readonly<Record<string, AddonEnding>> =>
  language === 'Python' ? pythonAddonEndings : nodeAddonEndings;

/** The command that runs a program in scenarios/python or scenarios/typescript. */
export function programCommand(host: AddonHost, program: string, words: readonly string[]): string[] {
  const file = host.language === 'Python' ? pythonProgram(program) : typescriptProgram(program);
  return [...host.command, file, ...words];
}
