import { connect } from '@quiesce/etcd';

await using etcd = await connect({
  endpoints: process.env.ETCD_ENDPOINTS ?? 'http://127.0.0.1:2379',
  connectTimeoutMs: 3_000,
  timeoutMs: 5_000,
  keepAlive: { intervalMs: 30_000, timeoutMs: 10_000 },
  retry: { maxAttempts: 5 },
});
const stop = etcd.onConnection(({ endpoint, state, failures }) => console.log(endpoint, state, failures));

console.log(etcd.endpoints.map(({ state }) => state));
console.log((await etcd.cluster.syncEndpoints()).length, 'endpoint');
stop();
