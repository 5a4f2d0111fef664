// The framing of what crosses into the native addon: its two halves against each other, and against bytes that are
// wrong. The other half's tests are in crates/etcd-transport/tests/framing.rs, on the same golden files.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { randomFrom } from '@quiesce/test-services';
import { EtcdError, InvalidArgumentError, type Metadata, StatusCode } from '../src/errors.js';
import { CommandBatch, CompletionBatch, type CompletionHandler } from '../src/transport/native/frames.js';
import { nativeTransport, nativeUnavailable } from '../src/transport/native/native.js';
import { eventually } from './support/eventually.js';
import { startHttp2Peer } from './support/scripted-http2.js';

const golden = (name: string): URL =>
  new URL(`../../../../crates/etcd-transport/tests/framing/${name}.hex`, import.meta.url);

function readGolden(name: string): Buffer {
  return Buffer.from(readFileSync(golden(name), 'utf8').replaceAll(/\s/g, ''), 'hex');
}

/** One of each command, as crates/etcd-transport/tests/framing.rs expects them. */
function allCommands(): Buffer {
  const long: number[] = [];
  const batch = new CommandBatch((message) => long.push(message.length));
  batch.unary(1, 250, '/etcdserverpb.KV/Range', undefined, Buffer.from('hello'));
  batch.unary(0xffffffff, 0, '/p.S/M', { Token: 'abc', other: 'é' }, new Uint8Array());
  batch.openStream(2, 0xffffffff, '/etcdserverpb.Watch/Watch', { token: '' });
  batch.send(2, new Uint8Array(300).fill(7));
  batch.send(2, new Uint8Array(100_000));
  batch.credit(2, 8);
  batch.closeSend(2);
  batch.unary(3, 1, '/p.S/M', { 'bad name': 'x' }, Buffer.from('refused'));
  batch.cancel(2);
  assert.deepEqual([batch.opened, long, batch.wholeLength - batch.length], [4, [100_000], 100_000]);
  return Buffer.from(batch.buffer.subarray(0, batch.length));
}

type Read = readonly unknown[];

function read(frames: Buffer): Read[] {
  let long = 0;
  const takeLong = (into: Uint8Array): void => {
    if (++long > 2 || into.length !== long * 100_000) throw new RangeError('that is not in the batch');
    into.fill(0);
  };
  const seen: Read[] = [];
  const copy = (metadata: Metadata): object => ({ ...metadata });
  const handler: CompletionHandler = {
    unaryOk: (id, headers, trailers, message) =>
      seen.push(['unaryOk', id, copy(headers), copy(trailers), Buffer.from(message).toString()]),
    headers: (id, headers) => seen.push(['headers', id, copy(headers)]),
    message: (id, message) => seen.push(['message', id, message.length]),
    sent: (id) => seen.push(['sent', id]),
    end: (id, code, sent, details, trailers) => seen.push(['end', id, code, sent, details, copy(trailers)]),
    broken: (details) => seen.push(['broken', details]),
  };
  // A batch's first byte is no frame's.
  const batch = new CompletionBatch(Buffer.concat([Buffer.of(0), frames]), takeLong);
  while (!batch.isRead) batch.read(2, handler);
  return seen;
}

