// npm etcd3 under measurement.
import { Etcd3 } from 'etcd3';
import { KEY_PREFIX } from '../cell.js';
import { measureMain } from './measure.js';

await measureMain('etcd3', (endpoint) => {
  const etcd = new Etcd3({ hosts: endpoint });
  return {
    // exec() returns the reply as received, which is the least that etcd3 can do.
    get: (key) => etcd.get(key).exec(),
    put: (key, value) => etcd.put(key).value(Buffer.from(value)).exec(),
    range: () => etcd.getAll().prefix(KEY_PREFIX).exec(),
    txn: (key, value) =>
      etcd
        .if(key, 'Version', '>', 0)
        .then(etcd.put(key).value(Buffer.from(value)))
        .commit(),
    close: () => etcd.close(),
  };
});
