// testing/ starts real etcds for the tests of programs that use this client, or any other client. It is
// `@quiesce/etcd/testing`, and knows nothing about the client.

import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { EtcdStartError } from './start-error.js';

/**
 * The etcd to start: the given one, otherwise `ETCD_BIN`, otherwise `etcd` on the `PATH`.
 *
 * @throws EtcdStartError where there is none. Its message says how to get one.
 */
export function findEtcd(given?: string): string {
  const named = given ?? (process.env.ETCD_BIN || undefined);
  if (named !== undefined) {
    if (isProgram(named)) return resolve(named);
    const where = given === undefined ? 'ETCD_BIN names' : 'the option binary names';
    throw new EtcdStartError(`${where} ${JSON.stringify(named)}, which is not an executable file`);
  }
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    const file = join(dir || '.', process.platform === 'win32' ? 'etcd.exe' : 'etcd');
    if (isProgram(file)) return resolve(file);
  }
  throw new EtcdStartError(
    'no etcd was found: install one of 3.5 or newer (https://github.com/etcd-io/etcd/releases, or "brew install etcd"), ' +
      'and put it on the PATH, or name its file in ETCD_BIN or the option binary',
  );
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
