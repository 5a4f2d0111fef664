// @ts-check
import { readdirSync } from 'node:fs';
import { inRoot } from '../lib/paths.mjs';

/** The client's test files, by their names without `.test.ts`. */
export function testFilesOfClient() {
  return readdirSync(inRoot('packages', 'etcd', 'test'))
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => file.slice(0, -'.test.ts'.length));
}
