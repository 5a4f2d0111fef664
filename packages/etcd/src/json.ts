/** Bytes as JSON and as terminal output: text if they are UTF-8, otherwise base64. */
export type JsonBytes = string | { readonly base64: string };

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A text without the byte order mark that some editors write, and that is no JSON. */
export const withoutMark = (text: string): string => (text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);

/** Bytes for JSON, with nothing lost. */
export function jsonBytes(bytes: Uint8Array): JsonBytes {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return { base64: Buffer.from(bytes).toString('base64') };
  }
}

/**
 * A value for `JSON.stringify`: 64-bit numbers as decimal strings, bytes as {@link JsonBytes}, in plain objects and
 * lists, however deeply nested. An object that has its own `toJSON` stays as it is.
 */
export function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return jsonBytes(value);
  if (Array.isArray(value)) return value.map(jsonOf);
  return isPlain(value) ? jsonFields(value) : value;
}

/** The fields of an object, for `JSON.stringify`. */
export function jsonFields(object: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, jsonOf(value)]));
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** The result of a frequent call: its fields, and their form in JSON. */
export abstract class Answer {
  toJSON(): Record<string, unknown> {
    return jsonFields(this);
  }
}

/** The result of another call, with the same `toJSON` added. The fields stay a plain object. */
export function answer<T extends object>(fields: T): T {
  return Object.defineProperty(fields, 'toJSON', {
    value: Answer.prototype.toJSON,
    configurable: true,
    writable: true,
  });
}

/** The same for a list. */
export function answerList<T extends readonly unknown[]>(list: T): T {
  return Object.defineProperty(list, 'toJSON', {
    value: () => list.map(jsonOf),
    configurable: true,
    writable: true,
  });
}
