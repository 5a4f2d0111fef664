// Connects, gets one key and ends: `node cold-start-client.js <etcd3, or the file of @quiesce/etcd> <endpoint>`.
import { pathToFileURL } from 'node:url';
import { keyName } from '../cell.js';

const [client = '', endpoint = ''] = process.argv.slice(2);
if (client === 'etcd3') {
  const { Etcd3 } = await import('etcd3');
  const etcd = new Etcd3({ hosts: endpoint });
  await etcd.get(keyName(0)).exec();
  etcd.close();
} else {
  const { connect }: typeof import('@quiesce/etcd') = await import(pathToFileURL(client).href);
  const etcd = await connect(endpoint);
  await etcd.get(keyName(0));
  await etcd.close();
}
