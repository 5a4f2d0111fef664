import { once } from 'node:events';
import { connect, type LeaseLostError, Session } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);
const key = 'services/api/1';

/** Keeps this service's key in etcd, under another lease whenever one was lost. */
async function register(address: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await using session = await Session.create(etcd, { ttlSeconds: 10, signal });
    await etcd.put(key, address, { lease: session.leaseId });
    console.log('registered');
    const over = AbortSignal.any([session.signal, signal]);
    if (!over.aborted) await once(over, 'abort');
    if (!signal.aborted) console.log('lost:', (session.signal.reason as LeaseLostError).why);
  }
}

const stop = new AbortController();
const watch = etcd.watch(key);
await watch.ready;
const registered = register('10.0.0.1:80', stop.signal);

// Somebody revokes the first lease.
let times = 0;
for await (const { type, kv } of watch) {
  if (type === 'delete') continue;
  times += 1;
  if (times === 2) break;
  await etcd.lease.revoke(kv.lease);
}

stop.abort();
await registered;
console.log('after that:', await etcd.get(key));
