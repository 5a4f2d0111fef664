// No decoder takes a damaged message for a shorter one, or bytes of what follows a nested message for a part of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as auth from '../src/rpc/generated/authpb/auth.js';
import * as rpc from '../src/rpc/generated/etcdserverpb/rpc.js';
import * as generated from '../src/rpc/generated/mvccpb/kv.js';
import { MessageReader } from '../src/rpc/messages/message-reader.js';
import * as ours from '../src/rpc/messages/mvccpb.js';
import { TxnMessage } from '../src/rpc/messages/txn-response.js';
import { Store } from '../src/rpc/store.js';
import { WatchMessage } from '../src/watch/watch-message.js';

/** A field that no message of etcd has: its tag has two bytes, and so has its number. */
const unknown = [0x98, 0x3e, 0x80, 0x01];
const illegalTags = [0x00, 0x02, 0x7c];

/** Reads a nested message of so many bytes. */
type Nested = (message: readonly number[], length: number) => unknown;

interface Decoder {
  decode(reader: MessageReader, length: number): unknown;
}

function nestedBy(decoder: Decoder): Nested {
  return (message, length) => decoder.decode(new MessageReader(Uint8Array.from(message)), length);
}

const isDecoder = (it: unknown): it is Decoder => typeof (it as Partial<Decoder>).decode === 'function';

const decoders = [auth, rpc, generated, ours].flatMap((module) =>
  Object.entries(module)
    .filter((entry): entry is [string, Decoder] => isDecoder(entry[1]))
    .map(([name, decoder]): [string, Nested] => [
      module === ours ? `${name}, by hand` : name,
      nestedBy(decoder),
    ]),
);

/** Makes an answer too long for the generated code. */
const filling = [0x9a, 0x3e, 0x80, 0x80, 0x01, ...Array.from({ length: 0x4000 }, () => 0)];

function longTxn(...message: readonly number[]): unknown {
  return TxnMessage.decode(new MessageReader(Uint8Array.from([...filling, ...message])));
}

const nestedInTxn: [string, Nested][] = [
  ['an operation of a long transaction', (message, length) => longTxn(0x1a, length, ...message)],
  ['a transaction in a long one', (message, length) => longTxn(0x1a, length + 2, 0x22, length, ...message)],
];

for (const [name, decode] of [...decoders, ...nestedInTxn]) {
  test(name, () => {
    decode(unknown, unknown.length);
    assert.throws(() => decode(unknown, unknown.length - 1), /premature EOF/);
    for (const tag of illegalTags) {
      const message = [...unknown, tag, ...unknown];
      assert.throws(() => decode(message, message.length), new RegExp(`illegal tag ${tag}$`));
    }
  });
}

test('the decoders are those of all messages', () => assert.ok(decoders.length > 100));

test('the outermost message of a long transaction', () => {
  longTxn(...unknown);
  for (const tag of illegalTags) assert.throws(() => longTxn(tag, ...unknown), /illegal tag/);
});

test('a response of a watch', () => {
  const header = [0x0a, 0x04, 0x18, 0x80, 0x80, 0x01];
  // The key `k`.
  const event = [0x5a, 0x07, 0x12, 0x05, 0x0a, 0x01, 0x6b, 0x18, 0x05];
  const read = (...message: readonly number[]): void => new WatchMessage().read(Uint8Array.from(message));
  read(...header, ...event, ...unknown, ...event);
  for (const tag of illegalTags) {
    assert.throws(() => read(...header, ...event, tag, ...event), /can't be read: illegal tag/);
  }
});

test('a header, whose revision is not that of the store then', () => {
  const ids = [0x08, 0x01, 0x10, 0x02];
  const store = new Store();
  const takes = (...header: readonly number[]) => store.takes(Uint8Array.from([...header, ...unknown]));
  takes(0x0a, ids.length + 3, ...ids, 0x18, 0x80, 0x01);
  assert.equal(store.revision, 0x80n);
  takes(0x0a, ids.length + 3, ...ids, 0x18, 0x80, 0x82, 0x01);
  assert.equal(store.revision, 0x80n);
});
