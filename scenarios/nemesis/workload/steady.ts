import { setTimeout as delay } from 'node:timers/promises';
import { isExpected, type Work } from './turns.js';

/** Puts one key after another, as `judge beside` does with clientv3. It shows for how long no put succeeds. */
export async function steady({ etcd, client, history, over }: Work): Promise<void> {
  for (let n = 0; !over.aborted; n++) {
    const start = history.now();
    let ok = true;
    try {
      await etcd.put(`nemesis-beside-${client}`, String(n), { timeoutMs: 3_000 });
    } catch (error) {
      if (!isExpected(error)) throw error;
      ok = false;
    }
    history.add('beside', { client, kind: 'put', start, end: history.now(), ok });
    await delay(20);
  }
}
