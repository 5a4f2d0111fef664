// Scenario 7, async tasks: 200 tasks that each put, get and delete; the exit comes while a hundred more run.
import { connect } from '@quiesce/etcd';
import { workDone } from 'quiesce/work-done';

const etcd = await connect({ endpoints: process.env.ETCD_ENDPOINTS ?? 'http://127.0.0.1:2379' });

async function task(i: number): Promise<void> {
  const key = `scenario/many-async-tasks/${process.pid}/${i}`;
  await etcd.put(key, `task ${i}`);
  const kv = await etcd.get(key);
  if (kv?.text() !== `task ${i}`) throw new Error(`task ${i} read ${kv?.text()}`);
  await etcd.delete(key);
}

await Promise.all(Array.from({ length: 200 }, (_, i) => task(i)));
for (let i = 0; i < 100; i++) void task(i);

workDone();
setImmediate(() => process.exit());
