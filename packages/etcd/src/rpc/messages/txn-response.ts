import { KVService } from '../generated/etcdserverpb/methods.js';
import {
  DeleteRangeResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  type ResponseOp,
  TxnResponse,
} from '../generated/etcdserverpb/rpc.js';
import type { MessageReader } from './message-reader.js';
import { isLong, RangeMessage } from './range-response.js';
import { checkEnd, skipUnknown } from './unknown-field.js';

/** The answer to a transaction, in whose long ranges the keys are still encoded. */
export interface TxnMessage extends Omit<TxnResponse, 'responses'> {
  readonly responses: OpMessage[];
}

/** The answer to one operation of a transaction. */
export interface OpMessage {
  readonly response:
    | Exclude<ResponseOp['response'], { $case: 'responseRange' | 'responseTxn' }>
    | { readonly $case: 'responseRange'; readonly value: RangeMessage }
    | { readonly $case: 'responseTxn'; readonly value: TxnMessage };
}

/** Decodes the answer to a transaction, as the generated code does. The keys of long ranges stay encoded. */
export const TxnMessage = {
  decode(reader: MessageReader): TxnMessage {
    return isLong(reader.len) ? readTxn(reader, reader.len) : TxnResponse.decode(reader);
  },
};

function readTxn(reader: MessageReader, end: number): TxnMessage {
  const message: { -readonly [Name in keyof TxnMessage]: TxnMessage[Name] } = {
    header: undefined,
    succeeded: false,
    responses: [],
  };
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) message.header = ResponseHeader.decode(reader, reader.uint32());
    else if (tag === 16) message.succeeded = reader.bool();
    else if (tag === 26) message.responses.push(readOp(reader));
    else skipUnknown(reader, tag);
  }
  checkEnd(reader, end);
  return message;
}

function readOp(reader: MessageReader): OpMessage {
  const end = endOfNext(reader);
  let response: OpMessage['response'];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) response = { $case: 'responseRange', value: readRange(reader) };
    else if (tag === 18)
      response = { $case: 'responsePut', value: PutResponse.decode(reader, reader.uint32()) };
    else if (tag === 26)
      response = { $case: 'responseDeleteRange', value: DeleteRangeResponse.decode(reader, reader.uint32()) };
    else if (tag === 34) response = { $case: 'responseTxn', value: readTxn(reader, endOfNext(reader)) };
    else skipUnknown(reader, tag);
  }
  checkEnd(reader, end);
  return { response };
}

function readRange(reader: MessageReader): RangeMessage {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (!isLong(length) || end > reader.len) return RangeResponse.decode(reader, length);
  const part = reader.message.subarray(reader.pos, end);
  reader.pos = end;
  return RangeMessage.decodePart(part, KVService.txn.path);
}

/** Where the message ends whose length comes next. */
function endOfNext(reader: MessageReader): number {
  const length = reader.uint32();
  return reader.pos + length;
}
