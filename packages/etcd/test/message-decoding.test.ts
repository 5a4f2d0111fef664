import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { type Random, randomFrom } from '@quiesce/test-services';
import { PutResponse, RangeResponse, WatchResponse } from '../src/rpc/generated/etcdserverpb/rpc.js';
import { Event as GeneratedEvent, KeyValue as GeneratedKeyValue } from '../src/rpc/generated/mvccpb/kv.js';
import { PutInOrder, RangeInOrder } from '../src/rpc/messages/in-order.js';
import { KeyValue as PublicKeyValue } from '../src/rpc/messages/key-value.js';
import { MessageReader, toBigInt } from '../src/rpc/messages/message-reader.js';
import { Event, KeyValue } from '../src/rpc/messages/mvccpb.js';
import { collectGarbage } from './support/garbage.js';

const randomBytes = (random: Random, longest: number): Uint8Array =>
  Uint8Array.from({ length: random(longest + 1) }, () => random(256));

/** Of all lengths as varints, the negative ones included. */
function randomInt64(random: Random): bigint {
  const bits = BigInt(random(65));
  const value = (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32));
  return BigInt.asIntN(64, bits === 0n ? 0n : value & ((1n << bits) - 1n));
}

/** A message of random fields in random order, repeated, unknown, or of another wire type than they should have. */
function writeFields(
  random: Random,
  writer: BinaryWriter,
  writeNested?: (writer: BinaryWriter) => void,
): void {
  for (let fields = random(9); fields > 0; fields--) {
    const field = 1 + random(writeNested === undefined ? 8 : 4);
    switch (random(12)) {
      case 0:
        writer.tag(field, 1).fixed64(randomInt64(random) & 0xffffn);
        break;
      case 1:
        writer.tag(field, 5).fixed32(random(1000));
        break;
      case 2:
        // A group, with a field in it.
        writer.tag(field, 3).tag(1, 0).uint32(random(300)).tag(field, 4);
        break;
      case 3:
      case 4:
      case 5:
        writer.tag(field, 0).int64(randomInt64(random));
        break;
      case 6:
      case 7:
      case 8:
        if (writeNested === undefined) writer.tag(field, 2).bytes(randomBytes(random, 900));
        else {
          writer.tag(field, 2).fork();
          writeNested(writer);
          writer.join();
        }
        break;
      default:
        writer.tag(field, 2).bytes(randomBytes(random, 20));
    }
  }
}

function randomKeyValue(random: Random, writer: BinaryWriter): void {
  if (random(3) === 0) {
    writeFields(random, writer);
    return;
  }
  const message = {
    key: randomBytes(random, 80),
    value: randomBytes(random, 700),
    createRevision: randomInt64(random),
    modRevision: randomInt64(random),
    version: BigInt(random(300)),
    lease: randomInt64(random),
  };
  GeneratedKeyValue.encode(message, writer);
}

function randomEvent(random: Random, writer: BinaryWriter): void {
  writeFields(random, writer, (nested) => randomKeyValue(random, nested));
}

/** The answer to a range or a put: as etcd writes it, or of random fields. */
function randomAnswer(random: Random, writer: BinaryWriter): void {
  if (random(4) === 0) {
    writeFields(random, writer, (nested) => randomKeyValue(random, nested));
    return;
  }
  // Mostly of two members, as answers come.
  const id = random(10) === 0 ? randomInt64(random) : BigInt(1 + random(2)) << 62n;
  const header = {
    clusterId: BigInt.asUintN(64, id),
    memberId: BigInt.asUintN(64, random(20) === 0 ? 0n : id + 1n),
    revision: random(8) === 0 ? randomInt64(random) : BigInt(random(2 ** 21)),
    raftTerm: BigInt(random(10) === 0 ? random(2 ** 20) : random(10)),
  };
  const kv = new PublicKeyValue(
    randomBytes(random, 80),
    randomBytes(random, 200),
    BigInt(random(2 ** 21)),
    BigInt(random(2 ** 21)),
    BigInt(random(300)),
    random(3) === 0 ? randomInt64(random) : 0n,
  );
  const kvs = Array.from({ length: random(3) }, () => kv);
  if (random(3) === 0) PutResponse.encode({ header, prevKv: kvs[0] }, writer);
  else {
    const count = random(5) === 0 ? randomInt64(random) : BigInt(random(4));
    RangeResponse.encode({ header, kvs, more: random(2) === 0, count }, writer);
  }
}

