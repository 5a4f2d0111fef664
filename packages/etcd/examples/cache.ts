import { Cache, connect, prefix } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);
await etcd.put('flags/dark', 'off');

await using flags = await Cache.open(etcd, prefix('flags/'));
console.log(flags.get('flags/dark')?.text(), flags.size); // no round trip

const { revision } = await etcd.put('flags/dark', 'on');
await flags.waitForRevision(revision);
console.log(flags.get('flags/dark')?.text());
