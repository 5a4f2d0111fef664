import { connect } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);

await etcd.put('account/ann', '100');
await etcd.put('account/bob', '0');

async function transfer(amount: number): Promise<void> {
  await etcd.stm(async (txn) => {
    const ann = Number((await txn.get('account/ann'))?.text());
    const bob = Number((await txn.get('account/bob'))?.text());
    txn.put('account/ann', String(ann - amount));
    txn.put('account/bob', String(bob + amount));
  });
}

await Promise.all([transfer(10), transfer(20), transfer(30)]);
console.log('ann has', (await etcd.get('account/ann'))?.text());
console.log('bob has', (await etcd.get('account/bob'))?.text());
