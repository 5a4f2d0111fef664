import { connect, prefix } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);

await etcd.auth.roleAdd('app');
await etcd.auth.roleGrantPermission('app', 'readwrite', prefix('app/'));
await etcd.auth.userAdd('service', { password: process.env.SERVICE_PASSWORD ?? 'choose a better one' });
await etcd.auth.userGrantRole('service', 'app');

console.log(await etcd.auth.userGet('service'));
for (const { type, keys } of await etcd.auth.roleGet('app')) {
  console.log(type, Buffer.from(keys.key).toString());
}
