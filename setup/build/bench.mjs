// @ts-check
import { inCache, inRoot } from '../lib/paths.mjs';
import { recordProvided } from '../lib/provided.mjs';
import { notice } from '../lib/step.mjs';
import { buildGoProgram, hasGo } from '../provide/go.mjs';

/** Builds the benchmark's Go programs. */
export async function buildGoBenchmarks() {
  if (!hasGo()) {
    notice("Go is missing: clientv3 and etcd's own benchmark tool are left out of the benchmark");
    return;
  }
  const hint = 'is Go new enough?';
  const clientv3 = inCache('bench', 'clientv3');
  await buildGoProgram("build the benchmark of Go's clientv3", inRoot('bench', 'go'), clientv3, hint);
  recordProvided('benchClientv3', clientv3);
  const etcd = inCache('bench', 'etcd-benchmark');
  await buildGoProgram("build etcd's own benchmark tool", inRoot('bench', 'etcd-benchmark'), etcd, hint);
  recordProvided('benchEtcd', etcd);
}
