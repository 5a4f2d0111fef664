// @ts-check
import { inCache, inRoot } from '../lib/paths.mjs';
import { recordProvided } from '../lib/provided.mjs';
import { notice } from '../lib/step.mjs';
import { buildGoProgram, hasGo } from '../provide/go.mjs';

/** Builds etcd's own snapshot tool and a program with its Go client, for the client's tests. */
export async function buildEtcdPrograms() {
  if (!hasGo()) {
    notice("Go is missing: the tests don't restore snapshots with etcdutl, nor share locks with clientv3");
    return;
  }
  for (const name of /** @type {const} */ (['etcdutl', 'clientv3'])) {
    const file = inCache('etcd', name);
    const dir = inRoot('packages', 'test-services', name);
    await buildGoProgram(`build ${name} (Go)`, dir, file, 'is Go new enough?');
    recordProvided(name, file);
  }
}
