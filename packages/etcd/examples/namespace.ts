import { connect, json, prefix } from '@quiesce/etcd';

interface User {
  readonly name: string;
  readonly admin: boolean;
}

await using etcd = await connect(process.env.ETCD_ENDPOINTS);

const users = etcd.namespace('app/users/').withCodec({ value: json<User>() });
await users.put('ada', { name: 'Ada', admin: true });
await users.put('bob', { name: 'Bob', admin: false });

const { kvs } = await users.range(prefix(''));
console.log(kvs.filter(({ value }) => value.admin).map(({ key }) => key));

console.log((await etcd.get('app/users/ada'))?.text());
