import { connect, PermissionDeniedError, prefix, UnauthenticatedError } from '@quiesce/etcd';

const endpoints = process.env.ETCD_ENDPOINTS ?? 'http://127.0.0.1:2379';
const rootPassword = process.env.ROOT_PASSWORD ?? 'root secret';
const appPassword = process.env.APP_PASSWORD ?? 'app secret';

{
  await using anybody = await connect(endpoints);
  await anybody.auth.userAdd('root', { password: rootPassword });
  await anybody.auth.userGrantRole('root', 'root');
  await anybody.auth.roleAdd('app');
  await anybody.auth.roleGrantPermission('app', 'readwrite', prefix('app/'));
  await anybody.auth.userAdd('app', { password: appPassword });
  await anybody.auth.userGrantRole('app', 'app');
  await anybody.auth.enable();
  await anybody.get('app/key').catch((error) => console.log(error instanceof UnauthenticatedError));
}

await using app = await connect({ endpoints, auth: { username: 'app', password: appPassword } });
await app.put('app/key', 'mine');
console.log((await app.get('app/key'))?.text());
await app.put('other', '').catch((error) => console.log(error instanceof PermissionDeniedError));

await using root = await connect({ endpoints, auth: { username: 'root', password: rootPassword } });
// All tokens are outdated by a change of users or roles. Clients fetch others by themselves.
await root.auth.roleGrantPermission('app', 'read', 'other');
console.log((await app.range('other')).count);
