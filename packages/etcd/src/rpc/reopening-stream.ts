import { StatusCode, UnavailableError } from '../errors.js';
import type { ByteStream, CallOptions } from '../transport/transport.js';
import { type BackoffBounds, reopenMs } from './backoff.js';
import type { StreamMethod } from './call.js';
import { Pauses } from './pauses.js';
import type { Rpc } from './rpc.js';

/** What a {@link ReopeningStream} is made with. */
export interface ReopeningInit {
  readonly method: StreamMethod<never, unknown>;
  readonly options: CallOptions;
  readonly backoff: BackoffBounds;
  /** The error for a stream that the server ends with status OK. */
  readonly endedMessage: string;
  /** Whether the next stream should go to another endpoint after this failure. */
  readonly leavesEndpoint: (failure: unknown) => boolean;
  readonly referenced: boolean;
}

/** The user of a {@link ReopeningStream}. */
export interface StreamOwner {
  /** There is a stream, and nothing was sent on it yet. */
  opened(): void;
  /** A message has come. Nothing more is read until the promise resolves. An exception breaks the stream. */
  received(message: Uint8Array): Promise<void> | undefined;
  /**
   * There is no longer a stream. Unless the owner closes the {@link ReopeningStream}, another one follows after a
   * back-off.
   *
   * @param refused the server refused the stream's token, and the next stream gets another one.
   */
  broke(failure: unknown, refused: boolean): void;
}

/**
 * A stream to the server that is reopened after it broke: with back-off, at another endpoint if the former one is the
 * cause, and with another token if the server refused the former one.
 */
export class ReopeningStream {
  readonly #rpc: Rpc;
  readonly #init: ReopeningInit;
  readonly #owner: StreamOwner;
  #stream: ByteStream | undefined;
  /** The pauses between streams, from `open()` to `close()`. */
  #pauses: Pauses | undefined;
  /** How many streams in a row broke without an answer. */
  #failures = 0;
  /** How often in a row the server refused the token of a stream. */
  #tokenRefusals = 0;
  /** Whether this side ended the stream because its endpoint is the cause. */
  #brokenOff = false;
  #referenced: boolean;
  /** Whether the server has answered on this stream, so that the back-off starts over after it. */
  answered = false;

  constructor(rpc: Rpc, init: ReopeningInit, owner: StreamOwner) {
    this.#rpc = rpc;
    this.#init = init;
    this.#owner = owner;
    this.#referenced = init.referenced;
  }

  /** The stream while there is one. */
  get current(): ByteStream | undefined {
    return this.#stream;
  }

  /**
   * Opens a stream, and another one after each that broke, until {@link close}. Does nothing where one is already open.
   */
  open(): void {
    if (this.#pauses !== undefined) return;
    this.#pauses = new Pauses(this.#referenced);
    void this.#run(this.#pauses);
  }

  /** Sends a message on the stream, if there is one. A failure is reported when the stream breaks. */
  send(message: Uint8Array): void {
    this.#stream?.post(message);
  }

  /** Breaks the stream with this failure. The next one goes to another endpoint. */
  breakOff(failure: unknown): void {
    this.#brokenOff = true;
    this.#stream?.cancel(failure);
  }

  /** Whether this error refuses the stream's token, and another token may help. Then the next stream gets one. */
  takesAnotherToken(error: unknown): boolean {
    return this.#rpc.takesAnotherToken(error, this.#tokenRefusals);
  }

  /** The server has accepted the stream's token. */
  tokenTaken(): void {
    this.#tokenRefusals = 0;
  }

  /** Whether the wait for the next stream keeps the process alive. */
  setReferenced(referenced: boolean): void {
    this.#referenced = referenced;
    this.#pauses?.setReferenced(referenced);
  }

  /** Ends the stream, and opens no other one until {@link open}. Idempotent. */
  close(): void {
    const stream = this.#stream;
    const pauses = this.#pauses;
    this.#stream = undefined;
    this.#pauses = undefined;
    this.#failures = 0;
    this.#tokenRefusals = 0;
    stream?.cancel();
    pauses?.close();
  }

  async #run(pauses: Pauses): Promise<void> {
    while (this.#pauses === pauses) {
      const failure = await this.#serve(pauses);
      if (this.#pauses !== pauses) return;
      if (this.answered) this.#failures = 0;
      const refused = this.takesAnotherToken(failure);
      if (refused) this.#tokenRefusals += 1;
      this.#owner.broke(failure, refused);
      if (this.#pauses !== pauses) return;
      await pauses.pause(reopenMs(this.#failures++, this.#init.backoff));
    }
  }

  /** Opens a stream and reads it to its end; returns why it ended. */
  async #serve(pauses: Pauses): Promise<unknown> {
    const { method, options, endedMessage, leavesEndpoint } = this.#init;
    this.answered = false;
    this.#brokenOff = false;
    let stream: ByteStream;
    try {
      stream = this.#rpc.stream(method, options);
    } catch (error) {
      return error;
    }
    this.#stream = stream;
    this.#owner.opened();
    try {
      for (;;) {
        const message = stream.poll() ?? (await stream.receive());
        if (this.#pauses !== pauses) return undefined;
        if (message === undefined) {
          throw new UnavailableError(endedMessage, {
            code: StatusCode.UNAVAILABLE,
            method: method.path,
            sent: true,
          });
        }
        this.#rpc.check(stream, message);
        this.answered = true;
        // Also where nothing holds it up: whoever gets something from the message may use it before the next one is decoded. What all
        // messages of a turn hold together would outlive V8's scavenges.
        await this.#owner.received(message);
      }
    } catch (error) {
      if (this.#pauses === pauses && (this.#brokenOff || leavesEndpoint(error))) {
        this.#rpc.leaveEndpoint(stream, error);
      }
      return this.#rpc.inWordsOf(stream, error);
    } finally {
      if (this.#stream === stream) this.#stream = undefined;
      stream.cancel();
    }
  }
}
