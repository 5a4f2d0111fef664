import type { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { types } from '../built-in.js';
import type { ByteStream, CallOptions } from '../transport/transport.js';
import { atCaller } from '../util/at-caller.js';
import { Leavable, OneLoop } from '../util/item-iterator.js';
import { abortSignal, aFunction, checkArgument, flag, type Kind, kind, milliseconds } from '../util/kinds.js';
import { guardMethods } from '../util/methods.js';
import { Description } from '../util/options.js';
import { type Call, idempotentCall, writeCall } from './call.js';
import type { MessageReader } from './messages/message-reader.js';
import type { CallControl, Rpc } from './rpc.js';

/** An RPC for which the client has no method: its name, and how its messages are encoded and decoded. */
export interface RpcMethod<Request, Response> {
  /** Full name, such as `/v3lockpb.Lock/Lock`. */
  readonly path: string;
  /** Encodes a request, as protobuf. */
  readonly encode: (request: Request) => Uint8Array;
  /** Decodes a response. It may keep the bytes. */
  readonly decode: (response: Uint8Array) => Response;
  /**
   * Whether sending a unary call twice has the same effect as once. Then it is sent again like a read; otherwise like a
   * write, only if the attempt before was certainly not applied. Default false.
   */
  readonly idempotent?: boolean | undefined;
}

/** Options of a stream. Unlike a call, a stream has no deadline by default. */
export interface RpcStreamOptions extends Pick<CallControl, 'signal'> {
  /** End the stream if the member knows of no leader. Default false. etcd: `hasleader`. */
  readonly requireLeader?: boolean | undefined;
  /** Deadline of the whole stream, in ms from now. Default: none. */
  readonly timeoutMs?: number | undefined;
}

const methodName: Kind<string> = kind(
  (value) => typeof value === 'string' && /^\/[^/\s]+\/[^/\s]+$/.test(value),
  'a full name such as "/v3lockpb.Lock/Lock"',
);

const methodFields = new Description<RpcMethod<never, unknown>>(
  'a method',
  { path: methodName, encode: aFunction(), decode: aFunction(), idempotent: flag },
  {
    required: ['path', 'encode', 'decode'],
    example: "{ path: '/v3lockpb.Lock/Lock', encode, decode }",
  },
);

const streamOptions = new Description<RpcStreamOptions>('stream()', {
  signal: abortSignal,
  requireLeader: flag,
  timeoutMs: milliseconds,
});

/** @internal */
export function rawCall<Request, Response>(
  method: RpcMethod<Request, Response>,
): Call<Request, Uint8Array, Response> {
  methodFields.check(method);
  const { path, encode, decode, idempotent = false } = method;
  const call = idempotent ? idempotentCall : writeCall;
  const request = {
    encode: (message: Request, writer: BinaryWriter) => writer.raw(encoded(encode, message)),
  };
  return call({ kind: 'unary', path, request, response: wholeMessage }, decode);
}

/** The result of a method's `encode`. Only bytes may get into the frames in which calls are sent. */
function encoded<Request>(encode: (request: Request) => Uint8Array, request: Request): Uint8Array {
  const bytes: unknown = encode(request);
  checkArgument('what encode() returned', messageBytes, bytes);
  return bytes;
}

const messageBytes: Kind<Uint8Array> = kind(
  (value) => types.isUint8Array(value),
  'the encoded message, as a Uint8Array',
);

const wholeMessage = {
  decode: (reader: BinaryReader): Uint8Array => (reader as MessageReader).message.slice(),
};

/**
 * A streaming RPC for which the client has no method: it sends requests, and a loop over it reads the responses. It
 * isn't opened again when it breaks: only its owner knows what a new stream must ask for.
 *
 * Both directions are bounded: {@link send} waits for room, and the server is held back while nobody reads. The stream
 * keeps the process alive while it lasts, unless the client's `unref()` was called.
 */
export class RpcStream<Request, Response> implements AsyncIterable<Response>, AsyncDisposable {
  readonly #rpc: Rpc;
  readonly #method: RpcMethod<Request, Response>;
  readonly #stream: ByteStream;
  readonly #options: RpcStreamOptions;
  readonly #responses: OneLoop<Response>;
  #left = false;
  #answered = false;

  static {
    guardMethods<RpcStream<never, unknown>>(RpcStream, (it) => #stream in it, {
      promised: { send: 1 },
      direct: { closeSend: 0, cancel: 0 },
    });
  }

  /** @internal */
  constructor(rpc: Rpc, method: RpcMethod<Request, Response>, options: RpcStreamOptions) {
    methodFields.check(method);
    streamOptions.check(options);
    const { signal, timeoutMs, requireLeader } = options;
    const callOptions: CallOptions = {
      ...(signal !== undefined && { signal }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(requireLeader && { metadata: { hasleader: 'true' } }),
    };
    signal?.throwIfAborted();
    this.#rpc = rpc;
    this.#options = options;
    this.#method = method;
    this.#stream = rpc.streamOf(method.path, callOptions);
    // The reader learns how the stream ended.
    this.#stream.headers.catch(() => {});
    this.#responses = new OneLoop(new Leavable(this.#receive(), () => this.cancel()), 'stream');
  }

  /** Sends one request. Resolves when there is room for another one. Rejects once the stream has ended. */
  async send(request: Request): Promise<void> {
    const message = encoded(this.#method.encode, request);
    try {
      await this.#stream.send(message);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Declares that no more requests follow. A method that takes a single request answers only after that. */
  closeSend(): void {
    this.#stream.closeSend();
  }

  /**
   * Yields the responses until the stream ends; leaving the loop cancels it. There can be one loop.
   *
   * @throws EtcdError of the matching class when the stream ends with a status other than OK, the reason of its
   * `signal` when that aborts, ClosedError once the client is closed.
   */
  [Symbol.asyncIterator](): AsyncGenerator<Response, void, void> {
    // A later reader gets the end of the stream.
    return this.#left ? this.#receive() : this.#responses.iterator();
  }

  async *#receive(): AsyncGenerator<Response, void, void> {
    try {
      for (;;) {
        const message = await this.#stream.receive();
        if (message === undefined) return;
        this.#answered = true;
        yield this.#method.decode(message.slice());
      }
    } catch (error) {
      // The next stream or call gets another token.
      this.#rpc.takesAnotherToken(error, 0);
      throw this.#failure(error);
    } finally {
      this.#left = true;
      this.cancel();
    }
  }

  /** Ends the stream at once. A loop over it throws an error with code `CANCELLED`. Idempotent. */
  cancel(): void {
    this.#stream.cancel();
  }

  /** The same as {@link cancel}. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel();
  }

  #failure(error: unknown): unknown {
    return atCaller(
      this.#rpc.inWordsOf(this.#stream, error, this.#options, this.#answered),
      this.#options.signal,
    );
  }
}
