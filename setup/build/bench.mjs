import { inCache, inRoot } from '../lib/paths.mjs';
import { notice } from '../lib/step.mjs';
import { buildGoProgram, hasGo } from '../provide/go.mjs';

/** Builds the benchmark's Go programs; bench/src/clients.ts looks for them there. */
export async function buildGoBenchmarks() {
  if (!hasGo()) {
    notice("Go is missing: clientv3 and etcd's own benchmark tool are left out of the benchmark");
    return;
  }
  const hint = 'is Go new enough?';
  await buildGoProgram(
    "build the benchmark of Go's clientv3",
    inRoot('bench', 'go'),
    inCache('bench', 'clientv3'),
    hint,
  );
  await buildGoProgram(
    "build etcd's own benchmark tool",
    inRoot('bench', 'etcd-benchmark'),
    inCache('bench', 'etcd-benchmark'),
    hint,
  );
}
