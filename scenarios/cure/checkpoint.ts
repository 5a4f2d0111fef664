// What has been run so far, so that an interrupted run can continue.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { jsonReport, type PlanResult, readReport, type SavedReport } from 'quiesce';
import { ADDONS } from './addons.js';

const EVERY_MS = 20_000;

/** The tester's report of an unfinished run, with a hash of what it ran. */
export class Checkpoint {
  readonly file: string;
  readonly #identity = identity();
  #next = performance.now() + EVERY_MS;

  constructor(file: string) {
    this.file = file;
  }

  get exists(): boolean {
    return existsSync(this.file);
  }

  /** `undefined` if there is none, or if it is useless because it has other addons, programs or another seed. */
  async read(seedWanted: number | undefined): Promise<{ seed: number; report: SavedReport } | undefined> {
    if (!this.exists) return undefined;
    const { identity, seed } = JSON.parse(readFileSync(this.file, 'utf8')).checkpoint ?? {};
    if (identity !== this.#identity || (seedWanted !== undefined && seedWanted !== seed)) return undefined;
    return { seed, report: await readReport(this.file) };
  }

  /** Writes it now and then, or immediately with `now`; whole or not at all. */
  write(seed: number, soFar: () => PlanResult, now = false): void {
    if (!now && performance.now() < this.#next) return;
    const draft = `${this.file}.${process.pid}.tmp`;
    const checkpoint = { identity: this.#identity, seed };
    writeFileSync(draft, JSON.stringify({ ...(jsonReport(soFar()) as object), checkpoint }));
    renameSync(draft, this.file);
    this.#next = performance.now() + EVERY_MS;
  }

  remove(): void {
    rmSync(this.file, { force: true });
  }
}

/** A hash of the addons and the programs as they are now. */
function identity(): string {
  const hash = createHash('sha256');
  const programs = [
    fileURLToPath(new URL('../typescript', import.meta.url)),
    fileURLToPath(new URL('../../python', import.meta.url)),
  ].flatMap((dir) =>
    readdirSync(dir)
      .filter((name) => /^addon.*\.(?:py|js)$/.test(name))
      .map((name) => join(dir, name)),
  );
  for (const file of [...readdirSync(ADDONS).map((name) => join(ADDONS, name)), ...programs].sort()) {
    hash.update(file).update(readFileSync(file));
  }
  return hash.digest('hex');
}
