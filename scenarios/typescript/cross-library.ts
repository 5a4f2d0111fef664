// Scenario 6: this client with an open watch, and valkey-glide, in one process; then exit without closing either.
import { connect } from '@quiesce/etcd';
import { leave } from './leave.js';
import { useValkey } from './valkey-glide.js';

const etcd = await connect({ endpoints: process.env.ETCD_ENDPOINTS ?? 'http://127.0.0.1:2379' });
const key = `scenario/cross-library/${process.pid}`;
const watch = etcd.watch(key);
await watch.ready;
const valkey = await useValkey(key);

for (let i = 0; i < 10; i++) await Promise.all([etcd.put(key, `${i}`), valkey.set(key, `${i}`)]);
for await (const event of watch) {
  if (event.kv.text() !== '0') throw new Error(`saw ${event.kv.text()}`);
  leave();
}
