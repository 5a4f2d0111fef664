import { existsSync, readFileSync } from 'node:fs';

/** The JavaScript hosts that tests run on. */
export const runtimeNames = ['node20', 'node22', 'node24', 'node26', 'bun', 'deno'] as const;

/** One of them. */
export type RuntimeName = (typeof runtimeNames)[number];

/** A Python environment that set-up made, with one package under test. */
export interface PythonEnvironment {
  /** Its interpreter. */
  readonly python: string;
  /** The version of the package. */
  readonly version: string;
}

/**
 * What set-up has provided or built on this machine, as recorded in `.cache/provided.json`. These are paths. A path is
 * missing where the thing isn't available here, or wasn't requested yet.
 */
export interface Provided {
  /** The etcd server. */
  readonly etcd?: string;
  /** etcd's own tool for snapshots. */
  readonly etcdutl?: string;
  /** A program of etcd's Go client. */
  readonly clientv3?: string;
  /** A Valkey-compatible server. */
  readonly valkeyServer?: string;
  /** valkey-glide for Node: the module that programs import. */
  readonly valkeyGlide?: string;
  /** A browser for the tests of HTML pages. */
  readonly chromium?: string;
  /** The CPythons of this machine, by names such as `python3.11`, oldest first. */
  readonly pythons?: Readonly<Record<string, string>>;
  /** The runtimes, in the versions that setup/hosts/package.json pins. */
  readonly runtimes?: Readonly<Record<RuntimeName, string>>;
  /** etcd-client-py with its crash at exit, and with its authors' cure. */
  readonly etcdClientPyBad?: PythonEnvironment;
  readonly etcdClientPy?: PythonEnvironment;
  /** valkey-glide for Python, with etcd-client-py beside it. */
  readonly valkeyGlidePy?: PythonEnvironment;
  /** examples/etcd-python: its module. */
  readonly etcdPython?: string;
  /** What is built from examples/addons and from tests of the bridges: files, by the crate's name. */
  readonly addons?: Readonly<Record<string, string>>;
  /** The deliberately bad addons of controls/: files, by the crate's name. */
  readonly controls?: Readonly<Record<string, string>>;
  /** The Go programs of the benchmark: those of clientv3, and etcd's own. */
  readonly benchClientv3?: string;
  readonly benchEtcd?: string;
  /** `@quiesce/etcd` as it is published, unpacked: the module that programs import. */
  readonly benchPackedClient?: string;
}

const MANIFEST = new URL('../../../../.cache/provided.json', import.meta.url);

/**
 * What set-up has provided under this name; `undefined` where there is nothing.
 * @throws Error when `npm test -- --only node FILE` runs a file for which this was not provided, because
 * setup/checks/needs.mjs doesn't list it for the file.
 */
export function provided<Name extends keyof Provided>(name: Name): Provided[Name] | undefined {
  const { SETUP_NOT_PROVIDED = '' } = process.env;
  if (SETUP_NOT_PROVIDED.split(',').includes(name)) {
    throw new Error(
      `set-up was not asked for '${name}', which this file uses: add the need to setup/checks/needs.mjs`,
    );
  }
  if (!existsSync(MANIFEST)) return undefined;
  const found = (JSON.parse(readFileSync(MANIFEST, 'utf8')) as Provided)[name];
  return isThere(found) ? found : undefined;
}

/** Somebody may have removed what was recorded. */
function isThere(found: Provided[keyof Provided]): boolean {
  if (typeof found === 'string') return existsSync(found);
  const paths = Object.entries(found ?? {}).flatMap(([key, path]) => (key === 'version' ? [] : [path]));
  return found !== undefined && paths.every((path) => existsSync(path));
}
