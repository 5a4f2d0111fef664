// Scenario 3: five clients, one after another, an operation each; none is closed.
import { connect } from '@quiesce/etcd';
import { leave } from './leave.js';

for (let i = 0; i < 5; i++) {
  const etcd = await connect({ endpoints: process.env.ETCD_ENDPOINTS ?? 'http://127.0.0.1:2379' });
  await etcd.put('scenario/rapid-clients', `client ${i}`);
}

leave();
