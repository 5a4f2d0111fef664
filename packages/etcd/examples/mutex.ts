import { connect, Mutex, op, Session } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);
await using session = await Session.create(etcd, { ttlSeconds: 10 });
const mutex = new Mutex(session, 'locks/report');

{
  await using lock = await mutex.lock({ timeoutMs: 5_000 });
  lock.signal.addEventListener('abort', () => console.log('no longer mine'));

  // Done only if the lock is still held at that moment, whatever this process believes.
  const { succeeded } = await etcd.txn({
    compare: [lock.isOwner()],
    success: [op.put('report', 'written once')],
  });
  console.log(succeeded, lock.revision > 0n);
}

const again = await mutex.tryLock();
console.log(again === undefined ? 'taken' : 'free again');
