import { BinaryWriter } from '@bufbuild/protobuf/wire';

/**
 * A writer's buffer grows to the largest message that it has written. A writer that has written more than this is not
 * kept. Growing a buffer for each message would take longer than everything else. etcd's default limit is 1.5 MiB.
 */
const MOST_KEPT_BYTES = 1.5 * 1024 * 1024;

let writer = new BinaryWriter();

/**
 * Encodes a request of a frequent kind. `Type.encode(message).finish()` makes a writer with a buffer for each message,
 * which takes several times as long as writing it.
 */
export function encodeMessage<T>(
  type: { encode(message: T, writer: BinaryWriter): BinaryWriter },
  message: T,
): Uint8Array {
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
