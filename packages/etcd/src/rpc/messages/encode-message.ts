import { BinaryWriter } from '@bufbuild/protobuf/wire';

/**
 * A writer's buffer grows to the largest message that it has written. A writer that has written more than this is not
 * kept. Growing a buffer for each message would take longer than everything else. etcd's default limit is 1.5 MiB.
 */
const MOST_KEPT_BYTES = 1.5 * 1024 * 1024;

/** How to encode a message. */
export interface Encoding<T> {
  encode(message: T, writer: BinaryWriter): BinaryWriter;
  /** Encodes a message of a simple kind in fewer steps; `undefined` for any other. */
  plain?(message: T): Uint8Array | undefined;
}

let writer = new BinaryWriter();

/**
 * Encodes a request of a frequent kind. `Type.encode(message).finish()` makes a writer with a buffer for each message,
 * which takes several times as long as writing it.
 */
export function encodeMessage<T>(type: Encoding<T>, message: T): Uint8Array {
  const plain = type.plain?.(message);
  if (plain !== undefined) return plain;
  try {
    const encoded = type.encode(message, writer).finish();
    if (encoded.length > MOST_KEPT_BYTES) writer = new BinaryWriter();
    return encoded;
  } catch (error) {
    // The writer holds a part of the message.
    writer = new BinaryWriter();
    throw error;
  }
}
