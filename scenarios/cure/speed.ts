// What the cure costs: awaitables per second and CPU time of each, with our addons and with those that they replace.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { median } from '@quiesce/test-services';
import { ADDONS, type Addon, type AddonHost, addonHosts, addons, isBuilt, programCommand } from './addons.js';

const execute = promisify(execFile);
const TIMEOUT_MS = 60_000;

/** How many are awaited at once. */
export const atOnce = [1, 1000] as const;

/** Results for one addon on one host. Medians of the rounds. */
export interface Speed {
  readonly addon: string;
  readonly control: boolean;
  readonly host: string;
  readonly atOnce: number;
  readonly perSecond: number;
  /** Wall-clock time of each, in microseconds. With more at once, the time divided by their number. */
  readonly wallUs: number;
  /** User and system time of the process for each, in microseconds. */
  readonly cpuUs: number;
}

/** The hosts on which speed is measured, as it depends little on their versions. */
const measuredOn = (all: readonly AddonHost[]): AddonHost[] => {
  const pythons = all.filter(({ language }) => language === 'Python');
  const python = pythons.find(({ name }) => name === 'python3.11') ?? pythons.at(-1);
  const wanted = ['node20', 'node26', 'bun', 'deno'];
  return [...(python === undefined ? [] : [python]), ...all.filter(({ name }) => wanted.includes(name))];
};

/** The uses of an addon make no difference here. */
const measured: readonly Addon[] = addons.filter(({ words: [, method] }) => method !== 'nextCloned');

interface Measured {
  readonly count: number;
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
}

/**
 * Measures alternately, so that changes on the machine affect all alike.
 * @param seconds for each measurement
 */
export async function measureSpeed(
  options: { rounds: number; seconds: number; on?: readonly string[] | undefined; signal?: AbortSignal },
  say: (line: string) => void,
): Promise<Speed[]> {
  const { rounds, seconds, on, signal } = options;
  const hosts = measuredOn(addonHosts().filter(({ name }) => on?.includes(name) ?? true));
  const speeds: Speed[] = [];
  for (const host of hosts) {
    const mine = measured.filter((addon) => addon.language === host.language && isBuilt(addon));
    for (const many of atOnce) {
      const samples = mine.map((addon) => ({ addon, all: [] as Measured[] }));
      for (let round = 0; round < rounds; round++) {
        for (const { addon, all } of samples) all.push(await measureOnce(addon, host, many, seconds, signal));
        samples.reverse();
      }
      for (const { addon } of [...samples].sort((a, b) => mine.indexOf(a.addon) - mine.indexOf(b.addon))) {
        const all = samples.find((sample) => sample.addon === addon)?.all ?? [];
        const wallUs = median(all.map(({ wallSeconds, count }) => (wallSeconds / count) * 1e6));
        const cpuUs = median(all.map(({ cpuSeconds, count }) => (cpuSeconds / count) * 1e6));
        const { name, control } = addon;
        const speed = { addon: name, control, host: host.name, atOnce: many, perSecond: 1e6 / wallUs };
        speeds.push({ ...speed, wallUs, cpuUs });
        say(
          `${host.name}, ${many} at once, ${name}: ${wallUs.toFixed(1)} µs each, ${cpuUs.toFixed(1)} µs CPU`,
        );
      }
    }
  }
  return speeds;
}

async function measureOnce(
  addon: Addon,
  host: AddonHost,
  many: number,
  seconds: number,
  signal: AbortSignal | undefined,
): Promise<Measured> {
  const program = host.language === 'Python' ? 'addon_speed' : 'addon-speed';
  const words = [addon.words[0] ?? '', String(many), String(seconds)];
  const [file = '', ...args] = programCommand(host, program, words);
  const env = { ...process.env, ADDONS, ADDON_SERVER_PORT: '0', DENO_NO_UPDATE_CHECK: '1' };
  const { stdout } = await execute(file, args, {
    ...{ env, timeout: TIMEOUT_MS + seconds * 2000 },
    ...{ killSignal: 'SIGKILL' as const, ...(signal && { signal }) },
  }).catch((error: { stdout?: string } & Error) => {
    // The control may crash at its exit, after it has measured.
    if (!signal?.aborted && error.stdout?.trimEnd().endsWith('}')) return { stdout: error.stdout };
    throw error;
  });
  return JSON.parse(stdout) as Measured;
}

/** Where ours is slower than the control, in wall-clock time or CPU time, by more than `tolerance` of the control's. */
export function slower(speeds: readonly Speed[], tolerance = 0.05): string[] {
  return speeds
    .filter(({ control }) => !control)
    .flatMap((ours) => {
      const control = speeds.find(
        (other) => other.control && other.host === ours.host && other.atOnce === ours.atOnce,
      );
      if (control === undefined) return [];
      return (['wallUs', 'cpuUs'] as const)
        .filter((what) => ours[what] > control[what] * (1 + tolerance))
        .map((what) => `${ours.host}, ${ours.atOnce} at once: ${what === 'cpuUs' ? 'CPU' : 'time'}`);
    });
}
