import { BinaryReader } from '@bufbuild/protobuf/wire';
import { WatchResponse } from '../rpc/generated/etcdserverpb/rpc.js';
import { MessageReader } from '../rpc/messages/message-reader.js';
import { readable } from '../rpc/messages/readable.js';
import { watchMethod } from './request.js';

/** The approximate size of a part, in bytes. */
const PART_BYTES = 64 * 1024;

/** Field 11, `events`, length-delimited: the last field of a WatchResponse. */
const EVENTS_TAG = 90;

const LENGTH_DELIMITED = 2;

/** A response, or a part of one, with the length of its message. */
export interface ResponsePart {
  readonly response: WatchResponse;
  readonly bytes: number;
}

/**
 * A small response as it is, or a large one in parts like those that etcd makes with `fragment`. Each part is decoded
 * when it is its turn. So of the 1,000 revisions that a response can have, only some are in memory as events.
 */
export function* responseParts(message: Uint8Array): Generator<ResponsePart, void, void> {
  const cuts = message.length > PART_BYTES ? readable(watchMethod, () => findCuts(message)) : undefined;
  const [firstEvent] = cuts ?? [];
  if (cuts === undefined || firstEvent === undefined) {
    yield { response: decode(message), bytes: message.length };
    return;
  }
  const envelope = decode(message.subarray(0, firstEvent));
  for (const [i, start] of cuts.entries()) {
    const end = cuts[i + 1];
    const { events } = decode(message.subarray(start, end));
    const fragment = end !== undefined || envelope.fragment;
    yield { response: { ...envelope, events, fragment }, bytes: (end ?? message.length) - start };
  }
}

function decode(message: Uint8Array): WatchResponse {
  return readable(watchMethod, () => WatchResponse.decode(new MessageReader(message)));
}

/** Where the parts begin, the first of them at the first event; `undefined` when something follows the events. */
function findCuts(message: Uint8Array): number[] | undefined {
  const reader = new BinaryReader(message);
  const cuts: number[] = [];
  while (reader.pos < message.length) {
    const at = reader.pos;
    const tag = reader.uint32();
    if (tag === EVENTS_TAG) {
      const last = cuts.at(-1);
      if (last === undefined || at - last >= PART_BYTES) cuts.push(at);
    } else if (cuts.length > 0) return undefined;
    if ((tag & 7) === LENGTH_DELIMITED) {
      const length = reader.uint32();
      reader.pos += length;
    } else reader.skip(tag & 7);
  }
  return cuts;
}
