import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const bun = (globalThis as { Bun?: { gc(force: boolean): void } }).Bun;

/** Makes the host collect all its garbage. */
export function collectGarbage(): void {
  if (bun !== undefined) {
    bun.gc(true);
    return;
  }
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
}
