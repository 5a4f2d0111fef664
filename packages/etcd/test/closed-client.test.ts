// What a closed client, and a call that is over, leave behind: nothing that the garbage collector couldn't have.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { EtcdServer } from '@quiesce/test-services';
import { noMetadata } from '../src/errors.js';
import type { Balancer } from '../src/rpc/balancer.js';
import { readCall } from '../src/rpc/call.js';
import { KVService } from '../src/rpc/generated/etcdserverpb/methods.js';
import { RangeRequest } from '../src/rpc/generated/etcdserverpb/rpc.js';
import { Rpc } from '../src/rpc/rpc.js';
import { UnaryCall } from '../src/transport/call-state.js';
import type { UnaryResponse } from '../src/transport/transport.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { eventually } from './support/eventually.js';
import { collectGarbage } from './support/garbage.js';
import { answer, type Http2Peer, startHttp2Peer } from './support/scripted-http2.js';
import { transports } from './support/transports.js';

overEachTransport('a closed client', (connect) => {
  let server: EtcdServer;
  withEtcd(connect, (given) => {
    server = given.server;
  });

  /** A client that is closed in the middle of its work. */
  async function usedAndClosed(): Promise<WeakRef<object>> {
    const etcd = await connect(server.endpoint);
    const { id } = await etcd.lease.grant(30);
    const keepAlive = await etcd.lease.keepAlive(id);
    const watch = etcd.watch('key');
    const watching = (async () => {
      for await (const _ of watch);
    })();
    await watch.ready;
    await etcd.put('key', 'value');
    const calls = [etcd.get('key'), etcd.range('key'), etcd.put('key', new Uint8Array(100_000)), watching];
    await etcd.close();
    await Promise.allSettled(calls);
    assert.ok(keepAlive.lost.aborted);
    return new WeakRef(etcd);
  }

  test('is garbage, with what it was busy with', () => areGarbage(usedAndClosed));
});

for (const { name, make, skip } of transports) {
  describe(`a closed transport, ${name}`, { skip }, () => {
    let peer: Http2Peer;
    before(async () => {
      peer = await startHttp2Peer({
        request: (connection, stream) => connection.write(answer(stream, 'ok')),
      });
    });
    after(() => peer[Symbol.asyncDispose]());

    test('is garbage, though it had calls in flight', () =>
      areGarbage(async () => {
        const transport = make({ endpoint: peer.endpoint });
        await transport.unary('/p.S/M', new Uint8Array());
        const calls = [
          transport.unary('/p.S/M', new Uint8Array()),
          transport.unary('/p.S/M', new Uint8Array(100_000)),
          transport.stream('/p.S/M').receive(),
        ];
        await transport.close();
        await Promise.allSettled(calls);
        return new WeakRef(transport);
      }));
  });
}

describe('a call that is over', () => {
  test('holds neither its answer nor who waited for it', async () => {
    // As in the old table of a Map that has grown.
    const calls: UnaryCall[] = [];
    await areGarbage(async () => {
      const response: UnaryResponse = {
        message: new Uint8Array(100),
        headers: noMetadata,
        trailers: noMetadata,
      };
      const answered = new Promise<UnaryResponse>((resolve, reject) => {
        const call = new UnaryCall('/p.S/M', resolve, reject);
        calls.push(call);
        call.answer(response);
      });
      assert.equal(await answered, response);
      return new WeakRef(response);
    });
    assert.equal(calls.length, 20);
  });

  test("has taken its answer out of the transport's promise", async () => {
    const message = Uint8Array.of(0x20, 7);
    const response: UnaryResponse = { message, headers: noMetadata, trailers: noMetadata };
    const endpoint = { address: 'somewhere', state: 'ready', transport: { unary: async () => response } };
    const balancer: Partial<Balancer> = {
      mustFind: false,
      pick: () => endpoint as unknown as ReturnType<Balancer['pick']>,
      check: () => undefined,
    };
    const rpc = new Rpc({
      balancer: balancer as Balancer,
      balancerOf: () => assert.fail(),
      parseEndpoints: () => assert.fail(),
      timeoutMs: 1_000,
      attemptTimeoutMs: 1_000,
      maxRequestBytes: 1_000,
      connectTimeoutMs: 1_000,
      maxAttempts: 1,
      backoff: { firstMs: 1, longestMs: 1 },
    });
    const count = readCall(KVService.range, (answer) => answer.count);
    assert.equal(await rpc.call(count, () => RangeRequest.fromPartial({}), {}), 7n);
    assert.equal(response.message.length, 0);
  });
});

async function areGarbage(make: () => Promise<WeakRef<object>>): Promise<void> {
  const made: WeakRef<object>[] = [];
  for (let i = 0; i < 20; i++) made.push(await make());
  // A host may find a few on its stack, or in a slot that it hasn't used again.
  await eventually('nearly all are collected', () => {
    collectGarbage();
    return made.filter((each) => each.deref() !== undefined).length <= 3;
  });
}
