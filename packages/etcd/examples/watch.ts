import { connect, prefix } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);

const watch = etcd.watch(prefix('jobs/'), { prevKv: true });
await watch.ready;

await etcd.put('jobs/1', 'queued');
await etcd.put('jobs/1', 'done');
await etcd.delete('jobs/1');

for await (const event of watch) {
  const before = event.prevKv?.text() ?? '(none)';
  console.log(event.type, event.kv.keyText(), before, '->', event.kv.text() || '(none)');
  if (event.type === 'delete') break;
}
