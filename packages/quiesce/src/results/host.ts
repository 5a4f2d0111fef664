import { arch, availableParallelism, platform } from 'node:os';

/** A machine that made runs, as far as a report describes it. */
export interface Host {
  readonly platform: string;
  readonly arch: string;
  /** Cores that this process may use. */
  readonly cpus: number;
  /** Version of the Node that the tester ran on. */
  readonly node: string;
}

/** This machine. */
export const thisHost = (): Host => ({
  platform: platform(),
  arch: arch(),
  cpus: availableParallelism(),
  node: process.version,
});
