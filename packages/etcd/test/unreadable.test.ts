// Answers that aren't what the method answers with, as a broken proxy or a service that isn't etcd gives them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type EtcdServer, startEtcd } from '@quiesce/test-services';
import { connect, type EtcdClient, EtcdError, op, prefix, StatusCode } from '../src/index.js';
import { transports } from './support/transports.js';

/** Changes what a method answers. */
type Garble = (data: Buffer) => Buffer;

const nonsense: Garble = (data) => Buffer.concat([data.subarray(0, 5), Buffer.alloc(data.length - 5, 0xff)]);

/** Makes the field of a key, inside the first key of an answer, one that protobuf doesn't have. */
const brokenKey: Garble = (data) => {
  const changed = Buffer.from(data);
  const key = changed.indexOf('long/');
  if (key > 2) changed[key - 2] = 0x0f;
  return changed;
};

/** The message of an answer that begins with a header, as gRPC frames it, with this done to what follows the header. */
const afterHeader =
  (change: (rest: Buffer) => Buffer): Garble =>
  (data) => {
    const rest = 5 + 2 + (data[6] as number);
    const message = Buffer.concat([data.subarray(5, rest), change(data.subarray(rest))]);
    const length = Buffer.alloc(5);
    length.writeUInt32BE(message.length, 1);
    return Buffer.concat([length, message]);
  };

/** A byte that is the tag of no field. */
const noTag = afterHeader((rest) => Buffer.concat([Buffer.alloc(1), rest]));

/** The length of the first key in an answer to a range is one less than that of its fields. */
const shortKey = afterHeader((rest) => {
  const changed = Buffer.from(rest);
  changed[1] = (changed[1] as number) - 1;
  return changed;
});

/** Passes calls on to etcd, and changes the answers of some methods. */
class GarblingProxy implements AsyncDisposable {
  /** The methods whose answers are changed, by a part of their path. */
  garbled: RegExp | undefined;
  garble: Garble = nonsense;
  readonly #server = http2.createServer();
  readonly #etcd: http2.ClientHttp2Session;

