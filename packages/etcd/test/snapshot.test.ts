// Snapshots that a server spoils, and how they are cut into messages: faults that a real etcd can't be made to have.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Snapshot, type SnapshotSource, writeSnapshot } from '../src/admin/snapshot.js';
import { CorruptSnapshotError, StatusCode, UnavailableError } from '../src/index.js';
import { SnapshotResponse } from '../src/rpc/generated/etcdserverpb/rpc.js';
import type { Transport } from '../src/transport/transport.js';
import { busyFor } from './support/busy-for.js';
import { type StreamScript, startScriptedServer } from './support/scripted-server.js';
import { temporaryDirectory } from './support/temporary-directory.js';
import { transports } from './support/transports.js';

const database = randomBytes(100_000);
const digest = createHash('sha256').update(database).digest();
const whole = Buffer.concat([database, digest]);

function response(fields: Parameters<typeof SnapshotResponse.fromPartial>[0]): Buffer {
  return Buffer.from(SnapshotResponse.encode(SnapshotResponse.fromPartial(fields)).finish());
}

/** Sends bytes in blobs of these sizes and the rest in one, as etcd would: what remains is stated without the hash. */
function send(bytes: Uint8Array, sizes: readonly number[], total = database.length): StreamScript {
  return (call) => {
    call.on('data', () => {
      let sent = 0;
      for (const size of [...sizes, bytes.length]) {
        const blob = bytes.subarray(sent, sent + size);
        if (sent > 0 && blob.length === 0) break;
        sent += blob.length;
        const remainingBytes = BigInt(Math.max(0, total - sent));
        call.write(response({ remainingBytes, blob, version: '3.6.0' }));
      }
      call.end();
    });
  };
}

/** From a transport, without another attempt. */
function once(transport: Transport): SnapshotSource {
  return {
    open: () => transport.stream('/test.Script/Snapshot'),
    mayReopen: async () => false,
    inWords: (_stream, error) => error,
  };
}

for (const { name, skip, make } of transports) {
  describe(`snapshot, ${name}`, { skip }, () => {
    /** Runs a test's body with a snapshot from a server with this script. */
    async function withSnapshot(
      script: StreamScript,
      body: (snapshot: Snapshot) => Promise<void>,
    ): Promise<void> {
      await using server = await startScriptedServer({ stream: { Snapshot: script } });
      const transport = make({ endpoint: server.endpoint });
      try {
        await body(new Snapshot(once(transport)));
      } finally {
        await transport.close();
      }
    }

    test('its chunks may be given away, and other calls of that time are answered all the same', async () => {
      await using server = await startScriptedServer({
        stream: {
          Snapshot: send(
            whole,
            Array.from({ length: 50 }, () => 1_000),
          ),
        },
        unary: { echo: (call, answer) => answer(null, call.request) },
      });
      const transport = make({ endpoint: server.endpoint });
      const snapshot = new Snapshot(once(transport));
      const calls = Array.from({ length: 200 }, (_, i) =>
        transport.unary('/test.Script/echo', Buffer.from(`${i}`)),
      );
      let bytes = 0;
      for await (const chunk of snapshot) {
        bytes += structuredClone(chunk, { transfer: [chunk.buffer as ArrayBuffer] }).length;
        assert.equal(chunk.length, 0, 'it was given away');
        // As a slow consumer has it: what has come is taken in small parts.
        busyFor(5);
      }
      const answers = await Promise.all(calls);
      assert.deepEqual(
        answers.map(({ message }) => Buffer.from(message).toString()),
        calls.map((_, i) => `${i}`),
      );
      assert.equal(bytes, whole.length);
      assert.equal(snapshot.info?.bytes, whole.length);
      await transport.close();
    });

    async function read(snapshot: Snapshot): Promise<Buffer> {
      const chunks: Uint8Array[] = [];
      for await (const chunk of snapshot) chunks.push(chunk);
      return Buffer.concat(chunks);
    }

    const cuts: [string, number[]][] = [
      ['with the hash in a message of its own', [32_768, 32_768, 32_768, 1_696]],
      ['in one message', []],
      ['with the hash cut in two', [100_005]],
      ['in messages shorter than the hash', Array.from({ length: 40 }, () => 7)],
      ['with a last message of one byte', [100_031]],
    ];
    for (const [what, sizes] of cuts) {
      test(`comes ${what}`, () =>
        withSnapshot(send(whole, sizes), async (snapshot) => {
          assert.deepEqual(await read(snapshot), whole);
          assert.deepEqual(snapshot.info, {
            bytes: whole.length,
            sha256: digest.toString('hex'),
            version: '3.6.0',
          });
        }));
    }

    const flipped = Buffer.from(whole);
    flipped[50_000] = (flipped[50_000] as number) ^ 1;
    const spoiled: [string, StreamScript, RegExp][] = [
      ['with one bit flipped', send(flipped, [32_768]), /the SHA-256 of the snapshot is/],
      ['without its hash', send(database, [32_768]), /the SHA-256 of the snapshot is/],
      ['cut short', send(whole.subarray(0, 60_000), [32_768]), /ended after 60000 bytes, 40000 short/],
      ['that is empty', send(new Uint8Array(0), [], 0), /ended after 0 bytes/],
    ];
    for (const [what, script, message] of spoiled) {
      test(`${what} is refused`, () =>
        withSnapshot(script, async (snapshot) => {
          await assert.rejects(read(snapshot), (error: unknown) => {
            assert.ok(error instanceof CorruptSnapshotError);
            assert.equal(error.code, StatusCode.DATA_LOSS);
            assert.match(error.message, message);
            return true;
          });
          assert.equal(snapshot.info, undefined);
        }));

      test(`${what} leaves no file`, () =>
        withSnapshot(script, async (snapshot) => {
          const dir = temporaryDirectory();
          await assert.rejects(
            writeSnapshot(join(dir, 'snapshot.db'), () => snapshot),
            CorruptSnapshotError,
          );
          assert.deepEqual(readdirSync(dir), []);
        }));
    }

    test('is written as it comes', () =>
      withSnapshot(send(whole, [7, 32_768]), async (snapshot) => {
        const dir = temporaryDirectory();
        await writeSnapshot(join(dir, 'snapshot.db'), () => snapshot);
        assert.deepEqual(readFileSync(join(dir, 'snapshot.db')), whole);
      }));

    test('that the server breaks off fails with its status', () =>
      withSnapshot(
        (call) => {
          call.on('data', () => {
            call.write(response({ blob: whole }));
            call.emit('error', { code: StatusCode.UNAVAILABLE, details: 'going away' });
          });
        },
        async (snapshot) => {
          await assert.rejects(read(snapshot), UnavailableError);
          assert.equal(snapshot.info, undefined);
        },
      ));
  });
}