/** As it is, cut off, or with a byte changed. */
function damage(random: Random, message: Uint8Array): Uint8Array {
  if (message.length === 0) return message;
  const kind = random(3);
  if (kind === 0) return message.subarray(0, random(message.length));
  if (kind === 1) return Uint8Array.from(message, (byte, i) => (i === 0 ? random(256) : byte));
  const at = random(message.length);
  return Uint8Array.from(message, (byte, i) => (i === at ? random(256) : byte));
}

/** What a decoder makes of a message: its fields, or its error. */
function outcome(decode: () => object): unknown {
  try {
    return structuredClone(decode());
  } catch (error) {
    const { name, message } = error as Error;
    return { name, message };
  }
}

function tryToTransfer(bytes: Uint8Array<ArrayBuffer>): void {
  try {
    structuredClone(bytes, { transfer: [bytes.buffer] });
  } catch (error) {
    // Node 20 makes a copy instead; Deno calls it a TypeError.
    assert.match((error as Error).name, /^(DataCloneError|TypeError)$/);
  }
}

/** Decodes short strings, and tries to take their buffer away. */
function shareBuffers(): void {
  const decodeKey = (length: number): Uint8Array<ArrayBuffer> => {
    const key = new Uint8Array(length).fill(1);
    const message = GeneratedKeyValue.encode(GeneratedKeyValue.fromPartial({ key })).finish();
    return KeyValue.decode(new MessageReader(message)).key as Uint8Array<ArrayBuffer>;
  };
  const keys = Array.from({ length: 100 }, () => decodeKey(10));
  assert.ok(new Set(keys.map(({ buffer }) => buffer)).size <= 2);
  const [first, second] = keys.slice(-2) as [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>];
  assert.equal(first.buffer, second.buffer);
  tryToTransfer(first);
  assert.deepEqual(second, new Uint8Array(10).fill(1));
}

describe('decoding of keys and events', () => {
  // Of the first ones of a process, the buffers are pools of Node.
  it('shares the buffers of short strings, which cannot be taken away by a transfer', shareBuffers);

  for (const { name, write, ours, generated } of [
    { name: 'KeyValue', write: randomKeyValue, ours: KeyValue, generated: GeneratedKeyValue },
    { name: 'Event', write: randomEvent, ours: Event, generated: GeneratedEvent },
    { name: 'RangeResponse', write: randomAnswer, ours: RangeInOrder, generated: RangeResponse },
    { name: 'PutResponse', write: randomAnswer, ours: PutInOrder, generated: PutResponse },
  ]) {
    it(`${name}: as the generated code does it, for 20,000 messages, whole and damaged`, () => {
      let failures = 0;
      for (let seed = 1; seed <= 10_000; seed++) {
        const random = randomFrom(seed);
        const writer = new BinaryWriter();
        write(random, writer);
        const whole = writer.finish();
        for (const message of [whole, damage(random, whole)]) {
          const expected = outcome(() => generated.decode(message));
          const actual = outcome(() => ours.decode(new MessageReader(message)));
          assert.deepEqual(actual, expected, `seed ${seed}, message ${Buffer.from(message).toString('hex')}`);
          if ((expected as { name?: string }).name !== undefined) failures += 1;
        }
      }
      assert.ok(failures > 1000, `only ${failures} messages were malformed`);
    });
  }

  it('makes the keys of answers and events the class that users get', () => {
    const key = Buffer.from('k');
    const kv = new PublicKeyValue(new Uint8Array(key), new Uint8Array(0), 2n, 3n, 1n, 0n);
    const range = RangeResponse.encode({ header: undefined, kvs: [kv], more: false, count: 1n }).finish();
    assert.deepEqual(RangeResponse.decode(new MessageReader(range)).kvs, [kv]);
    const event = { type: 0, kv, prevKv: kv };
    const watch = WatchResponse.encode(WatchResponse.fromPartial({ events: [event] })).finish();
    assert.deepEqual(WatchResponse.decode(new MessageReader(watch)).events, [event]);
  });

  it('keeps nothing of the message that it came in, and little of other strings', () => {
    const bytes = new Uint8Array(20_000).fill(7);
    for (const length of [1, 64, 127, 128, 1024, 1025, 5000, 16_383, 16_384]) {
      const kv = { key: bytes.subarray(0, length), value: bytes.subarray(0, length) };
      const message = RangeResponse.encode(
        RangeResponse.fromPartial({ kvs: Array.from({ length: 20 }, () => kv) }),
      ).finish();
      const { kvs } = RangeResponse.decode(new MessageReader(message));
      message.fill(0);
      assert.equal(kvs.length, 20);
      for (const { key, value } of kvs) {
        assert.deepEqual(key, bytes.slice(0, length));
        assert.deepEqual(value, bytes.slice(0, length));
        // The first of a process are in the pool of Node's buffers.
        assert.ok((length > 1024 ? [length] : [8192, Buffer.poolSize]).includes(value.buffer.byteLength));
      }
    }
  });

  it('shares the buffers of later short strings, too', shareBuffers);

  it('does not copy what makes up most of a buffer, which cannot be taken away by a transfer, either', () => {
    const decode = (key: Uint8Array, value: Uint8Array): KeyValue => {
      const message = GeneratedKeyValue.encode(GeneratedKeyValue.fromPartial({ key, value })).finish();
      return KeyValue.decode(new MessageReader(new Uint8Array(message)));
    };
    const { key, value } = decode(new Uint8Array(20).fill(1), new Uint8Array(50_000).fill(2));
    assert.notEqual(key.buffer, value.buffer);
    assert.deepEqual([key.length, value.length, value.buffer.byteLength], [20, 50_000, 50_026]);
    tryToTransfer(value as Uint8Array<ArrayBuffer>);
    assert.deepEqual(value, new Uint8Array(50_000).fill(2));
    const half = decode(new Uint8Array(5_000), new Uint8Array(5_000));
    assert.deepEqual([half.key.buffer.byteLength, half.value.buffer.byteLength], [5_000, 5_000]);
  });
});

