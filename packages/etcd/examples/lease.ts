import { connect } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);

const { id } = await etcd.lease.grant(10);
await etcd.put('services/web/1', '10.0.0.1:80', { lease: id });

const keepAlive = await etcd.lease.keepAlive(id);
keepAlive.lost.addEventListener('abort', () => console.log('lost:', keepAlive.lost.reason.message));

const left = await etcd.lease.timeToLive(id, { keys: true });
console.log(
  left?.keys.map((key) => Buffer.from(key).toString()),
  left?.grantedTtlSeconds,
);

keepAlive.stop();
await etcd.lease.revoke(id);
console.log('after that:', await etcd.get('services/web/1'));
