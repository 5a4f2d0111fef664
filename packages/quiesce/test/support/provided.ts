import { existsSync, readFileSync } from 'node:fs';

/** What set-up has provided for tests, by name: the manifest that provided() of @quiesce/test-services reads. */
export interface Provided {
  readonly chromium?: string;
  readonly controls?: Readonly<Record<string, string>>;
}

const MANIFEST = new URL('../../../../../.cache/provided.json', import.meta.url);

/** @throws Error if set-up was asked for less: setup/checks/needs.mjs says which file needs what. */
export function provided<Name extends keyof Provided>(name: Name): Provided[Name] | undefined {
  if ((process.env.SETUP_NOT_PROVIDED ?? '').split(',').includes(name)) {
    throw new Error(`set-up was not asked for '${name}': add the need to setup/checks/needs.mjs`);
  }
  return existsSync(MANIFEST) ? (JSON.parse(readFileSync(MANIFEST, 'utf8')) as Provided)[name] : undefined;
}
