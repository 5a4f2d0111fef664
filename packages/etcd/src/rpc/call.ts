import type { BinaryReader } from '@bufbuild/protobuf/wire';
import type { Encoding } from './messages/encode-message.js';
import { MessageReader } from './messages/message-reader.js';
import { unreadable } from './messages/readable.js';

/** A method of an etcd service, as proto/protoc-gen-methods.mjs generates it. */
interface Method<Kind extends string, Request, Response> {
  readonly kind: Kind;
  /** Full name, such as `/etcdserverpb.KV/Range`. */
  readonly path: string;
  readonly request: Encoding<Request>;
  readonly response: { decode(message: BinaryReader): Response };
}

/** A method with one request and one response. */
export type UnaryMethod<Request, Response> = Method<'unary', Request, Response>;

/** A method with a stream of requests, of responses, or of both. */
export type StreamMethod<Request, Response> = Method<
  'client_streaming' | 'server_streaming' | 'bidi_streaming',
  Request,
  Response
>;

/**
 * The options of a call that was given none. They are not checked.
 * @internal
 */
export const none = {};

/** Checks the options of a call, and throws where they are wrong; their `Description` does that. */
export interface OptionsCheck {
  check(options: unknown): void;
}

/** A unary method, as a part of the client calls it. */
export interface Call<Request, Response, Result> {
  readonly method: UnaryMethod<Request, Response>;
  /** Makes the result from the response. */
  readonly result: (response: Response) => Result;
  /** Checks the options that the caller gives; absent where they are a `CallControl`. */
  readonly options: OptionsCheck | undefined;
  /** Whether a second attempt changes nothing where the first one may have been applied. */
  readonly idempotent: boolean;
  /** Whether the call changes nothing at all, although its method could. */
  readonly readOnly?: boolean;
}

/** A call that has the same effect when it is sent twice; mostly a read. */
export function idempotentCall<Request, Response, Result>(
  method: UnaryMethod<Request, Response>,
  result: (response: Response) => Result,
  options?: OptionsCheck,
): Call<Request, Response, Result> {
  return { method, result, options, idempotent: true };
}

/** A call that changes nothing, with a method that could. */
export function readCall<Request, Response, Result>(
  method: UnaryMethod<Request, Response>,
  result: (response: Response) => Result,
  options?: OptionsCheck,
): Call<Request, Response, Result> {
  return { method, result, options, idempotent: true, readOnly: true };
}

/** A call that is sent again only when the first attempt is known not to have been applied. */
export function writeCall<Request, Response, Result>(
  method: UnaryMethod<Request, Response>,
  result: (response: Response) => Result,
  options?: OptionsCheck,
): Call<Request, Response, Result> {
  return { method, result, options, idempotent: false };
}

/** For calls with an empty response. */
export function nothing(): void {}

/**
 * Decodes an answer. Byte strings in it are copies: see {@link MessageReader}.
 *
 * @throws EtcdError where it can't be read.
 */
export function answerTo<Response>(
  { path, response }: UnaryMethod<never, Response>,
  message: Uint8Array,
): Response {
  try {
    return response.decode(new MessageReader(message));
  } catch (cause) {
    throw unreadable(path, cause);
  }
}
