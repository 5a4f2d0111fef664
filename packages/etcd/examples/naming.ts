import { connect, EndpointManager, Session } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);
const api = new EndpointManager(etcd, 'services/api');

// An instance, for as long as it lives.
const session = await Session.create(etcd, { ttlSeconds: 10 });
const { leaseId: lease } = session;
await api.add('host-1', { addr: '10.0.0.1:80', metadata: { zone: 'a' } }, { lease });

// Whoever calls it.
for await (const { endpoints } of api.watch()) {
  console.log(Array.from(endpoints.values(), ({ addr }) => addr));
  if (endpoints.size === 0) break;
  await session.close();
}
