// Scenario 5: start, connect, exit at once.
import { connect } from '@quiesce/etcd';
import { leave } from './leave.js';

await connect({ endpoints: process.env.ETCD_ENDPOINTS ?? 'http://127.0.0.1:2379' });

leave();
