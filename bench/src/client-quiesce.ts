// @quiesce/etcd under measurement.
import { connect } from '@quiesce/etcd';
import { measureMain } from './measure.js';

await measureMain('@quiesce/etcd', async (endpoint) => {
  const etcd = await connect({ endpoints: endpoint });
  return {
    get: (key) => etcd.get(key),
    put: (key, value) => etcd.put(key, value),
    close: () => etcd.close(),
  };
});
