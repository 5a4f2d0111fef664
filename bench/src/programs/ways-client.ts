// One way to read a range with @quiesce/etcd under measurement.
import { parseArgs } from 'node:util';
import { type Codec, connect, json, type KeyValue, prefix, type TypedKeyValue, utf8 } from '@quiesce/etcd';
import { KEY_PREFIX } from '../cell.js';
import type { Way } from '../ways/way.js';
import { measureMain, type Operations } from './measure.js';

const { values } = parseArgs({ strict: false, options: { way: { type: 'string' } } });
const keys = prefix(KEY_PREFIX);
const own: Codec<string> = { encode: (text) => text, decode: (bytes) => utf8.decode(bytes) };

/** Looks at all, and returns a sum, so that nothing can be left out. */
function sumOf<Entry>(entries: Iterable<Entry>, look: (entry: Entry) => number): number {
  let sum = 0;
  for (const entry of entries) sum += look(entry);
  return sum;
}
const bytesOf = (kvs: Iterable<KeyValue>) => sumOf(kvs, ({ key, value }) => key.length + value.length);
const textOf = (kvs: Iterable<KeyValue>) => sumOf(kvs, (kv) => kv.keyText().length + kv.text().length);
const jsonOf = (kvs: Iterable<KeyValue>) => sumOf(kvs, (kv) => kv.json<{ id: number }>().id);
const decodedText = (kvs: Iterable<TypedKeyValue<string, string>>) =>
  sumOf(kvs, ({ key, value }) => key.length + value.length);
const decodedJson = (kvs: Iterable<TypedKeyValue<string, { id: number }>>) =>
  sumOf(kvs, ({ key, value }) => key.length + value.id);

await measureMain('@quiesce/etcd', async (endpoint): Promise<Operations> => {
  const etcd = await connect({ endpoints: endpoint });
  const texts = etcd.withCodec({ value: utf8 });
  const jsons = etcd.withCodec({ value: json<{ id: number }>() });
  const owns = etcd.withCodec({ value: own });
  const read: Record<Way, () => Promise<number>> = {
    unread: async () => Number((await etcd.range(keys)).count),
    loop: async () => bytesOf(await etcd.range(keys)),
    kvs: async () => bytesOf((await etcd.range(keys)).kvs),
    'loop-text': async () => textOf(await etcd.range(keys)),
    'kvs-text': async () => textOf((await etcd.range(keys)).kvs),
    'kvs-json': async () => jsonOf((await etcd.range(keys)).kvs),
    'loop-utf8-view': async () => decodedText(await texts.range(keys)),
    'kvs-utf8-view': async () => decodedText((await texts.range(keys)).kvs),
    'loop-json-view': async () => decodedJson(await jsons.range(keys)),
    'kvs-json-view': async () => decodedJson((await jsons.range(keys)).kvs),
    'kvs-own-view': async () => decodedText((await owns.range(keys)).kvs),
  };
  return {
    get: (key) => etcd.get(key),
    put: (key, value) => etcd.put(key, value),
    range: read[values.way as Way],
    txn: () => etcd.txn({}),
    close: () => etcd.close(),
  };
});
