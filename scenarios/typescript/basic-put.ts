// Scenario 0: connect, one put, one get, then exit without closing.
import { connect } from '@quiesce/etcd';
import { leave } from './leave.js';

const etcd = await connect({ endpoints: process.env.ETCD_ENDPOINTS ?? 'http://127.0.0.1:2379' });
await etcd.put('scenario/basic-put', 'hello');
const kv = await etcd.get('scenario/basic-put');
if (kv?.text() !== 'hello') throw new Error(`read ${kv?.text()} instead of hello`);

leave();
