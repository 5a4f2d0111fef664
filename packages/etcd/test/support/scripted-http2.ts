// An HTTP/2 server that writes its frames by hand, so that a test decides about each byte. It is for things that no
// correct server does. It implements only as much of RFC 9113 as that needs.
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

/** Frame types of RFC 9113. */
export const Frame = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const Flag = { endStream: 1, ack: 1, endHeaders: 4 } as const;

/** Error codes of RFC 9113, section 7. */
export const ErrorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;

export const Setting = { maxConcurrentStreams: 3, initialWindowSize: 4, maxFrameSize: 5 } as const;

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** One frame. `length` is the length that its head claims. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Integers of 32 bits, as most frames carry them. */
export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, 4 * i);
  return bytes;
}

export type Headers = readonly (readonly [name: string, value: string])[];

/** A header block of literals that are not indexed (RFC 7541, section 6.2.2), without Huffman coding. */
export function headerBlock(headers: Headers): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value);
    return Buffer.concat([hpackInteger(bytes.length), bytes]);
  };
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

function hpackInteger(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128);
  return Buffer.from([...bytes, rest]);
}

export function settings(...values: (readonly [setting: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(6 * values.length);
  for (const [i, [setting, value]] of values.entries()) {
    payload.writeUInt16BE(setting, 6 * i);
    payload.writeUInt32BE(value, 6 * i + 2);
  }
  return frame(Frame.settings, 0, 0, payload);
}

/** HEADERS, with CONTINUATION where they are longer than a frame may be. */
export function headers(stream: number, list: Headers, flags = 0): Buffer {
  const block = headerBlock(list);
  const parts: Buffer[] = [];
  for (let at = 0; at === 0 || at < block.length; at += 16_384) parts.push(block.subarray(at, at + 16_384));
  return Buffer.concat(
    parts.map((part, i) => {
      const last = i === parts.length - 1 ? Flag.endHeaders : 0;
      return i === 0
        ? frame(Frame.headers, flags | last, stream, part)
        : frame(Frame.continuation, last, stream, part);
    }),
  );
}

/** The head of a gRPC answer. */
export function answerHead(stream: number, more: Headers = []): Buffer {
  return headers(stream, [[':status', '200'], ['content-type', 'application/grpc'], ...more]);
}

/** One gRPC message in a DATA frame. */
export function message(stream: number, text: string | Uint8Array, flags = 0): Buffer {
  return frame(Frame.data, flags, stream, grpcMessage(text));
}

/** A message in gRPC's framing. `length` is the length that it claims to have. */
export function grpcMessage(text: string | Uint8Array, compressed = 0, length?: number): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([compressed]), u32(length ?? bytes.length), bytes]);
}

export function trailers(stream: number, list: Headers = [['grpc-status', '0']]): Buffer {
  return headers(stream, list, Flag.endStream);
}

/** A whole and correct answer. */
export function answer(stream: number, text: string): Buffer {
  return Buffer.concat([answerHead(stream), message(stream, text), trailers(stream)]);
}

export function rstStream(stream: number, code: number): Buffer {
  return frame(Frame.rstStream, 0, stream, u32(code));
}

export function goAway(lastStream: number, code: number, debug = ''): Buffer {
  return frame(Frame.goAway, 0, 0, Buffer.concat([u32(lastStream, code), Buffer.from(debug)]));
}

/** One connection of {@link startHttp2Peer}. */
export interface Connection {
  readonly socket: Socket;
  /** Counts from 1. */
  readonly number: number;
  /** Writes, unless the socket has been closed. */
  write(...frames: Uint8Array[]): void;
}

/** The behaviour of a test's server. */
export interface Http2Script {
  /** A connection was made, and nothing has been written on it. By default the server's SETTINGS are sent. */
  connected?(connection: Connection): void;
  /** The head of a request has arrived. */
  head?(connection: Connection, stream: number): void;
  /** A request is complete. The number counts all requests of this server from 1. */
  request?(connection: Connection, stream: number, count: number): void;
  /** The client reset a stream. */
  reset?(connection: Connection, stream: number, code: number): void;
}

export interface Http2Peer extends AsyncDisposable {
  readonly endpoint: string;
  /** The number of connections so far. */
  readonly connections: number;
  /** The open connections. */
  readonly open: number;
}

/**
 * Starts the server on a free loopback port. It acknowledges SETTINGS and PING. It never opens a window, so it accepts
 * only 65,535 bytes.
 */
export async function startHttp2Peer(script: Http2Script): Promise<Http2Peer> {
  let connections = 0;
  let requests = 0;
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const connection: Connection = {
      socket,
      number: ++connections,
      write: (...frames) => {
        if (!socket.destroyed && socket.writable) socket.write(Buffer.concat(frames));
      },
    };
    sockets.add(socket);
    socket.setNoDelay();
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('end', () => socket.end());
    if (script.connected !== undefined) script.connected(connection);
    else connection.write(settings());
    let unread = Buffer.alloc(0);
    let greeted = false;
    socket.on('data', (bytes) => {
      unread = Buffer.concat([unread, bytes]);
      if (!greeted) {
        if (unread.length < PREFACE.length) return;
        greeted = true;
        unread = unread.subarray(PREFACE.length);
      }
      while (unread.length >= 9) {
        const length = unread.readUIntBE(0, 3);
        if (unread.length < 9 + length) return;
        const type = unread.readUInt8(3);
        const flags = unread.readUInt8(4);
        const stream = unread.readUInt32BE(5);
        const payload = unread.subarray(9, 9 + length);
        unread = unread.subarray(9 + length);
        if (type === Frame.settings && (flags & Flag.ack) === 0) {
          connection.write(frame(Frame.settings, Flag.ack, 0));
        } else if (type === Frame.ping && (flags & Flag.ack) === 0) {
          connection.write(frame(Frame.ping, Flag.ack, 0, payload));
        } else if (type === Frame.rstStream) script.reset?.(connection, stream, payload.readUInt32BE(0));
        else if (type === Frame.headers) script.head?.(connection, stream);
        if ((type === Frame.headers || type === Frame.data) && (flags & Flag.endStream) !== 0) {
          script.request?.(connection, stream, ++requests);
        }
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    get connections() {
      return connections;
    },
    get open() {
      return sockets.size;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
