import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const bun = (globalThis as { Bun?: { gc(force: boolean): void } }).Bun;

/** Has the host collect its garbage, as far as it lets itself be told. */
export function collectGarbage(): void {
  if (bun !== undefined) {
    bun.gc(true);
    return;
  }
  if (!('Deno' in globalThis)) {
    setFlagsFromString('--expose-gc');
    runInNewContext('gc')();
    return;
  }
  // Deno has no switch for it while it runs.
  for (let i = 0; i < 40; i++) Array.from({ length: 100_000 }, (_, n) => ({ n }));
}
