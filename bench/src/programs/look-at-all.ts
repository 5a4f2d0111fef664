import type { KeyValue, RangeResult } from '@quiesce/etcd';

/**
 * Looks at each key and value, since Go's client decodes all of them; returns their bytes. The result itself has no
 * iterator in builds before 2026-11-29, which `beside` may be given.
 */
export function lookAtAll(result: Pick<RangeResult, 'kvs'> & Partial<Iterable<KeyValue>>): number {
  let bytes = 0;
  for (const { key, value } of isIterable(result) ? result : result.kvs) bytes += key.length + value.length;
  return bytes;
}

function isIterable(result: object): result is Iterable<KeyValue> {
  return Symbol.iterator in result;
}
