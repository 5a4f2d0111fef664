import { connect, prefix } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);

await Promise.all(Array.from({ length: 250 }, (_, i) => etcd.put(`many/${i}`, 'x')));

let keys = 0;
for await (const kv of etcd.iterate(prefix('many/'), { pageSize: 100 })) {
  // Changes made meanwhile are not seen: all pages are of one revision.
  if (keys === 0) await etcd.delete(prefix('many/'));
  keys += kv.keyText().startsWith('many/') ? 1 : 0;
}
console.log(keys, 'keys');
