// Scenario 4: three watches while 30 puts and gets run, then exit without closing.
import { connect, prefix } from '@quiesce/etcd';
import { leave } from './leave.js';

const etcd = await connect({ endpoints: process.env.ETCD_ENDPOINTS ?? 'http://127.0.0.1:2379' });
const root = `scenario/watches-and-operations/${process.pid}`;

let seen = 0;
const watches = ['a', 'b', 'c'].map((name) => etcd.watch(prefix(`${root}/${name}/`)));
for (const watch of watches) {
  await watch.ready;
  void (async () => {
    for await (const _event of watch) seen++;
  })();
}

await Promise.all(
  Array.from({ length: 30 }, (_, i) => {
    const key = `${root}/${'abc'[i % 3]}/${i}`;
    return i % 2 === 0 ? etcd.put(key, 'value') : etcd.get(key);
  }),
);
while (seen === 0) await new Promise(setImmediate);

leave();
