import { connect, prefix } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);

await etcd.put('config/colour', 'blue');

// What is there, and then each change after that: nothing is missed, nothing comes twice.
const config = new Map<string, string>();
const { kvs, revision } = await etcd.range(prefix('config/'));
for (const kv of kvs) config.set(kv.keyText(), kv.text());

await etcd.put('config/colour', 'green');
await etcd.put('config/size', 'large');

for await (const { type, kv } of etcd.watch(prefix('config/'), { startRevision: revision + 1n })) {
  if (type === 'put') config.set(kv.keyText(), kv.text());
  else config.delete(kv.keyText());
  if (config.size === 2) break;
}
console.log(config);
