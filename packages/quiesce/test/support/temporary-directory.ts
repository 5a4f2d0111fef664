import { after } from 'node:test';
import { makeTemporaryDirectory } from '../../src/files/temporary-directory.js';

/** A directory for the files of a test, or of a whole test file where none runs yet: it is removed afterwards. */
export function temporaryDirectory(name: string): string {
  const directory = makeTemporaryDirectory(`quiesce-test-${name}`);
  after(() => directory.remove());
  return directory.path;
}
