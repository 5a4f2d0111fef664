import { readFile } from 'node:fs/promises';
import { connect } from '@quiesce/etcd';

const read = (name: string): Promise<Buffer> => readFile(`${process.env.CERTIFICATES}/${name}`);

await using etcd = await connect({
  endpoints: process.env.ETCD_ENDPOINTS ?? 'https://127.0.0.1:2379',
  tls: {
    ca: await read('ca.pem'), // default: the certificate authorities of the system
    cert: await read('client.pem'), // with its key, for an etcd that wants --client-cert-auth
    key: await read('client-key.pem'),
  },
});
await etcd.put('key', 'over TLS');
console.log((await etcd.get('key'))?.text());
