// Scenario 1: a watch is open and has seen an event; then exit inside its loop, without closing.
import { connect } from '@quiesce/etcd';
import { leave } from './leave.js';

const etcd = await connect({ endpoints: process.env.ETCD_ENDPOINTS ?? 'http://127.0.0.1:2379' });
const key = `scenario/active-watch/${process.pid}`;
const watch = etcd.watch(key);
await watch.ready;
await etcd.put(key, 'seen');

for await (const event of watch) {
  if (event.kv.text() !== 'seen') throw new Error(`saw ${event.kv.text()}`);
  leave();
}
