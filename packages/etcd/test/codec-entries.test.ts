// What an entry of a view with codecs holds and looks like, decoded straight from a message or from bytes.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { bytes, type Codec, CodecError, json, type TypedKeyValue, utf8 } from '../src/index.js';
import { CodecMapping } from '../src/kv/codec.js';
import { rangeResult } from '../src/kv/kv.js';
import { PrefixMapping } from '../src/kv/mapping.js';
import { RangeResponse, WatchResponse } from '../src/rpc/generated/etcdserverpb/rpc.js';
import { KeyValue as GeneratedKeyValue } from '../src/rpc/generated/mvccpb/kv.js';
import { KeyValue } from '../src/rpc/messages/key-value.js';
import { MessageReader } from '../src/rpc/messages/message-reader.js';
import { RangeMessage } from '../src/rpc/messages/range-response.js';
import type { WatchEvent } from '../src/watch/event.js';
import { WatchMessage } from '../src/watch/watch-message.js';

interface Stored {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly version?: bigint;
}

const stored = (value: Uint8Array | string, key: Uint8Array | string = 'ns/key'): Stored => ({
  key: new Uint8Array(Buffer.from(key as string)),
  value: new Uint8Array(Buffer.from(value as string)),
});

const complete = ({ key, value, version = 1n }: Stored) => ({
  ...{ key, value, version, lease: 5n },
  createRevision: version === 0n ? 0n : 300n,
  modRevision: 70_000n,
});

/** An answer of these bytes is decoded at once. */
const among = (message: Uint8Array): Uint8Array => {
  const all = new Uint8Array(3 * message.length);
  all.set(message, message.length);
  return all.subarray(message.length, 2 * message.length);
};

const messageOf = (kvs: readonly Stored[]): Uint8Array =>
  new Uint8Array(
    RangeResponse.encode(RangeResponse.fromPartial({ kvs: kvs.map(complete), count: 1n })).finish(),
  );

function eventsOf<Value>(
  mapping: Mapping<Value>,
  kv: Stored,
): readonly WatchEvent<TypedKeyValue<string, Value>>[] {
  const event = { type: kv.version === 0n ? 1 : 0, kv: complete(kv), prevKv: complete(kv) } as const;
  const message = new WatchMessage();
  message.read(WatchResponse.encode(WatchResponse.fromPartial({ watchId: 1n, events: [event] })).finish());
  return message.events(0n, mapping, undefined);
}

type Mapping<Value> = CodecMapping<string, never, string, Value>;
const below = (prefix: string) => new PrefixMapping(Buffer.from(prefix));
const mappingOf = <Value>(value: Codec<never, Value>, prefix = 'ns/'): Mapping<Value> =>
  new CodecMapping(below(prefix), utf8, value);

/** Every way in which a key gets from a message to a caller. */
const ways: Record<string, <Value>(mapping: Mapping<Value>, kv: Stored) => TypedKeyValue<string, Value>> = {
  'a key as bytes': (mapping, kv) => {
    const { key, value, createRevision, modRevision, version, lease } = complete(kv);
    return mapping.entry(new KeyValue(key, value, createRevision, modRevision, version, lease));
  },
  'a short answer': (mapping, kv) =>
    only(rangeResult(RangeMessage.decode(new MessageReader(among(messageOf([kv])))), mapping).kvs),
  '`kvs` of a long answer': (mapping, kv) => {
    const message = messageOf([kv, stored('x'.repeat(20_000))]);
    return only(rangeResult(RangeMessage.decode(new MessageReader(message)), mapping).kvs.slice(0, 1));
  },
  'a loop over a long answer': (mapping, kv) => {
    const message = messageOf([stored('x'.repeat(20_000)), kv]);
    return only([...rangeResult(RangeMessage.decode(new MessageReader(message)), mapping)].slice(1));
  },
  'an event': (mapping, kv) => only(eventsOf(mapping, kv)).kv,
  'the key before an event': (mapping, kv) => {
    const { prevKv } = only(eventsOf(mapping, kv));
    assert.ok(prevKv !== undefined);
    return prevKv;
  },
};

function only<T>(list: readonly T[]): T {
  assert.equal(list.length, 1);
  return list[0] as T;
}