it('answers that etcd writes are read without the generated code', () => {
  const header = { clusterId: 1n << 63n, memberId: (1n << 64n) - 1n, revision: 1n << 40n, raftTerm: 127n };
  const kv = { key: Buffer.from('k'), value: new Uint8Array(300), lease: 1n << 62n, version: 1000n };
  const kvs = [
    GeneratedKeyValue.fromPartial(kv),
    GeneratedKeyValue.fromPartial({ key: kv.key, modRevision: 9n }),
  ];
  const answers = [
    { type: RangeResponse, ours: RangeInOrder, message: { header, kvs, more: true, count: 300n } },
    { type: RangeResponse, ours: RangeInOrder, message: { header, kvs: [], more: false, count: 0n } },
    { type: PutResponse, ours: PutInOrder, message: { header, prevKv: undefined } },
  ] as const;
  for (const { type, ours, message } of answers) {
    const reader = new MessageReader(type.encode(message as never).finish());
    const { decode } = type;
    type.decode = () => assert.fail('decoded by the generated code');
    try {
      assert.deepEqual(structuredClone(ours.decode(reader)), structuredClone(message));
    } finally {
      type.decode = decode;
    }
  }
});

describe('the bigints of numbers', () => {
  const alike = [1, 127, 2048, 2 ** 31, 2 ** 32, 2 ** 49 - 2048].flatMap((number) => [number, number + 2048]);

  it('are right where many numbers share a place', () => {
    for (let round = 0; round < 4; round++) {
      for (const number of alike) assert.equal(toBigInt(number), BigInt(number));
      // Twice in a row, once the other way round.
      for (const number of [...alike].reverse()) {
        assert.equal(toBigInt(number), BigInt(number));
        assert.equal(toBigInt(0), 0n);
        assert.equal(toBigInt(number), BigInt(number));
      }
    }
  });

  it('are made once for a range that is read again and again', () => {
    const revisions = Array.from({ length: 1000 }, (_, i) => 5_000_000 + 2 * i);
    const readings = 50;
    const held = Array.from({ length: readings * revisions.length }, () => 0n);
    const hold = (): void => {
      let at = 0;
      for (let i = 0; i < readings; i++) for (const revision of revisions) held[at++] = toBigInt(revision);
    };
    hold();
    hold();
    const heldBytes = (): number => {
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    held.fill(0n);
    const before = heldBytes();
    hold();
    const grown = heldBytes() - before;
    assert.ok(grown < 8 * held.length, `${grown} bytes for ${held.length} bigints`);
  });
});
