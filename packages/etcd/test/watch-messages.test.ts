import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { type Random, randomFrom } from '@quiesce/test-services';
import { WatchResponse } from '../src/rpc/generated/etcdserverpb/rpc.js';
import { inBytes } from '../src/rpc/messages/mvccpb.js';
import type { WatchEvent } from '../src/watch/event.js';
import { WatchMessage } from '../src/watch/watch-message.js';

/** Of all lengths as varints. */
const randomNumber = (random: Random): bigint =>
  ((BigInt(random(2 ** 31)) << 32n) | BigInt(random(2 ** 32))) >> BigInt(random(64));

const randomBytes = (random: Random, longest: number): Uint8Array => {
  const fill = random(256);
  return new Uint8Array(random(longest + 1)).fill(fill);
};

function randomKeyValue(random: Random) {
  return {
    key: randomBytes(random, random(3) === 0 ? 300 : 20),
    value: randomBytes(random, random(20) === 0 ? 20_000 : random(3) === 0 ? 1_200 : 40),
    createRevision: randomNumber(random),
    modRevision: randomNumber(random),
    version: randomNumber(random) >> 20n,
    lease: random(3) === 0 ? randomNumber(random) : 0n,
  };
}

/** The fields of a response, each encoded, in etcd's order. */
function randomFields(random: Random): Uint8Array[] {
  const one = (fields: Partial<WatchResponse>): Uint8Array =>
    WatchResponse.encode(WatchResponse.fromPartial(fields)).finish();
  const header = {
    clusterId: randomNumber(random),
    memberId: randomNumber(random),
    revision: randomNumber(random),
    raftTerm: BigInt(random(300)),
  };
  const fields: Uint8Array[] = [];
  const maybe = (outOf: number, make: () => Partial<WatchResponse>): void => {
    if (random(outOf) > 0) fields.push(one(make()));
  };
  maybe(20, () => ({ header }));
  maybe(9, () => ({ watchId: random(5) === 0 ? -1n : BigInt(random(1_000)) }));
  if (random(4) === 0) maybe(2, () => ({ created: true }));
  if (random(9) === 0) {
    maybe(2, () => ({ canceled: true }));
    maybe(2, () => ({ compactRevision: randomNumber(random) }));
    maybe(2, () => ({ cancelReason: 'because' }));
  }
  if (random(3) === 0) maybe(2, () => ({ fragment: true }));
  for (let events = random(3) === 0 ? random(300) : random(3); events > 0; events--) {
    const kv = random(40) === 0 ? undefined : randomKeyValue(random);
    const prevKv = random(3) === 0 ? randomKeyValue(random) : undefined;
    fields.push(one({ events: [{ type: random(3) === 0 ? 1 : 0, kv, prevKv }] as never }));
  }
  if (random(20) === 0) fields.push(new BinaryWriter().tag(15, 2).bytes(randomBytes(random, 9)).finish());
  return fields;
}

/** In etcd's order, or with one field at another place. */
function inSomeOrder(random: Random, fields: Uint8Array[]): Buffer {
  if (random(4) === 0) fields.splice(random(fields.length), 0, ...fields.splice(random(fields.length), 1));
  return Buffer.concat(fields);
}

function withAnotherByte(random: Random, message: Buffer): Buffer {
  const changed = Buffer.from(message);
  changed[random(3) === 0 ? random(message.length) : random(Math.min(message.length, 80))] = random(256);
  return changed;
}

