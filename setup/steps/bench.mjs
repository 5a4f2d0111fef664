import { inCache, inRoot } from '../paths.mjs';
import { notice } from '../step.mjs';
import { buildGoProgram, hasGo } from './go.mjs';

/** Builds the benchmark's Go program; bench/src/clients.ts looks for it there. */
export async function buildGoBenchmark() {
  if (!hasGo()) {
    notice('Go is missing: clientv3 is left out of the benchmark');
    return;
  }
  const output = inCache('bench', 'clientv3');
  await buildGoProgram(
    "build the benchmark of Go's clientv3",
    inRoot('bench', 'go'),
    output,
    'is Go new enough?',
  );
}
