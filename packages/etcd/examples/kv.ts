import { connect, prefix } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);

await etcd.put('fruit/apple', 'red');
await etcd.put('fruit/banana', 'yellow');
const { revision } = await etcd.put('fruit/cherry', 'red');

const apple = await etcd.get('fruit/apple');
console.log(apple?.text(), apple?.version);

const { kvs, count } = await etcd.range(prefix('fruit/'), { limit: 2 });
console.log(kvs.map((kv) => kv.keyText()).join(' '), 'of', count);

const { deleted } = await etcd.delete('fruit/cherry');
console.log(deleted, 'deleted;', await etcd.get('fruit/cherry'));
const then = await etcd.get('fruit/cherry', { revision });
console.log('it was', then?.text());