/** What it reads; `undefined` where the message can't be read, which is said. */
function readIfReadable(message: Uint8Array): object | undefined {
  try {
    return read(message);
  } catch (error) {
    assert.match((error as Error).message, /^INTERNAL: the answer to \S+Watch can't be read/);
    return undefined;
  }
}

function eventsOf(message: WatchMessage, from = 0n): WatchEvent[] {
  let events: WatchEvent[] | undefined;
  do events = message.events(from, inBytes, events);
  while (message.next());
  return events;
}

/** Reads all, as that of a stream does, so that what is left of one would show in the next. */
const message = new WatchMessage();

function read(bytes: Uint8Array): object {
  message.read(bytes);
  const { watchId, created, header, revision, cancellation } = message;
  const { canceled, cancelReason, compactRevision } = cancellation;
  const events = eventsOf(message, -(2n ** 63n));
  const { isContinued } = message;
  return { watchId, created, header, revision, canceled, cancelReason, compactRevision, isContinued, events };
}

/** The same by the generated code. */
function expected(bytes: Uint8Array): object {
  // Not a MessageReader, so that nothing is read in the short way.
  const { watchId, created, header, canceled, cancelReason, compactRevision, fragment, events } =
    WatchResponse.decode(new BinaryReader(bytes));
  return {
    watchId: Number(watchId),
    created,
    header,
    revision: header?.revision ?? 0n,
    canceled,
    cancelReason,
    compactRevision,
    isContinued: fragment,
    events: events.flatMap(({ type, kv, prevKv }) =>
      kv === undefined ? [] : [{ type: type === 1 ? 'delete' : 'put', kv, prevKv, revision: kv.modRevision }],
    ),
  };
}

const plain = (value: object): unknown => structuredClone(value);

test('a response of the stream has what the generated code reads, whole and cut off, in any order of its fields', () => {
  let large = 0;
  let failed = 0;
  for (let seed = 1; seed <= 800; seed++) {
    const random = randomFrom(seed);
    const whole = inSomeOrder(random, randomFields(random));
    large += whole.length > 64 * 1024 ? 1 : 0;
    assert.deepEqual(plain(read(whole)), plain(expected(whole)), `seed ${seed}`);
    if (whole.length === 0) continue;
    const cutOff = whole.subarray(0, random(whole.length));
    const rest = readIfReadable(cutOff);
    if (rest === undefined) failed += 1;
    else assert.deepEqual(plain(rest), plain(expected(cutOff)), `seed ${seed}, cut off at ${cutOff.length}`);
    readIfReadable(withAnotherByte(random, whole));
  }
  assert.ok(large > 30 && failed > 100, `${large} were large, ${failed} could not be read`);
});

test('a large response has parts, of which all but the last are continued, and leaves out what is not wanted', () => {
  const events = Array.from({ length: 2_000 }, (_, i) => ({
    type: 0,
    kv: {
      key: Buffer.from(`key ${i}`),
      value: new Uint8Array(100),
      createRevision: 1n,
      modRevision: BigInt(1 + Math.floor(i / 3)),
      version: 1n,
      lease: 0n,
    },
    prevKv: undefined,
  }));
  const encode = (fragment: boolean): Uint8Array =>
    WatchResponse.encode(
      WatchResponse.fromPartial({ header: { revision: 9n }, events: events as never, fragment }),
    ).finish();
  for (const fragment of [false, true]) {
    const bytes = encode(fragment);
    message.read(bytes);
    const continued: boolean[] = [];
    const sizes: number[] = [];
    let seen: WatchEvent[] = [];
    do {
      continued.push(message.isContinued);
      sizes.push(message.bytes);
      seen = message.events(300n, inBytes, seen);
    } while (message.next());
    assert.equal(continued.length, Math.ceil(bytes.length / (64 * 1024)));
    assert.deepEqual(continued, [...continued.slice(1).map(() => true), fragment]);
    assert.ok(
      sizes.slice(0, -1).every((size) => size >= 64 * 1024 && size < 65 * 1024),
      String(sizes),
    );
    assert.deepEqual(
      seen.map(({ kv }) => kv.keyText()),
      events.slice(3 * 299).map((_, i) => `key ${i + 3 * 299}`),
    );
  }
});

test('the header that is kept is a copy, which the next one overwrites', () => {
  const encoded = (revision: bigint): Buffer =>
    Buffer.from(
      WatchResponse.encode(WatchResponse.fromPartial({ header: { clusterId: 7n, revision } })).finish(),
    );
  const bytes = encoded(9n);
  message.read(bytes);
  const kept = message.copyHeader(undefined);
  assert.notEqual(kept.buffer, bytes.buffer);
  assert.equal(Buffer.compare(kept, bytes), 0);
  message.read(encoded(10n));
  assert.equal(message.copyHeader(kept), kept);
  assert.equal(Buffer.compare(kept, encoded(10n)), 0);
  message.read(encoded(1_000n));
  assert.equal(Buffer.compare(message.copyHeader(kept), encoded(1_000n)), 0);
});