const texts: Record<string, string> = {
  'no text': '',
  'plain text': 'plain',
  'other letters': 'ä€😀',
  'a byte order mark': '\ufeffmark',
  'U+FFFD itself': 'a \ufffd b',
  'a zero byte': '\0',
  'a value of 1,100 bytes': 'ab'.repeat(550),
  'a long value of other letters': 'ä€😀'.repeat(4000),
};

for (const [name, entryOf] of Object.entries(ways)) {
  describe(`an entry from ${name}`, () => {
    for (const [what, text] of Object.entries(texts)) {
      it(`is read as text and as JSON, and keeps its bytes: ${what}`, () => {
        const kv = stored(text, `ns/${text.slice(0, 100)}`);
        const entry = entryOf(mappingOf(utf8), kv);
        assert.equal(entry.key, text.slice(0, 100));
        assert.equal(entry.value, text);
        const { key, value, ...numbers } = entry.raw;
        assert.deepEqual(numbers, { createRevision: 300n, modRevision: 70_000n, version: 1n, lease: 5n });
        const { createRevision, modRevision, version, lease } = entry;
        assert.deepEqual({ createRevision, modRevision, version, lease }, numbers);
        assert.deepEqual([key, value], [kv.key.subarray(3), kv.value]);
        assert.equal(entry.raw, entry.raw);
        assert.equal(entry.raw.text(), text);

        const asJson = stored(` ${JSON.stringify({ text })}`);
        const parsed = entryOf(mappingOf(json<{ text: string }>()), asJson);
        assert.deepEqual(parsed.value, { text });
        assert.equal(parsed.value, parsed.value, 'is decoded once');
        assert.deepEqual(parsed.raw.value, asJson.value, 'as it was written, spaces too');
      });
    }

    it('fails where it is read: bytes that are not UTF-8, what is no JSON, a deleted key', () => {
      for (const bad of [
        Uint8Array.of(65, 0xff, 66),
        Uint8Array.of(0xe2, 0x82),
        Uint8Array.of(0xed, 0xa0, 0x80),
      ]) {
        const badValue = entryOf(mappingOf(utf8), stored(bad));
        assert.equal(badValue.key, 'key');
        for (let time = 0; time < 2; time++) assert.throws(() => badValue.value, isUndecodable('value'));
        assert.deepEqual(badValue.raw.value, bad);
        const badKey = entryOf(mappingOf(utf8), stored('value', Buffer.concat([Buffer.from('ns/'), bad])));
        assert.equal(badKey.value, 'value');
        assert.throws(() => badKey.key, isUndecodable('key'));
        assert.deepEqual(badKey.raw.key, bad);
      }
      for (const text of ['', 'no JSON', '{"a":']) {
        const noJson = entryOf(mappingOf(json()), stored(text));
        assert.equal(noJson.key, 'key');
        assert.throws(() => noJson.value, isUndecodable('value'));
        assert.equal(noJson.raw.text(), text);
        assert.equal(JSON.parse(JSON.stringify(noJson)).value, text);
      }
      const deleted = entryOf(mappingOf(utf8), { ...stored(''), version: 0n });
      assert.equal(deleted.key, 'key');
      assert.equal(deleted.version, 0n);
      assert.throws(() => deleted.value, /"key" was deleted, and has no value/);
      structuredClone(deleted);
    });

    it('is copied and compared by what it holds', () => {
      const of = (codec: Codec<never, unknown>, value: string) => entryOf(mappingOf(codec), stored(value));
      const fields = { createRevision: 300n, modRevision: 70_000n, version: 1n, lease: 5n };
      for (const [codec, value] of [
        [utf8, '[7]'],
        [json(), [7]],
      ] as const) {
        const entry = of(codec, '[7]');
        const seen = { key: 'key', value, ...fields };
        assert.deepEqual({ ...entry }, seen);
        assert.deepEqual(structuredClone(entry), seen);
        assert.deepEqual(entry, of(codec, '[7]'));
        assert.notDeepEqual(entry, of(codec, '[8]'));
        assert.equal(inspect(entry), `TypedKeyValue ${inspect(seen)}`);
        const numbers = Object.fromEntries(Object.entries(fields).map(([field, n]) => [field, String(n)]));
        assert.deepEqual(JSON.parse(JSON.stringify(entry)), { key: 'key', value, ...numbers });
      }
      const deleted = entryOf(mappingOf(utf8), { ...stored(''), version: 0n });
      for (const entry of [deleted, of(json(), ''), of(json(), 'no JSON')]) {
        const { key, createRevision, modRevision, version, lease, raw } = entry;
        const seen = { key, createRevision, modRevision, version, lease, raw };
        assert.equal(key, 'key');
        assert.equal(modRevision, 70_000n);
        assert.deepEqual({ ...entry }, seen);
        assert.deepEqual(structuredClone(entry), { ...seen, raw: { ...raw } });
      }
      assert.notDeepEqual(of(json(), 'no JSON'), of(json(), 'nothing'));
      const schema = json((value) => value);
      assert.deepEqual({ ...of(schema, '7') }, { raw: of(schema, '7').raw });
      assert.deepEqual(of(schema, '7'), of(schema, '7'));
      assert.notDeepEqual(of(schema, '7'), of(schema, '8'));
    });

    it("calls a program's codec only when it is read, with bytes that the codec may keep", () => {
      const taken: Uint8Array[] = [];
      const own: Codec<never, number> = { encode: (value) => value, decode: (given) => taken.push(given) };
      const entry = entryOf(mappingOf(own), stored('mine'));
      assert.equal(entry.key, 'key');
      assert.equal(taken.length, 0);
      assert.deepEqual([entry.value, entry.value, taken.length], [1, 1, 1]);
      assert.deepEqual(taken, [new Uint8Array(Buffer.from('mine'))]);
      let calls = 0;
      const checked = entryOf(mappingOf(json((value) => [value, ++calls])), stored('7'));
      assert.equal(calls, 0);
      assert.deepEqual(checked.value, [7, 1]);
      const copied = entryOf(mappingOf({ ...utf8, decode: () => 'of its own' }), stored('other'));
      assert.equal(copied.value, 'of its own');
    });
  });
}

