// What a server, or the way to it, can do wrong. Whatever it is, the call ends with a typed error, the next call works,
// closing is prompt, and nothing is left behind.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EtcdError, StatusCode } from '../src/errors.js';
import type { Transport } from '../src/transport/transport.js';
import { eventually, PATIENCE_MS } from './support/eventually.js';
import { OwnTime } from './support/own-time.js';
import {
  answer,
  answerHead,
  type Connection,
  ErrorCode,
  Flag,
  Frame,
  frame,
  goAway,
  grpcMessage,
  type Headers,
  type Http2Peer,
  type Http2Script,
  headerBlock,
  headers,
  message,
  rstStream,
  Setting,
  settings,
  startHttp2Peer,
  trailers,
  u32,
} from './support/scripted-http2.js';
import { transports } from './support/transports.js';

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();
const bytes = (text: string): Uint8Array => Buffer.from(text);
const METHOD = '/test.Script/call';

/** How a call ends: its text, or the name of its status code and whether the server may have seen it. */
type End = { answer: string } | { code: keyof typeof StatusCode; sent: boolean };

interface Fault {
  readonly what: string;
  /** What becomes of the first request. */
  readonly request: (connection: Connection, stream: number) => void;
  /** Instead of the server's SETTINGS, on the first connection. */
  readonly connected?: (connection: Connection) => void;
  readonly unary: End;
  /** Where it differs from `unary`. */
  readonly stream?: End;
  /** Where the fallback differs: what `@grpc/grpc-js` and Node's HTTP/2 make of it. */
  readonly grpcJs?: End | { readonly unary: End; readonly stream: End };
  /** `@grpc/grpc-js` goes on with the broken connection until TCP or keepalive ends it, so the next call fails too. */
  readonly grpcJsKeepsConnection?: true;
  /**
   * Node's own HTTP/2, on which the fallback is, may abort the process some time after it, of whatever version (20 to 26):
   * scenarios/host-bugs/http2-session-aborts.mjs.
   */
  readonly nodeHttp2Aborts?: true;
  /** Connections that the native transport has made once the next call was answered; where it isn't said, one or two. */
  readonly connections?: number;
}

const failed = (code: keyof typeof StatusCode, sent = true): End => ({ code, sent });
const late = failed('DEADLINE_EXCEEDED');
/** Breaches of HTTP/2 that Node 20 overlooks, and later ones end the connection for. */
const tolerated = Number(process.versions.node.split('.')[0]) < 22 ? late : failed('INTERNAL');

/** Bytes that reach the client one by one. */
function drip({ socket }: Connection, all: Buffer): void {
  let at = 0;
  const next = (): void => {
    if (at < all.length && !socket.destroyed) socket.write(all.subarray(at, ++at), () => setImmediate(next));
  };
  next();
}

/** Names that differ, so that they take room in a header map. */
const manyHeaders = (count: number): Headers => Array.from({ length: count }, (_, i) => [`h${i}`, 'x']);

const resets: Fault[] = Object.entries(ErrorCode).map(([name, code]) => {
  const ends: Partial<Record<string, End>> = {
    REFUSED_STREAM: failed('UNAVAILABLE', false),
    CANCEL: failed('CANCELLED'),
    ENHANCE_YOUR_CALM: failed('RESOURCE_EXHAUSTED'),
    INADEQUATE_SECURITY: failed('PERMISSION_DENIED'),
  };
  return {
    what: `RST_STREAM ${name}`,
    request: (connection, stream) => connection.write(rstStream(stream, code)),
    unary: ends[name] ?? failed('INTERNAL'),
    ...(name === 'REFUSED_STREAM' && { grpcJs: failed('UNAVAILABLE') }),
    connections: 1,
  };
});

