// Scenario 2: 50 concurrent puts, then exit at once, without closing.
import { connect } from '@quiesce/etcd';
import { leave } from './leave.js';

const etcd = await connect({ endpoints: process.env.ETCD_ENDPOINTS ?? 'http://127.0.0.1:2379' });
await Promise.all(
  Array.from({ length: 50 }, (_, i) => etcd.put(`scenario/concurrent-puts/${i}`, `value ${i}`)),
);

leave();
