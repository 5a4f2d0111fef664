import { compare, connect, op } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);

await etcd.put('stock/7', '42');
const seen = await etcd.get('stock/7');

const result = await etcd.txn({
  compare: [compare.modRevision('stock/7', '=', seen?.modRevision ?? 0n)],
  success: [op.put('stock/7', '41'), op.get('stock/7')],
  failure: [op.get('stock/7')],
});
if (result.succeeded) {
  console.log('sold one, now', result.responses[1]?.text());
} else {
  console.log('changed meanwhile to', result.responses[0]?.text());
}
