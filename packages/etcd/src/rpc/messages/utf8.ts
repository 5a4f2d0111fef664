// A byte order mark is part of the text, as in etcd3 and in JSON.
const replacing = new TextDecoder('utf-8', { ignoreBOM: true });
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

type Slice = (this: Uint8Array, from: number, to: number) => string;

/** What `Buffer` itself calls. It takes any bytes and a part of them, so a part needs no view of its own. */
const slice: Slice =
  (Buffer.prototype as { utf8Slice?: Slice }).utf8Slice ??
  function (from, to) {
    return replacing.decode(this.subarray(from, to));
  };

/** What stands for bytes that aren't UTF-8. */
const REPLACEMENT = '\ufffd';

/** Bytes, or a part of them, as UTF-8 text; bytes that aren't UTF-8 become U+FFFD. */
export function textOf(bytes: Uint8Array, from = 0, to = bytes.length): string {
  return slice.call(bytes, from, to);
}

/** The same, but throws for bytes that aren't UTF-8. */
export function strictTextOf(bytes: Uint8Array, from = 0, to = bytes.length): string {
  const text = slice.call(bytes, from, to);
  // The text itself may contain that character.
  return text.includes(REPLACEMENT) ? strict.decode(bytes.subarray(from, to)) : text;
}
