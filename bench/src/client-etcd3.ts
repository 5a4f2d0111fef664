// npm etcd3 under measurement.
import { Etcd3 } from 'etcd3';
import { measureMain } from './measure.js';

await measureMain('etcd3', (endpoint) => {
  const etcd = new Etcd3({ hosts: endpoint });
  return {
    // exec() gives the reply as it came, which is the least that etcd3 can do.
    get: (key) => etcd.get(key).exec(),
    put: (key, value) => etcd.put(key).value(value).exec(),
    close: () => etcd.close(),
  };
});
