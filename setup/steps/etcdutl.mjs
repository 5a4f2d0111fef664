import { inCache, inRoot } from '../paths.mjs';
import { notice } from '../step.mjs';
import { buildGoProgram, hasGo } from './go.mjs';

/** Builds etcd's own tool for snapshots; etcdutlBinary() of @quiesce/test-services looks for it there. */
export async function buildEtcdutl() {
  if (!hasGo()) {
    notice("Go is missing: the tests don't restore snapshots with etcdutl");
    return;
  }
  await buildGoProgram(
    'build etcdutl (Go)',
    inRoot('packages', 'test-services', 'etcdutl'),
    inCache('etcd', 'etcdutl'),
    'is Go new enough?',
  );
}
