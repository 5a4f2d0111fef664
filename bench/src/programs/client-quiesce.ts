// @quiesce/etcd under measurement.
import { compare, connect, op, prefix } from '@quiesce/etcd';
import { KEY_PREFIX } from '../cell.js';
import { lookAtAll } from './look-at-all.js';
import { measureMain } from './measure.js';

await measureMain('@quiesce/etcd', async (endpoint) => {
  const etcd = await connect({ endpoints: endpoint });
  return {
    get: (key) => etcd.get(key),
    put: (key, value) => etcd.put(key, value),
    range: async () => lookAtAll(await etcd.range(prefix(KEY_PREFIX))),
    txn: (key, value) => etcd.txn({ compare: [compare.version(key, '>', 0)], success: [op.put(key, value)] }),
    close: () => etcd.close(),
  };
});
