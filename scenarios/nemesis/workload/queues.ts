import { PriorityQueue, Queue } from '@quiesce/etcd';
import { turns, uniqueValue, type Work } from './turns.js';

/** Adds items to a queue and takes some out. Each must be taken once, in order. */
export async function queues(work: Work): Promise<void> {
  const { etcd, client, worker, history, random } = work;
  const bound = 2_000;
  const call = (kind: string, key: string) => ({ client, worker, kind, key, bound });
  const name = 'nem/queue/0';
  const queue = new Queue(etcd, name);
  const byPriority = 'nem/priority/0';
  const priorityQueue = new PriorityQueue(etcd, byPriority);
  await turns(work, 150, async () => {
    const value = uniqueValue();
    const got = (item: { text(): string }) => ({ found: item.text() });
    switch (random(4)) {
      case 0:
        await history.call({ ...call('enqueue', name), value }, () =>
          queue.enqueue(value, { timeoutMs: bound }),
        );
        return;
      case 1:
        await history.call({ ...call('enqueue', byPriority), value }, () =>
          priorityQueue.enqueue(value, random(3), { timeoutMs: bound }),
        );
        return;
      case 2:
        await history.call(dequeued(name), () => queue.dequeue({ timeoutMs: bound }), got);
        return;
      default:
        await history.call(dequeued(byPriority), () => priorityQueue.dequeue({ timeoutMs: bound }), got);
    }
  });

  // A taken item must be handed over: the last transaction has the client's own timeout.
  function dequeued(key: string) {
    return { ...call('dequeue', key), bound: bound + 10_000 };
  }
}
