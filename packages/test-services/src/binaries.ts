import { existsSync } from 'node:fs';
import { provided, type RuntimeName } from './provided.js';

/**
 * The etcd server to start: `ETCD_BIN` if it is set, otherwise the one that set-up chose.
 * @throws Error when there is none. Its message says what to run.
 */
export function etcdBinary(): string {
  const binary = process.env.ETCD_BIN || provided('etcd');
  if (binary === undefined || !existsSync(binary)) {
    throw new Error('there is no etcd yet: run `npm run build` once, or set ETCD_BIN');
  }
  return binary;
}

/**
 * The CPythons of this machine, by names such as `python3.11`, oldest first. Empty before set-up has looked for them.
 */
export const pythonBinaries = (): Readonly<Record<string, string>> => provided('pythons') ?? {};

/**
 * The binary of each runtime, in the version that setup/hosts/package.json pins.
 * @throws Error when they aren't installed. Its message says what to run.
 */
export function runtimeBinaries(): Readonly<Record<RuntimeName, string>> {
  const binaries = provided('runtimes');
  if (binaries === undefined) {
    throw new Error('the runtimes are not installed yet: run `npm run runtimes -- --install` once');
  }
  return binaries;
}

/**
 * The command that runs a program on a runtime, without the program.
 * @throws the error of {@link runtimeBinaries}.
 */
export function runtimeCommand(runtime: RuntimeName): [string, ...string[]] {
  const binary = runtimeBinaries()[runtime];
  return runtime === 'deno' ? [binary, 'run', '--quiet', '--allow-all'] : [binary];
}

/**
 * The Valkey-compatible server to start: `VALKEY_BIN` if it is set, otherwise the one that set-up found; `undefined` if
 * there is none.
 */
export const valkeyBinary = (): string | undefined => process.env.VALKEY_BIN || provided('valkeyServer');

/** etcd's own tool for snapshots, which set-up built for the tests; `undefined` if there was no Go to build it. */
export const etcdutlBinary = (): string | undefined => provided('etcdutl');

/** A program of etcd's Go client, which set-up built for the tests; `undefined` if there was no Go to build it. */
export const clientv3Binary = (): string | undefined => provided('clientv3');