const faults: Fault[] = [
  {
    what: 'an answer that comes byte by byte',
    request: (connection, stream) => drip(connection, answer(stream, 'ok')),
    unary: { answer: 'ok' },
    connections: 1,
  },
  {
    what: 'an answer in many small and some empty DATA frames, with padding',
    request: (connection, stream) => {
      const parts = [...grpcMessage('ok')].map((byte) => frame(Frame.data, 0, stream, Buffer.from([byte])));
      const padded = frame(Frame.data, 8, stream, Buffer.from([3, 0, 0, 0]));
      connection.write(
        answerHead(stream),
        padded,
        ...parts,
        padded,
        frame(Frame.data, 0, stream),
        trailers(stream),
      );
    },
    unary: { answer: 'ok' },
    connections: 1,
  },
  {
    what: 'a reset of the connection before any answer',
    request: ({ socket }) => socket.resetAndDestroy(),
    unary: failed('UNAVAILABLE'),
    connections: 2,
  },
  {
    what: 'a reset of the connection within a frame',
    request: (connection, stream) => {
      connection.write(answerHead(stream), message(stream, 'a long answer').subarray(0, 12));
      setImmediate(() => connection.socket.resetAndDestroy());
    },
    unary: failed('UNAVAILABLE'),
    connections: 2,
  },
  {
    what: 'an end of the connection between frames of an answer',
    request: (connection, stream) => {
      connection.write(answerHead(stream), message(stream, 'ok'));
      connection.socket.destroySoon();
    },
    unary: failed('UNAVAILABLE'),
    connections: 2,
  },
  {
    what: 'a TCP connection that the server half-closes',
    request: ({ socket }) => socket.end(),
    unary: failed('UNAVAILABLE'),
    connections: 2,
  },
  {
    what: 'GOAWAY that excludes the call, in order',
    request: (connection) => connection.write(goAway(0, ErrorCode.NO_ERROR)),
    unary: failed('UNAVAILABLE', false),
    grpcJs: failed('UNAVAILABLE'),
    connections: 2,
  },
  {
    what: 'GOAWAY that includes the call, then its answer',
    request: (connection, stream) =>
      connection.write(goAway(stream, ErrorCode.NO_ERROR), answer(stream, 'ok')),
    unary: { answer: 'ok' },
    connections: 2,
  },
  {
    what: 'GOAWAY that includes the call, then the end of the connection',
    request: (connection, stream) => {
      connection.write(goAway(stream, ErrorCode.NO_ERROR));
      setImmediate(() => connection.socket.destroySoon());
    },
    unary: failed('UNAVAILABLE'),
    connections: 2,
  },
  {
    what: 'GOAWAY twice, as a server that drains, then the end of the connection',
    request: (connection, stream) => {
      connection.write(goAway(2 ** 31 - 1, ErrorCode.NO_ERROR), goAway(stream, ErrorCode.NO_ERROR));
      setImmediate(() => connection.socket.destroySoon());
    },
    unary: failed('UNAVAILABLE'),
    connections: 2,
  },
  {
    what: 'GOAWAY with an error',
    request: (connection) => {
      connection.write(goAway(0, ErrorCode.ENHANCE_YOUR_CALM, 'too_many_pings'));
      connection.socket.destroySoon();
    },
    unary: failed('UNAVAILABLE'),
    grpcJs: failed('RESOURCE_EXHAUSTED'),
    connections: 2,
  },
  {
    what: 'GOAWAY with an error that includes the call',
    request: (connection, stream) => {
      connection.write(goAway(stream, ErrorCode.INTERNAL_ERROR));
      connection.socket.destroySoon();
    },
    unary: failed('UNAVAILABLE'),
    grpcJs: failed('INTERNAL'),
    connections: 2,
  },
  ...resets,
  {
    what: 'RST_STREAM within an answer',
    request: (connection, stream) =>
      connection.write(
        answerHead(stream),
        message(stream, 'part'),
        rstStream(stream, ErrorCode.INTERNAL_ERROR),
      ),
    unary: failed('INTERNAL'),
    connections: 1,
  },
  {
    what: 'RST_STREAM NO_ERROR behind a whole answer',
    request: (connection, stream) =>
      connection.write(answer(stream, 'ok'), rstStream(stream, ErrorCode.NO_ERROR)),
    unary: { answer: 'ok' },
    connections: 1,
  },
  {
    what: 'trailers only, with an error',
    request: (connection, stream) =>
      connection.write(
        headers(
          stream,
          [
            [':status', '200'],
            ['content-type', 'application/grpc'],
            ['grpc-status', '9'],
            ['grpc-message', 'no%20way'],
          ],
          Flag.endStream,
        ),
      ),
    unary: failed('FAILED_PRECONDITION'),
    connections: 1,
  },
  {
    what: 'trailers only, with OK',
    request: (connection, stream) =>
      connection.write(
        headers(
          stream,
          [
            [':status', '200'],
            ['content-type', 'application/grpc'],
            ['grpc-status', '0'],
          ],
          Flag.endStream,
        ),
      ),
    unary: failed('INTERNAL'),
    grpcJs: { unary: failed('UNIMPLEMENTED'), stream: { answer: '' } },
    // An orderly end of a stream without messages.
    stream: { answer: '' },
    connections: 1,
  },
  {
    what: 'no trailers: END_STREAM on the message',
    request: (connection, stream) =>
      connection.write(answerHead(stream), message(stream, 'ok', Flag.endStream)),
    unary: failed('INTERNAL'),
    connections: 1,
  },
  {
    what: 'no trailers: END_STREAM on an empty DATA frame',
    request: (connection, stream) =>
      connection.write(answerHead(stream), message(stream, 'ok'), frame(Frame.data, Flag.endStream, stream)),
    unary: failed('INTERNAL'),
    connections: 1,
  },
  {
    what: 'trailers without a status',
    request: (connection, stream) =>
      connection.write(answerHead(stream), message(stream, 'ok'), trailers(stream, [['x', 'y']])),
    unary: failed('INTERNAL'),
    grpcJs: failed('UNKNOWN'),
    connections: 1,
  },
  {
    what: 'OK without a message',
    request: (connection, stream) => connection.write(answerHead(stream), trailers(stream)),
    unary: failed('INTERNAL'),
    grpcJs: { unary: failed('UNIMPLEMENTED'), stream: { answer: '' } },
    stream: { answer: '' },
    connections: 1,
  },
  {
    what: 'an answer with two messages',
    request: (connection, stream) => {
      connection.write(answerHead(stream), message(stream, 'one'));
      setTimeout(() => connection.write(message(stream, 'two'), trailers(stream)), 20);
    },
    unary: failed('INTERNAL'),
    grpcJs: { unary: late, stream: { answer: 'onetwo' } },
    stream: { answer: 'onetwo' },
    connections: 1,
  },
  {
    what: 'an answer with two messages in one frame',
    request: (connection, stream) =>
      connection.write(
        answerHead(stream),
        frame(Frame.data, 0, stream, Buffer.concat([grpcMessage('one'), grpcMessage('two')])),
        trailers(stream),
      ),
    unary: failed('INTERNAL'),
    grpcJs: { unary: late, stream: { answer: 'onetwo' } },
    stream: { answer: 'onetwo' },
    connections: 1,
  },
  {
    what: 'two answers on one stream',
    request: (connection, stream) => connection.write(answer(stream, 'one'), answer(stream, 'two')),
    unary: { answer: 'one' },
    connections: 1,
  },
  {
    what: 'no answer',
    request: () => {},
    unary: late,
    connections: 1,
  },
  {
    what: 'half an answer, and no more',
    request: (connection, stream) =>
      connection.write(
        answerHead(stream),
        frame(Frame.data, 0, stream, grpcMessage('a part').subarray(0, 8)),
      ),
    unary: late,
  },
  {
    what: 'a message that says it is compressed',
    request: (connection, stream) =>
      connection.write(
        answerHead(stream),
        frame(Frame.data, 0, stream, grpcMessage('ok', 1)),
        trailers(stream),
      ),
    unary: failed('INTERNAL'),
    grpcJs: failed('UNKNOWN'),
    connections: 1,
  },
  {
    what: 'a message whose flag is neither',
    request: (connection, stream) =>
      connection.write(
        answerHead(stream),
        frame(Frame.data, 0, stream, grpcMessage('ok', 7)),
        trailers(stream),
      ),
    unary: failed('INTERNAL'),
    grpcJs: { answer: 'ok' },
    connections: 1,
  },
  {
    what: 'a message that is cut off',
    request: (connection, stream) =>
      connection.write(
        answerHead(stream),
        frame(Frame.data, 0, stream, grpcMessage('ok', 0, 9)),
        trailers(stream),
      ),
    unary: failed('INTERNAL'),
    grpcJs: { unary: failed('UNIMPLEMENTED'), stream: { answer: '' } },
    connections: 1,
  },
  {
    what: 'a message that claims 4 GiB',
    request: (connection, stream) =>
      connection.write(answerHead(stream), frame(Frame.data, 0, stream, grpcMessage('ok', 0, 2 ** 32 - 1))),
    unary: failed('RESOURCE_EXHAUSTED'),
    grpcJs: late,
    connections: 1,
  },
  {
    what: 'a prefix of three bytes',
    request: (connection, stream) =>
      connection.write(answerHead(stream), frame(Frame.data, 0, stream, Buffer.alloc(3)), trailers(stream)),
    unary: failed('INTERNAL'),
    grpcJs: { unary: failed('UNIMPLEMENTED'), stream: { answer: '' } },
    connections: 1,
  },
  {
    what: 'a grpc-status that is no number',
    request: (connection, stream) =>
      connection.write(
        answerHead(stream),
        message(stream, 'ok'),
        trailers(stream, [['grpc-status', 'fine']]),
      ),
    unary: failed('UNKNOWN'),
    connections: 1,
  },
  {
    what: 'a grpc-status that does not exist',
    request: (connection, stream) =>
      connection.write(answerHead(stream), trailers(stream, [['grpc-status', '99']])),
    unary: failed('UNKNOWN'),
    connections: 1,
  },
  {
    what: 'a grpc-message that is no UTF-8',
    request: (connection, stream) =>
      connection.write(
        answerHead(stream),
        trailers(stream, [
          ['grpc-status', '9'],
          ['grpc-message', '%ff%zz%'],
        ]),
      ),
    unary: failed('FAILED_PRECONDITION'),
    connections: 1,
  },
  {
    what: 'grpc-status-details-bin that is no base64',
    request: (connection, stream) =>
      connection.write(
        answerHead(stream),
        trailers(stream, [
          ['grpc-status', '9'],
          ['grpc-status-details-bin', '!!!'],
        ]),
      ),
    unary: failed('FAILED_PRECONDITION'),
    connections: 1,
  },
  {
    what: 'an answer that is not gRPC',
    request: (connection, stream) =>
      connection.write(
        headers(stream, [
          [':status', '200'],
          ['content-type', 'text/html'],
        ]),
        frame(Frame.data, Flag.endStream, stream, bytes('<html>')),
      ),
    unary: failed('UNKNOWN'),
    grpcJs: failed('INTERNAL'),
    connections: 1,
  },
  {
    what: 'HTTP status 503',
    request: (connection, stream) =>
      connection.write(
        headers(stream, [[':status', '503']]),
        frame(Frame.data, Flag.endStream, stream, bytes('busy')),
      ),
    unary: failed('UNAVAILABLE'),
    connections: 1,
  },
  {
    what: 'an informational head first',
    request: (connection, stream) =>
      connection.write(headers(stream, [[':status', '103']]), answer(stream, 'ok')),
    unary: { answer: 'ok' },
    connections: 1,
  },
  {
    what: 'no :status',
    request: (connection, stream) =>
      connection.write(headers(stream, [['content-type', 'application/grpc']])),
    unary: failed('INTERNAL'),
  },
  {
    what: 'a header of 100 KiB',
    nodeHttp2Aborts: true,
    request: (connection, stream) =>
      connection.write(
        answerHead(stream, [['long', 'x'.repeat(100 * 1024)]]),
        message(stream, 'ok'),
        trailers(stream),
      ),
    unary: { answer: 'ok' },
    grpcJs: late,
    grpcJsKeepsConnection: true,
    connections: 1,
  },
  {
    what: '30,000 headers of different names',
    nodeHttp2Aborts: true,
    request: (connection, stream) =>
      connection.write(answerHead(stream, manyHeaders(30_000)), message(stream, 'ok'), trailers(stream)),
    unary: failed('INTERNAL'),
    grpcJs: failed('RESOURCE_EXHAUSTED'),
    grpcJsKeepsConnection: true,
  },
  {
    what: '70,000 headers of one name',
    nodeHttp2Aborts: true,
    request: (connection, stream) =>
      connection.write(
        answerHead(stream, new Array(70_000).fill(['h', 'x'])),
        message(stream, 'ok'),
        trailers(stream),
      ),
    unary: failed('INTERNAL'),
    grpcJs: failed('RESOURCE_EXHAUSTED'),
    grpcJsKeepsConnection: true,
  },
  {
    what: 'a header block that can not be decoded',
    nodeHttp2Aborts: true,
    request: (connection, stream) =>
      connection.write(
        frame(Frame.headers, Flag.endHeaders, stream, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
      ),
    unary: failed('UNAVAILABLE'),
    grpcJs: late,
    grpcJsKeepsConnection: true,
    connections: 2,
  },
  {
    what: 'CONTINUATION that never ends',
    nodeHttp2Aborts: true,
    request: (connection, stream) => {
      const part = headerBlock([['a', 'b']]);
      connection.write(frame(Frame.headers, 0, stream, headerBlock([[':status', '200']])));
      for (let i = 0; i < 5000; i++) connection.write(frame(Frame.continuation, 0, stream, part));
    },
    unary: failed('UNAVAILABLE'),
    grpcJs: failed('INTERNAL'),
    grpcJsKeepsConnection: true,
    connections: 2,
  },
  {
    what: 'DATA before HEADERS',
    request: (connection, stream) => connection.write(message(stream, 'ok')),
    unary: failed('UNAVAILABLE'),
    grpcJs: tolerated,
    grpcJsKeepsConnection: true,
  },
  {
    what: 'a frame of a stream that was never opened',
    request: (connection) => connection.write(message(99, 'who?')),
    unary: failed('UNAVAILABLE'),
    grpcJs: tolerated,
    grpcJsKeepsConnection: true,
    connections: 2,
  },
  {
    what: 'a pushed stream',
    request: (connection, stream) =>
      connection.write(
        frame(
          Frame.pushPromise,
          Flag.endHeaders,
          stream,
          Buffer.concat([u32(2), headerBlock([[':path', '/']])]),
        ),
      ),
    unary: failed('UNAVAILABLE'),
    grpcJs: late,
    connections: 2,
  },
  {
    what: 'a frame that is too long',
    request: (connection, stream) =>
      connection.write(answerHead(stream), frame(Frame.data, 0, stream, Buffer.alloc(20_000))),
    unary: failed('UNAVAILABLE'),
    grpcJs: tolerated,
    grpcJsKeepsConnection: true,
    connections: 2,
  },
  {
    what: 'frames of the wrong length',
    request: (connection) => connection.write(frame(Frame.ping, 0, 0, Buffer.alloc(3))),
    unary: failed('UNAVAILABLE'),
    grpcJs: tolerated,
    grpcJsKeepsConnection: true,
    connections: 2,
  },
  {
    what: 'WINDOW_UPDATE by nothing',
    request: (connection) => connection.write(frame(Frame.windowUpdate, 0, 0, u32(0))),
    unary: failed('UNAVAILABLE'),
    grpcJs: failed('INTERNAL'),
    grpcJsKeepsConnection: true,
    connections: 2,
  },
  {
    what: 'WINDOW_UPDATE beyond all bounds',
    request: (connection) => connection.write(frame(Frame.windowUpdate, 0, 0, u32(2 ** 31 - 1))),
    unary: failed('UNAVAILABLE'),
    grpcJs: failed('INTERNAL'),
    grpcJsKeepsConnection: true,
    connections: 2,
  },
  {
    what: 'unknown frames and settings before the answer',
    request: (connection, stream) =>
      connection.write(
        frame(0xee, 0xff, 0, bytes('what')),
        frame(0xee, 0xff, stream, bytes('is this')),
        settings([0x99, 7], [Setting.maxConcurrentStreams, 1]),
        answer(stream, 'ok'),
      ),
    unary: { answer: 'ok' },
    connections: 1,
  },
  {
    what: '10,000 PINGs before the answer',
    request: (connection, stream) => {
      connection.write(...new Array(10_000).fill(frame(Frame.ping, 0, 0, Buffer.alloc(8))));
      connection.write(answer(stream, 'ok'));
    },
    unary: { answer: 'ok' },
    grpcJs: failed('INTERNAL'),
    grpcJsKeepsConnection: true,
    connections: 1,
  },
  {
    what: '10,000 SETTINGS before the answer',
    request: (connection, stream) => {
      connection.write(...new Array(10_000).fill(settings()));
      connection.write(answer(stream, 'ok'));
    },
    unary: { answer: 'ok' },
    grpcJs: failed('INTERNAL'),
    grpcJsKeepsConnection: true,
    connections: 1,
  },
  {
    what: 'an answer of HTTP/1.1 to the connection',
    connected: ({ socket }) => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'),
    request: () => {},
    unary: failed('UNAVAILABLE', false),
    connections: 2,
  },
  {
    what: 'a server that hangs up at once',
    connected: ({ socket }) => socket.destroy(),
    request: () => {},
    unary: failed('UNAVAILABLE', false),
    connections: 2,
  },
  {
    what: 'GOAWAY as the first word',
    connected: (connection) => {
      connection.write(settings(), goAway(0, ErrorCode.NO_ERROR));
      connection.socket.end();
    },
    request: () => {},
    unary: failed('UNAVAILABLE', false),
    grpcJs: failed('UNAVAILABLE'),
  },
];

function expectedOf(fault: Fault, transport: 'native' | 'grpc-js', kind: 'unary' | 'stream'): End {
  const { unary, stream, grpcJs } = fault;
  if (transport === 'grpc-js' && grpcJs !== undefined) return 'unary' in grpcJs ? grpcJs[kind] : grpcJs;
  return kind === 'stream' && stream !== undefined ? stream : unary;
}

function endOf(error: unknown): End {
  assert.ok(error instanceof EtcdError, `not a typed error: ${error}`);
  const name = Object.entries(StatusCode).find(([, code]) => code === error.code)?.[0];
  assert.ok(error.message.length > 0, 'the error has a message');
  return { code: name as keyof typeof StatusCode, sent: error.sent };
}

async function unary(transport: Transport, timeoutMs: number): Promise<End> {
  return transport.unary(METHOD, bytes('request'), { timeoutMs }).then(
    (response) => ({ answer: text(response.message) }),
    (error) => endOf(error),
  );
}

async function streamed(transport: Transport, timeoutMs: number): Promise<End> {
  const stream = transport.stream(METHOD, { timeoutMs });
  try {
    await stream.send(bytes('request'));
    stream.closeSend();
    let read = '';
    for (let next = await stream.receive(); next !== undefined; next = await stream.receive())
      read += text(next);
    return { answer: read };
  } catch (error) {
    return endOf(error);
  }
}

/** Fails rather than to wait for a call that was left pending. */
async function soon<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} is still pending after 60 s`)), PATIENCE_MS);
  });
  return Promise.race([promise, bound]).finally(() => clearTimeout(timer));
}

async function closes(transport: Transport): Promise<void> {
  using time = new OwnTime();
  await soon('close', transport.close());
  const { ms } = time;
  assert.ok(ms < 1000, `closing took ${ms} ms`);
}

for (const { name, skip, make } of transports) {
  describe(`faults over transport ${name}`, { skip }, () => {
    async function withPeer(
      script: Http2Script,
      body: (transport: Transport, peer: Http2Peer) => Promise<void>,
    ): Promise<void> {
      await using peer = await startHttp2Peer(script);
      const transport = make({ endpoint: peer.endpoint, connectTimeoutMs: 1_000 });
      try {
        await body(transport, peer);
      } finally {
        await closes(transport);
      }
      await eventually('the connections are gone', () => peer.open === 0);
    }

    for (const [kind, call] of [
      ['unary', unary],
      ['stream', streamed],
    ] as const) {
      describe(`a ${kind} call`, () => {
        for (const fault of faults) {
          // A row of what this host can't do, as its process would not survive it.
          const left = name === 'grpc-js' && fault.nodeHttp2Aborts && "may abort Node's own HTTP/2";
          test(fault.what, { skip: left || false }, async () => {
            const expected = expectedOf(fault, name, kind);
            // Calls that only a deadline ends get a short one. On a busy machine it may pass before the fault is met.
            let met = false;
            for (let timeoutMs = expected === late ? 200 : 20_000; !met; timeoutMs *= 4) {
              assert.ok(timeoutMs < 300_000, 'the fault was never met');
              const script: Http2Script = {
                request: (connection, stream, count) => {
                  if (count === 1 && fault.connected === undefined) {
                    met = true;
                    fault.request(connection, stream);
                  } else connection.write(answer(stream, 'next'));
                },
                ...(fault.connected !== undefined && {
                  connected: (connection: Connection) => {
                    if (connection.number === 1) {
                      met = true;
                      fault.connected?.(connection);
                    } else connection.write(settings());
                  },
                }),
              };
              await withPeer(script, async (transport, peer) => {
                const end = await soon('the call', call(transport, timeoutMs));
                if (!met) return;
                assert.deepEqual(end, expected);
                if (name === 'grpc-js' && fault.grpcJsKeepsConnection) return;
                assert.deepEqual(await soon('the next call', call(transport, 60_000)), { answer: 'next' });
                if (fault.connections !== undefined && name === 'native') {
                  assert.equal(peer.connections, fault.connections, 'connections that were made');
                }
              });
            }
          });
        }
      });
    }
  });
}
