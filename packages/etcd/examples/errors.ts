import { CompactedError, connect, EtcdError, statusName } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);

const { revision } = await etcd.put('key', 'old');
const newer = await etcd.put('key', 'new');
await etcd.compact(newer.revision);

try {
  await etcd.get('key', { revision });
} catch (error) {
  console.log('compacted:', error instanceof CompactedError);
}

try {
  await etcd.put('', 'value');
} catch (error) {
  if (!(error instanceof EtcdError)) throw error;
  console.log(statusName(error.code), error.message);
}

const hurry = new AbortController();
hurry.abort(new Error('changed my mind'));
await etcd.get('key', { signal: hurry.signal }).catch((error) => console.log(error.message));