  constructor(endpoint: string) {
    this.#etcd = http2.connect(endpoint);
    this.#server.on('stream', (stream, headers) => this.#pass(stream, headers));
    this.#server.on('session', (session) => session.on('error', () => {}));
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #pass(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
    const path = headers[':path'] as string;
    const call = this.#etcd.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.on('close', () => call.close(http2.constants.NGHTTP2_CANCEL));
    call.on('error', () => {});
    stream.pipe(call);
    call.on('response', () => {
      let trailers: http2.OutgoingHttpHeaders = { 'grpc-status': '0' };
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      call.on('trailers', (came) => {
        trailers = {
          'grpc-status': String(came['grpc-status']),
          'grpc-message': String(came['grpc-message'] ?? ''),
        };
      });
      stream.on('wantTrailers', () => stream.sendTrailers(trailers));
      call.on('data', (data: Buffer) => stream.write(this.garbled?.test(path) ? this.garble(data) : data));
      call.on('end', () => stream.end());
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#etcd.destroy();
    this.#server.close();
  }
}

const is =
  (method: RegExp, mayBeApplied: boolean) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof EtcdError, String(error));
    assert.equal(error.code, StatusCode.INTERNAL);
    assert.match(error.method ?? '', method);
    assert.match(error.message, /INTERNAL: the answer to \S+ can't be read: .*; is the endpoint etcd/);
    assert.equal(error.sent, true);
    assert.equal(error.mayBeApplied, mayBeApplied);
    assert.ok(error.cause instanceof Error);
    return true;
  };

for (const { name, skip } of transports) {
  describe(`an answer that can't be read, ${name}`, { skip }, () => {
    let etcd: EtcdServer;
    let proxy: GarblingProxy;
    let client: EtcdClient;

    before(async () => {
      etcd = await startEtcd();
      proxy = new GarblingProxy(etcd.endpoint);
      client = await connect({ endpoints: await proxy.listen(), transport: name });
    });
    after(async () => {
      await client.close();
      await proxy[Symbol.asyncDispose]();
      await etcd.stop();
    });

    const during = async (garbled: RegExp, body: () => Promise<void>, garble = nonsense): Promise<void> => {
      Object.assign(proxy, { garbled, garble });
      try {
        await body();
      } finally {
        proxy.garbled = undefined;
      }
    };

    test('of a read changes nothing', () =>
      during(/KV/, async () => {
        await assert.rejects(client.get('k'), is(/Range/, false));
        await assert.rejects(client.range(prefix('')), is(/Range/, false));
      }));

    test('that has other bytes than its fields is no shorter answer', async () => {
      await client.put('short/1', 'v');
      await client.put('short/2', 'v');
      const gets = [() => client.get('short/1'), () => client.range(prefix('short/'))];
      for (const [garble, calls] of [
        [noTag, [...gets, () => client.cluster.memberList()]],
        [shortKey, gets],
      ] as const) {
        for (const call of calls) {
          await during(/KV|Cluster/, () => assert.rejects(call(), is(/Range|MemberList/, false)), garble);
        }
      }
    });

    test('of a write may be applied', async () => {
      await during(/KV/, async () => {
        await assert.rejects(client.put('written', 'yes'), is(/Put/, true));
        await assert.rejects(client.delete('k'), is(/DeleteRange/, true));
        await assert.rejects(client.txn({ success: [op.put('k', 'v')] }), is(/Txn/, true));
      });
      assert.equal((await client.get('written'))?.text(), 'yes');
    });

    test('of a grant may be applied', () =>
      during(/Lease/, () => assert.rejects(client.lease.grant(5), is(/LeaseGrant/, true))));

    test('in a long range is reported when it is read', async () => {
      await client.txn({
        success: Array.from({ length: 100 }, (_, i) => op.put(`long/${i}`, 'x'.repeat(400))),
      });
      await during(
        /KV/,
        async () => {
          await assert.rejects(
            client.range(prefix('long/')).then(({ kvs }) => kvs.length),
            is(/Range/, false),
          );
          await assert.rejects(
            async () => {
              for await (const _kv of client.iterate(prefix('long/')));
            },
            is(/Range/, false),
          );
        },
        brokenKey,
      );
    });

    for (const [how, garble] of Object.entries({ nonsense, noTag })) {
      test(`opens a watch again, as a lost connection does: ${how}`, async () => {
        await using watch = client.watch('watched');
        await watch.ready;
        await during(
          /Watch/,
          async () => {
            const disconnected = once(watch, 'disconnected');
            await client.put('watched', 'during');
            const [reason] = await disconnected;
            is(/Watch/, false)(reason);
          },
          garble,
        );
        const event = await watch[Symbol.asyncIterator]().next();
        assert.equal(event.value?.kv.text(), 'during');
      });
    }

    test('ends a snapshot', () =>
      during(/Snapshot/, () =>
        assert.rejects(
          async () => {
            for await (const _part of client.maintenance.snapshot());
          },
          is(/Snapshot/, false),
        ),
      ));

    test('fails the renewal of a lease, which is kept', async () => {
      const { id } = await client.lease.grant(60);
      await during(/LeaseKeepAlive/, () =>
        assert.rejects(client.lease.keepAliveOnce(id, { timeoutMs: 2_000 })),
      );
      assert.equal((await client.lease.keepAliveOnce(id)).ttlSeconds, 60);
    });

    test('fails connect() as no etcd', async () => {
      await using lying = new GarblingProxy(etcd.endpoint);
      lying.garbled = /./;
      const endpoint = await lying.listen();
      await assert.rejects(
        connect({ endpoints: endpoint, transport: name, timeoutMs: 1_000 }),
        (error) => error instanceof EtcdError && /can't be read/.test(error.message),
      );
    });
  });
}
