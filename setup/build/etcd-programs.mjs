import { inCache, inRoot } from '../lib/paths.mjs';
import { notice } from '../lib/step.mjs';
import { buildGoProgram, hasGo } from '../provide/go.mjs';

/**
 * Builds etcd's own tool for snapshots, and a program of its Go client; etcdutlBinary() and clientv3Binary() of
 * @quiesce/test-services look for them there.
 */
export async function buildEtcdPrograms() {
  if (!hasGo()) {
    notice("Go is missing: the tests don't restore snapshots with etcdutl, nor share locks with clientv3");
    return;
  }
  for (const name of ['etcdutl', 'clientv3']) {
    await buildGoProgram(
      `build ${name} (Go)`,
      inRoot('packages', 'test-services', name),
      inCache('etcd', name),
      'is Go new enough?',
    );
  }
}
