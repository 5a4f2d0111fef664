import type { BinaryReader } from '@bufbuild/protobuf/wire';

// What the decoders of this folder do as the generated ones do (proto/protoc-gen-messages.mjs), with the same errors.

const END_GROUP = 4;

/** Fields are numbered from 1 on, so this is the smallest tag. */
const SMALLEST_TAG = 8;

/**
 * Skips the field of a tag that the decoder doesn't know.
 *
 * @throws Error where no field has this tag.
 */
export function skipUnknown(reader: BinaryReader, tag: number): void {
  if (tag < SMALLEST_TAG || (tag & 7) === END_GROUP) throw new Error(`illegal tag ${tag}`);
  reader.skip(tag & 7);
}

/**
 * Checks that a message ends where the last of its fields does.
 *
 * @throws RangeError where that field has taken bytes of what follows the message.
 */
export function checkEnd(reader: BinaryReader, end: number): void {
  if (reader.pos !== end) throw new RangeError('premature EOF');
}
