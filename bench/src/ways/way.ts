/** The ways to read a range: as bytes, bytes as text or JSON, and through a view with codecs. */
export const ways = [
  'unread',
  'loop',
  'kvs',
  'loop-text',
  'kvs-text',
  'kvs-json',
  'loop-utf8-view',
  'kvs-utf8-view',
  'loop-json-view',
  'kvs-json-view',
  'kvs-own-view',
] as const;

export type Way = (typeof ways)[number];
