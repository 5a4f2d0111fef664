import type { KeyValue, RangeResult } from '@quiesce/etcd';

/**
 * Looks at each key and value, as for Go's client all of them are decoded; returns their bytes. Builds before 2026-11-29, which
 * `beside` may be given, have no loop over the result itself.
 */
export function lookAtAll(result: Pick<RangeResult, 'kvs'> & Partial<Iterable<KeyValue>>): number {
  let bytes = 0;
  for (const { key, value } of isIterable(result) ? result : result.kvs) bytes += key.length + value.length;
  return bytes;
}

function isIterable(result: object): result is Iterable<KeyValue> {
  return Symbol.iterator in result;
}