it('keeps none of the bytes that it was decoded from', () => {
  const given = [stored('[1]').key, stored('[1]').value] as const;
  const kv = new KeyValue(...given, 1n, 1n, 1n, 0n);
  const entries = [mappingOf(utf8).entry(kv), mappingOf(json()).entry(kv)];
  for (const part of given) part.fill(0);
  for (const { raw } of entries) assert.deepEqual([raw.keyText(), raw.text()], ['key', '[1]']);
});

it('is decoded straight from the message where the client can', () => {
  class Copying extends MessageReader {
    copies = 0;
    override copied(start: number, end: number): Uint8Array {
      this.copies += 1;
      return super.copied(start, end);
    }
  }
  const copiesFor = (codec: Codec<never, unknown>, text: string): number => {
    const reader = new Copying(GeneratedKeyValue.encode(complete(stored(text))).finish());
    const entry = reader.keyValue(reader.len, mappingOf(codec));
    assert.equal(entry?.key, 'key');
    assert.equal(entry.raw.text(), text);
    return reader.copies;
  };
  assert.equal(copiesFor(utf8, 'ä'.repeat(4000)), 0);
  assert.equal(copiesFor(json(), '[1]'), 0);
  assert.equal(copiesFor(json(), 'no JSON'), 2);
  assert.equal(copiesFor(bytes, 'bytes'), 2);
});

describe('the text of a key and of a value as bytes', () => {
  const kvOf = (given: Uint8Array) => new KeyValue(given, given, 1n, 1n, 1n, 0n);

  it('is what TextDecoder makes of them, with byte order marks', () => {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    for (const given of [
      ...Object.values(texts).map((text) => new Uint8Array(Buffer.from(text))),
      ...[
        [65, 0xff, 66],
        [0xe2, 0x82],
        [0xed, 0xa0, 0x80],
        [0xf4, 0x90, 0x80, 0x80],
        [0xc0, 0x80, 65],
      ].map((bad) => Uint8Array.from(bad)),
    ]) {
      // A part of a buffer with others.
      const part = among(given);
      assert.equal(kvOf(part).text(), decoder.decode(given));
      assert.equal(kvOf(part).keyText(), decoder.decode(given));
    }
    assert.deepEqual(kvOf(new Uint8Array(Buffer.from('\ufeff{"a":1}'))).json(), { a: 1 });
  });
});

function isUndecodable(what: 'key' | 'value') {
  return (error: unknown): boolean => {
    assert.ok(error instanceof CodecError);
    assert.match(
      error.message,
      new RegExp(`^the ${what} of ".*" can't be decoded: .*; its bytes are in raw\\.${what}`),
    );
    return true;
  };
}