describe('framing', () => {
  test('writes the commands that the addon reads', () => {
    const written = allCommands();
    // After a change of the format: `UPDATE_GOLDEN=1 node --test packages/etcd/dist/test/framing.test.js`.
    if (process.env.UPDATE_GOLDEN) {
      writeFileSync(golden('commands'), `${written.toString('hex').replaceAll(/.{1,100}/g, '$&\n')}`);
    }
    assert.equal(written.toString('hex'), readGolden('commands').toString('hex'));
  });

  test('reads the completions that the addon writes', () => {
    assert.deepEqual(read(readGolden('completions')), [
      ['unaryOk', 1, { seen: ['abc'] }, { many: ['1', '2'] }, 'hello'],
      ['headers', 2, {}],
      ['message', 2, 300],
      ['message', 2, 100],
      ['message', 2, 100_000],
      ['unaryOk', 4, {}, {}, '\0'.repeat(200_000)],
      ['sent', 2],
      ['end', 2, 0, true, '', {}],
      ['end', 0xffffffff, 14, false, 'nicht möglich', { why: ['because'] }],
      ['broken', 'unreadable'],
    ]);
  });

  test('a batch that is cut off or changed is read or refused, without an end of it beyond its bytes', () => {
    const whole = readGolden('completions');
    for (let length = 0; length < whole.length; length++) {
      try {
        const seen = read(whole.subarray(0, length));
        assert.ok(seen.length < 10, `${length} bytes read as whole`);
      } catch (error) {
        assert.ok(error instanceof RangeError, `${length} bytes: ${error}`);
      }
    }
    const random = randomFrom(20261124);
    const endsIn = Date.now() + 10_000;
    for (let i = 0; i < 20_000 && Date.now() < endsIn; i++) {
      const changed = Buffer.concat([whole, whole]);
      for (let n = random(8); n >= 0; n--)
        changed[random(changed.length)] = random(4) === 0 ? 0xff : random(256);
      try {
        // Each frame has five bytes at least.
        assert.ok(read(changed.subarray(0, random(changed.length))).length <= changed.length / 5);
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        assert.match(String(error), /RangeError|ERR_OUT_OF_RANGE|ERR_BUFFER_OUT_OF_BOUNDS|unknown frame/);
      }
    }
  });

  test('calls with metadata fit wherever the buffer ends', () => {
    for (let size = 0; size < 300; size++) {
      const batch = new CommandBatch(() => assert.fail('that is not long'));
      const frame = 13 + '/p.S/M'.length + 2 + 'token'.length + 4 + 60 + 4 + 5 + size;
      for (let count = 1; count * frame < 140_000; count++) {
        batch.unary(count, 0, '/p.S/M', { token: 'x'.repeat(60) }, new Uint8Array(size));
        assert.equal(batch.length, count * frame);
      }
    }
  });

  test('a call that can not be written leaves the batch as it was', () => {
    const batch = new CommandBatch((message) => {
      throw new RangeError(`${message.length} bytes are too many`);
    });
    batch.cancel(1);
    const before = batch.length;
    const long = 'x'.repeat(70_000);
    assert.throws(() => batch.unary(2, 0, '/p.S/M', { [long]: 'x' }, new Uint8Array()), RangeError);
    assert.throws(() => batch.unary(2, 0, long, undefined, new Uint8Array()), RangeError);
    assert.throws(() => batch.unary(2, 0, '/p.S/M', undefined, new Uint8Array(100_000)), RangeError);
    assert.equal(batch.length, before);
    assert.equal(batch.opened, 0);
  });

  test('a call that can not be written is refused, and others of its turn are made', {
    skip: nativeUnavailable()?.message ?? false,
  }, async () => {
    // Nobody listens there, so a call that was made is UNAVAILABLE.
    const transport = nativeTransport({ endpoint: 'http://127.0.0.1:1' });
    const many = Object.fromEntries(Array.from({ length: 40_000 }, (_, i) => [`h${i}`, 'x']));
    const [first, long, crowd, last] = await Promise.allSettled([
      transport.unary('/p.S/M', new Uint8Array()),
      transport.unary('/p.S/M', new Uint8Array(), { metadata: { ['x'.repeat(70_000)]: 'x' } }),
      transport.unary('/p.S/M', new Uint8Array(), { metadata: many }),
      transport.unary('/p.S/M', new Uint8Array()),
    ]);
    await transport.close();
    for (const made of [first, last]) {
      assert.ok(made?.status === 'rejected' && made.reason instanceof EtcdError);
      assert.equal(made.reason.code, 14);
    }
    for (const refused of [long, crowd]) {
      assert.ok(refused?.status === 'rejected' && refused.reason instanceof InvalidArgumentError);
      assert.equal(refused.reason.sent, false);
    }
  });

  test('a batch that the addon can not read ends all calls, those too that it has not read, and the transport', {
    skip: nativeUnavailable()?.message ?? false,
  }, async ({ mock }) => {
    await using peer = await startHttp2Peer({});
    const transport = nativeTransport({ endpoint: peer.endpoint });
    const call = () => transport.unary('/p.S/M', new Uint8Array());
    const before = call();
    await eventually('the first call is under way', () => peer.open === 1);
    // No input makes such a batch: only an addon of another version would not read it.
    const spoilt = mock.method(CommandBatch.prototype, 'closeSend', function (this: CommandBatch) {
      this.credit(0, 0);
      this.buffer[this.length - 9] = 0xff;
    });
    const stream = transport.stream('/p.S/M');
    stream.closeSend();
    const after = call();
    const results = await Promise.allSettled([before, stream.receive(), after]);
    assert.equal(spoilt.mock.callCount(), 1);
    for (const result of [...results, ...(await Promise.allSettled([call()]))]) {
      assert.ok(result.status === 'rejected' && result.reason instanceof EtcdError, JSON.stringify(result));
      assert.equal(result.reason.code, StatusCode.INTERNAL);
      assert.match(result.reason.message, /differ in version/);
    }
    await eventually('the connection is gone', () => peer.open === 0);
    await transport.close();
  });
});
