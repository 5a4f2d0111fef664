// What the Transport interface promises, on each of its implementations, against servers that do what a
// test says.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { createCertificates, startTcpProxy } from '@quiesce/test-services';
import {
  ClosedError,
  DeadlineExceededError,
  EtcdError,
  InvalidArgumentError,
  StatusCode,
  UnavailableError,
} from '../src/errors.js';
import type { ByteStream, Transport } from '../src/transport/transport.js';
import { deferred } from './support/deferred.js';
import { OwnTime } from './support/own-time.js';
import {
  type ScriptedServer,
  type StreamScript,
  startScriptedServer,
  type UnaryScript,
} from './support/scripted-server.js';
import { transports } from './support/transports.js';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const bytes = (text: string): Uint8Array => Buffer.from(text);

const echo: UnaryScript = (call, answer) => answer(null, call.request);
const echoStream: StreamScript = (call) => {
  call.on('data', (message: Buffer) => call.write(message));
  call.on('end', () => call.end());
};

async function readAll(stream: ByteStream): Promise<string[]> {
  const read: string[] = [];
  for (let message = await stream.receive(); message !== undefined; message = await stream.receive()) {
    read.push(text(message));
  }
  return read;
}

for (const { name, skip, make } of transports) {
  describe(`transport ${name}`, { skip }, () => {
    /** Runs a test's body with a server and a transport to it, and ends both. */
    async function withServer(
      methods: { unary?: Record<string, UnaryScript>; stream?: Record<string, StreamScript> },
      body: (transport: Transport, server: ScriptedServer) => Promise<void>,
    ): Promise<void> {
      await using server = await startScriptedServer(methods);
      const transport = make({ endpoint: server.endpoint });
      try {
        await body(transport, server);
      } finally {
        await transport.close();
      }
    }

    describe('unary calls', () => {
      test('carry metadata both ways, repeated values and binary ones included', () =>
        withServer(
          {
            unary: {
              meta: (call, answer) => {
                const headers = new grpc.Metadata();
                headers.add('seen', String(call.metadata.get('token')));
                call.sendMetadata(headers);
                const trailers = new grpc.Metadata();
                trailers.add('many', 'one');
                trailers.add('many', 'two');
                trailers.add('raw-bin', Buffer.from([0, 255]));
                answer(null, Buffer.from('answer'), trailers);
              },
            },
          },
          async (transport) => {
            const response = await transport.unary('/test.Script/meta', bytes(''), {
              metadata: { token: 'secret' },
            });
            assert.equal(text(response.message), 'answer');
            assert.deepEqual(response.headers.seen, ['secret']);
            // gRPC lets a peer join repeated values with commas.
            assert.equal(response.trailers.many?.join(',').replaceAll(' ', ''), 'one,two');
            assert.equal(
              Buffer.from(response.trailers['raw-bin']?.[0] ?? '', 'base64').toString('hex'),
              '00ff',
            );
          },
        ));

      test('fail with the status code, message and trailers of the server', () =>
        withServer(
          {
            unary: {
              fail: (_call, answer) => {
                const metadata = new grpc.Metadata();
                metadata.add('why', 'because');
                answer({ code: grpc.status.FAILED_PRECONDITION, details: 'nicht möglich: 100%', metadata });
              },
            },
          },
          async (transport) => {
            await assert.rejects(transport.unary('/test.Script/fail', bytes('')), (error) => {
              assert.ok(error instanceof EtcdError);
              assert.equal(error.code, StatusCode.FAILED_PRECONDITION);
              assert.equal(error.details, 'nicht möglich: 100%');
              assert.deepEqual(error.trailers.why, ['because']);
              assert.equal(error.method, '/test.Script/fail');
              assert.equal(error.sent, true);
              return true;
            });
          },
        ));

      test('to a method that the server lacks are UNIMPLEMENTED', () =>
        withServer({ unary: { echo } }, async (transport) => {
          await assert.rejects(transport.unary('/test.Script/nope', bytes('')), {
            code: StatusCode.UNIMPLEMENTED,
          });
        }));

      test('a thousand at once each get their own answer', () =>
        withServer({ unary: { echo } }, async (transport) => {
          const answers = await Promise.all(
            Array.from({ length: 1000 }, (_, i) => transport.unary('/test.Script/echo', bytes(`call ${i}`))),
          );
          for (const [i, answer] of answers.entries()) assert.equal(text(answer.message), `call ${i}`);
        }));

      test('take empty messages and ones of 8 MiB', () =>
        withServer({ unary: { echo } }, async (transport) => {
          assert.equal((await transport.unary('/test.Script/echo', bytes(''))).message.length, 0);
          const large = new Uint8Array(8 * 1024 * 1024).fill(7);
          const [one, two] = await Promise.all([
            transport.unary('/test.Script/echo', large),
            transport.unary('/test.Script/echo', large.fill(8)),
          ]);
          assert.equal(one.message.length, large.length);
          assert.equal(Buffer.compare(two.message, large), 0);
        }));

      test('leave the request as it was, and copy it before the caller changes it in a later turn', () =>
        withServer({ unary: { echo } }, async (transport) => {
          const request = bytes('first');
          const answer = transport.unary('/test.Script/echo', request);
          assert.equal(text(request), 'first');
          await new Promise(setImmediate);
          request.fill(0);
          assert.equal(text((await answer).message), 'first');
        }));

      test('end with DEADLINE_EXCEEDED, and are cancelled at the server', async () => {
        const cancelled = deferred();
        await withServer(
          { unary: { silent: (call) => call.on('cancelled', () => cancelled.resolve()) } },
          async (transport) => {
            const start = performance.now();
            using time = new OwnTime();
            await assert.rejects(
              transport.unary('/test.Script/silent', bytes(''), { timeoutMs: 150 }),
              DeadlineExceededError,
            );
            const took = performance.now() - start;
            assert.ok(took >= 140 && time.ms < 1500, `took ${took} ms, ${time.ms} ms of this process`);
            await cancelled.promise;
          },
        );
      });

      test('reject at once with the reason of a signal that is aborted already', () =>
        withServer({ unary: { echo } }, async (transport) => {
          const reason = new Error('too late');
          await assert.rejects(
            transport.unary('/test.Script/echo', bytes(''), { signal: AbortSignal.abort(reason) }),
            (error) => error === reason,
          );
        }));

      test('are cancelled by a signal, at the server too', async () => {
        const arrived = deferred();
        const cancelled = deferred();
        await withServer(
          {
            unary: {
              wait: (call) => {
                call.on('cancelled', () => cancelled.resolve());
                arrived.resolve();
              },
            },
          },
          async (transport) => {
            const abort = new AbortController();
            const answer = transport.unary('/test.Script/wait', bytes(''), { signal: abort.signal });
            await arrived.promise;
            const reason = new Error('changed my mind');
            abort.abort(reason);
            await assert.rejects(answer, (error) => error === reason);
            await cancelled.promise;
          },
        );
      });

      test('drop their listener on a signal once they are over', () =>
        withServer({ unary: { echo } }, async (transport) => {
          let listening = 0;
          const signal = new AbortController().signal;
          const add = signal.addEventListener.bind(signal);
          const remove = signal.removeEventListener.bind(signal);
          signal.addEventListener = (...args: Parameters<typeof add>) => {
            listening += 1;
            add(...args);
          };
          signal.removeEventListener = (...args: Parameters<typeof remove>) => {
            listening -= 1;
            remove(...args);
          };
          await transport.unary('/test.Script/echo', bytes(''), { signal });
          await assert.rejects(transport.unary('/test.Script/nope', bytes(''), { signal }));
          assert.equal(listening, 0);
        }));

      test('with malformed metadata fail alone', () =>
        withServer({ unary: { echo } }, async (transport) => {
          const [bad, good] = await Promise.allSettled([
            transport.unary('/test.Script/echo', bytes(''), { metadata: { 'no spaces': 'x' } }),
            transport.unary('/test.Script/echo', bytes('good')),
          ]);
          assert.ok(bad.status === 'rejected' && bad.reason instanceof InvalidArgumentError, String(bad));
          assert.equal(good.status, 'fulfilled');
        }));
    });

    describe('streams', () => {
      test('carry messages both ways, in order, to the end', () =>
        withServer({ stream: { echo: echoStream } }, async (transport) => {
          const stream = transport.stream('/test.Script/echo');
          const reading = readAll(stream);
          for (let i = 0; i < 1000; i++) await stream.send(bytes(`message ${i}`));
          stream.closeSend();
          assert.deepEqual(
            await reading,
            Array.from({ length: 1000 }, (_, i) => `message ${i}`),
          );
          assert.equal(await stream.receive(), undefined, 'stays at its end');
        }));

      test('take messages without a promise, and give those that are there without one', () =>
        withServer({ stream: { echo: echoStream } }, async (transport) => {
          const stream = transport.stream('/test.Script/echo');
          const sent = Array.from({ length: 1000 }, (_, i) => `message ${i}`);
          for (const message of sent) stream.post(bytes(message));
          stream.closeSend();
          stream.post(bytes('after the end'));
          const first = stream.receive();
          const received = [text((await first) ?? bytes(''))];
          let polled = 0;
          for (let message = stream.poll(); ; message = stream.poll()) {
            if (message !== undefined) polled += 1;
            else message = await stream.receive();
            if (message === undefined) break;
            received.push(text(message));
          }
          assert.deepEqual(received, sent);
          // grpc-js asks for a message only when somebody waits for it.
          if (name === 'native') assert.ok(polled > 0);
          stream.post(bytes('too late'));
          assert.equal(stream.poll(), undefined);
        }));

      test('are polled by nobody while somebody waits', () =>
        withServer({ stream: { echo: echoStream } }, async (transport) => {
          const stream = transport.stream('/test.Script/echo');
          const waiting = stream.receive();
          stream.post(bytes('one'));
          await sleep(100);
          assert.equal(stream.poll(), undefined);
          assert.equal(text((await waiting) ?? bytes('')), 'one');
          stream.cancel();
        }));

      test('tell headers when they come and trailers at the end', () =>
        withServer(
          {
            stream: {
              meta: (call) => {
                const headers = new grpc.Metadata();
                headers.add('early', 'yes');
                call.sendMetadata(headers);
                call.on('data', () => {});
                call.on('end', () => {
                  const trailers = new grpc.Metadata();
                  trailers.add('late', 'yes');
                  call.end(trailers);
                });
              },
            },
          },
          async (transport) => {
            const stream = transport.stream('/test.Script/meta');
            assert.deepEqual((await stream.headers).early, ['yes']);
            assert.deepEqual(stream.trailers, {});
            stream.closeSend();
            assert.equal(await stream.receive(), undefined);
            assert.deepEqual(stream.trailers.late, ['yes']);
          },
        ));

      test('give all messages before the status that ended them', () =>
        withServer(
          {
            stream: {
              fail: (call) => {
                for (let i = 0; i < 5; i++) call.write(Buffer.from(String(i)));
                call.emit('error', { code: grpc.status.OUT_OF_RANGE, details: 'compacted' });
              },
            },
          },
          async (transport) => {
            const stream = transport.stream('/test.Script/fail');
            for (let i = 0; i < 5; i++) assert.equal(text((await stream.receive()) ?? bytes('')), String(i));
            await assert.rejects(stream.receive(), { code: StatusCode.OUT_OF_RANGE, details: 'compacted' });
            await assert.rejects(stream.send(bytes('')), { code: StatusCode.OUT_OF_RANGE });
          },
        ));

      test('hold the server back while nobody reads', async () => {
        const message = Buffer.alloc(64 * 1024);
        const total = 1000;
        let written = 0;
        await withServer(
          {
            stream: {
              flood: async (call) => {
                for (; written < total; written++) {
                  if (!call.write(message)) await once(call, 'drain');
                }
                call.end();
              },
            },
          },
          async (transport) => {
            const stream = transport.stream('/test.Script/flood');
            await stream.receive();
            let before = -1;
            while (before !== written) {
              before = written;
              await sleep(200);
            }
            assert.ok(written < total / 2, `the server could write ${written} of ${total} messages`);
            assert.equal((await readAll(stream)).length, total - 1);
          },
        );
      });

      // Each end counts what messages of these lengths take of the stream's credit. If they didn't agree, the stream would stop.
      test('carry thousands of messages of all lengths, whether somebody waits for them or not', () => {
        const lengths = [
          0, 1, 4095, 4096, 4097, 8191, 8192, 32_767, 32_768, 253_952, 258_047, 258_048, 300_000,
        ];
        const wave = [...lengths, ...Array.from({ length: 200 }, (_, i) => i)];
        const waves = 20;
        return withServer(
          {
            stream: {
              waves: async (call) => {
                for (let i = 0; i < waves; i++)
                  for (const length of wave) if (!call.write(Buffer.alloc(length))) await once(call, 'drain');
                call.end();
              },
            },
          },
          async (transport) => {
            const stream = transport.stream('/test.Script/waves', { timeoutMs: 60_000 });
            for (let i = 0; i < waves; i++) {
              if (i % 2 === 1) await sleep(5);
              for (const length of wave) assert.equal((await stream.receive())?.length, length);
            }
            assert.equal(await stream.receive(), undefined);
          },
        );
      });

      test('let `send` wait while the server does not read', async () => {
        const go = deferred();
        let received = 0;
        await withServer(
          {
            stream: {
              sink: async (call) => {
                call.pause();
                call.sendMetadata(new grpc.Metadata());
                await go.promise;
                call.on('data', () => {
                  received += 1;
                });
                call.on('end', () => call.end());
                call.resume();
              },
            },
          },
          async (transport) => {
            const stream = transport.stream('/test.Script/sink');
            await stream.headers;
            const message = new Uint8Array(64 * 1024);
            const total = 1000;
            let accepted = 0;
            const sending = (async () => {
              for (; accepted < total; accepted++) await stream.send(message);
              stream.closeSend();
            })();
            let before = -1;
            while (before !== accepted) {
              before = accepted;
              await sleep(200);
            }
            assert.ok(accepted < total / 2, `${accepted} of ${total} messages were accepted`);
            go.resolve();
            await sending;
            assert.equal(await stream.receive(), undefined);
            assert.equal(received, total);
          },
        );
      });

      test('are cancelled by the caller, by a signal and by their deadline', async () => {
        let cancelled = 0;
        await withServer(
          {
            stream: {
              wait: (call) => {
                call.sendMetadata(new grpc.Metadata());
                call.on('cancelled', () => {
                  cancelled += 1;
                });
              },
            },
          },
          async (transport) => {
            const reason = new Error('enough');
            const byCaller = transport.stream('/test.Script/wait');
            await byCaller.headers;
            const waiting = byCaller.receive();
            byCaller.cancel(reason);
            byCaller.cancel();
            await assert.rejects(waiting, (error) => error === reason);
            await assert.rejects(byCaller.send(bytes('')), (error) => error === reason);

            const abort = new AbortController();
            const bySignal = transport.stream('/test.Script/wait', { signal: abort.signal });
            await bySignal.headers;
            abort.abort(reason);
            await assert.rejects(bySignal.receive(), (error) => error === reason);

            const byDeadline = transport.stream('/test.Script/wait', { timeoutMs: 100 });
            await assert.rejects(byDeadline.receive(), DeadlineExceededError);

            const silently = transport.stream('/test.Script/wait');
            await silently.headers;
            silently.cancel();
            await assert.rejects(silently.receive(), { code: StatusCode.CANCELLED });
            for (let i = 0; cancelled < 4 && i < 200; i++) await sleep(10);
            assert.equal(cancelled, 4);
          },
        );
      });

      test('refuse a second reader and a send after closeSend', () =>
        withServer({ stream: { echo: echoStream } }, async (transport) => {
          const stream = transport.stream('/test.Script/echo');
          const first = stream.receive();
          await assert.rejects(stream.receive(), { code: StatusCode.FAILED_PRECONDITION });
          await stream.send(bytes('one'));
          assert.equal(text((await first) ?? bytes('')), 'one');
          stream.closeSend();
          stream.closeSend();
          await assert.rejects(stream.send(bytes('two')), { code: StatusCode.FAILED_PRECONDITION });
          assert.equal(await stream.receive(), undefined);
        }));
    });

    describe('the connection', () => {
      test('that is refused is UNAVAILABLE and known as never sent; the next call tries again', async () => {
        const target = await startScriptedServer({ unary: { echo } });
        const proxy = await startTcpProxy(target);
        const transport = make({ endpoint: `http://127.0.0.1:${proxy.port}` });
        try {
          await proxy.close();
          await assert.rejects(transport.unary('/test.Script/echo', bytes('')), (error) => {
            assert.ok(error instanceof UnavailableError, String(error));
            assert.equal(error.sent, false);
            assert.match(error.details, /refused/i);
            return true;
          });
        } finally {
          await transport.close();
          await target[Symbol.asyncDispose]();
        }
      });

      test('that is not made before the deadline: nothing was sent', {
        skip: name === 'native' ? false : "grpc-js doesn't say whether it had a connection",
      }, async () => {
        // It accepts connections, and says nothing.
        const silent = createServer(() => {}).listen(0, '127.0.0.1');
        await once(silent, 'listening');
        const transport = make({ endpoint: `http://127.0.0.1:${(silent.address() as AddressInfo).port}` });
        try {
          const stream = transport.stream('/test.Script/echo', { timeoutMs: 100 });
          for (const call of [
            transport.unary('/test.Script/echo', bytes(''), { timeoutMs: 100 }),
            readAll(stream),
          ])
            await assert.rejects(call, (error) => error instanceof DeadlineExceededError && !error.sent);
        } finally {
          await transport.close();
          silent.close();
        }
      });

      test('that breaks under calls ends them as UNAVAILABLE, and is made anew', async () => {
        const arrived = deferred();
        await using target = await startScriptedServer({
          unary: { echo, wait: () => arrived.resolve() },
          stream: { open: (call) => call.sendMetadata(new grpc.Metadata()) },
        });
        const proxy = await startTcpProxy(target);
        const transport = make({ endpoint: `http://127.0.0.1:${proxy.port}` });
        try {
          const stream = transport.stream('/test.Script/open');
          await stream.headers;
          const call = transport.unary('/test.Script/wait', bytes(''));
          await arrived.promise;
          proxy.cut();
          await assert.rejects(call, (error) => error instanceof UnavailableError && error.sent);
          await assert.rejects(stream.receive(), UnavailableError);
          const until = Date.now() + 5000;
          for (;;) {
            try {
              assert.equal(
                text((await transport.unary('/test.Script/echo', bytes('again'))).message),
                'again',
              );
              break;
            } catch (error) {
              if (!(error instanceof UnavailableError) || Date.now() > until) throw error;
              await sleep(50);
            }
          }
        } finally {
          await transport.close();
          await proxy.close();
        }
      });

      test('checks the server by its certificate, and shows its own', async () => {
        const pems = await createCertificates();
        await using server = await startScriptedServer(
          { unary: { echo } },
          grpc.ServerCredentials.createSsl(
            Buffer.from(pems.ca),
            [{ private_key: Buffer.from(pems.serverKey), cert_chain: Buffer.from(pems.serverCert) }],
            true,
          ),
        );
        const call = async (tls: Parameters<typeof make>[0]['tls']): Promise<string> => {
          const transport = make({ endpoint: server.endpoint, ...(tls && { tls }) });
          try {
            return text(
              (await transport.unary('/test.Script/echo', bytes('safe'), { timeoutMs: 5000 })).message,
            );
          } finally {
            await transport.close();
          }
        };
        const client = { cert: pems.clientCert, key: pems.clientKey };
        assert.equal(await call({ ca: pems.ca, ...client }), 'safe');
        await assert.rejects(call({ ca: pems.ca }), UnavailableError, 'without a client certificate');
        await assert.rejects(call(undefined), UnavailableError, 'an authority that is not trusted');
        await assert.rejects(
          call({ ca: pems.ca, ...client, serverName: 'elsewhere.example' }),
          UnavailableError,
          'another name than the certificate has',
        );
      });

      test('is not tried for options that can not work', () => {
        assert.throws(() => make({ endpoint: 'http://' }), InvalidArgumentError);
      });
    });

    describe('close', () => {
      test('rejects all that is in flight and all that comes later', () =>
        withServer(
          { unary: { wait: () => {} }, stream: { open: (call) => call.sendMetadata(new grpc.Metadata()) } },
          async (transport) => {
            const stream = transport.stream('/test.Script/open');
            await stream.headers;
            const pending = [
              transport.unary('/test.Script/wait', bytes('')),
              transport.unary('/test.Script/wait', bytes(''), { timeoutMs: 10_000 }),
              stream.receive(),
              transport.stream('/test.Script/open').headers,
            ];
            const settled = Promise.allSettled(pending);
            await transport.close();
            for (const result of await settled) {
              assert.ok(
                result.status === 'rejected' && result.reason instanceof ClosedError,
                JSON.stringify(result),
              );
              assert.equal(result.reason.sent, true, 'a write in flight may have been made');
            }
            await assert.rejects(
              transport.unary('/test.Script/wait', bytes('')),
              (error) => error instanceof ClosedError && !error.sent,
            );
            await assert.rejects(transport.stream('/test.Script/open').receive(), ClosedError);
            await assert.rejects(stream.send(bytes('')), ClosedError);
            await transport.close();
          },
        ));

      test('drops what has come and nobody has taken, as an abort does', () =>
        withServer(
          {
            stream: {
              three: (call) => {
                for (let i = 0; i < 3; i++) call.write(Buffer.from(`${i}`));
              },
            },
          },
          async (transport) => {
            const abort = new AbortController();
            const closed = transport.stream('/test.Script/three');
            const aborted = transport.stream('/test.Script/three', { signal: abort.signal });
            for (const stream of [closed, aborted])
              assert.equal(text((await stream.receive()) ?? bytes('')), '0');
            await sleep(100);
            abort.abort(new Error('changed my mind'));
            await assert.rejects(aborted.receive(), /changed my mind/);
            await transport.close();
            await assert.rejects(closed.receive(), ClosedError);
          },
        ));

      test('right after a call in the same turn', () =>
        withServer({ unary: { echo } }, async (transport) => {
          const call = transport.unary('/test.Script/echo', bytes(''));
          const [result] = await Promise.all([Promise.allSettled([call]), transport.close()]);
          assert.ok(result[0]?.status === 'rejected' && result[0].reason instanceof ClosedError);
        }));
    });
  });
}
