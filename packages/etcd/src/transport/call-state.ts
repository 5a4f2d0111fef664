// transport/ moves encoded messages to one endpoint and back, natively or on grpc-js, behind the interface in
// transport.ts. It knows about statuses and errors, but not about etcd's services, other endpoints or retries.

import { EtcdError, type Metadata, noMetadata, StatusCode } from '../errors.js';
import { onAbort } from '../util/abort/on-abort.js';
import type { Waiter } from '../util/wait.js';
import type { ByteStream, UnaryResponse } from './transport.js';

/** A call in flight, in each transport. It ends once. Each subclass handles the events that concern it. */
export abstract class PendingCall {
  #unlisten: (() => void) | undefined;

  constructor(readonly method: string) {}

  /** Calls `abort` when the signal aborts, until the call is over. */
  watch(signal: AbortSignal, abort: () => void): void {
    this.#unlisten = onAbort(signal, abort);
  }

  protected unwatch(): void {
    this.#unlisten?.();
  }

  /** The call has ended without success, after everything that has arrived. */
  abstract fail(reason: unknown): void;
  /** This side ends the call. Messages that arrived and were not taken are dropped. */
  cut(reason: unknown): void {
    this.fail(reason);
  }
  answer(_response: UnaryResponse): void {}
  headersCame(_headers: Metadata): void {}
  messageCame(_message: Uint8Array): void {}
  messageSent(): void {}
  /** The call has ended with status OK. */
  finish(_trailers: Metadata): void {}
}

/** A unary call, whose promise settles with its end. */
export class UnaryCall extends PendingCall {
  /**
   * Who waits for the end. Afterwards the call holds neither them nor the answer: the call itself may stay for longer. A `Map`
   * that grows or is tidied up leaves its old table to the garbage collector, with all calls that were in it. Old tables hold
   * newer ones, and V8 collects the first of them only in a full collection.
   */
  #waiter: Waiter<UnaryResponse> | undefined;

  constructor(method: string, resolve: (response: UnaryResponse) => void, reject: (reason: unknown) => void) {
    super(method);
    this.#waiter = { resolve, reject };
  }

  override answer(response: UnaryResponse): void {
    this.#end()?.resolve(response);
  }

  override fail(reason: unknown): void {
    this.#end()?.reject(reason);
  }

  #end(): Waiter<UnaryResponse> | undefined {
    this.unwatch();
    const waiter = this.#waiter;
    this.#waiter = undefined;
    return waiter;
  }
}

/**
 * A stream: who waits for its headers, for a message or for room, and how it ended. The transport decides where
 * messages are kept.
 */
export abstract class StreamCall extends PendingCall implements ByteStream {
  readonly headers: Promise<Metadata>;
  trailers: Metadata = noMetadata;
  readonly #headers: Waiter<Metadata>;
  #reader: Waiter<Uint8Array | undefined> | undefined;
  readonly #senders: Waiter<void>[] = [];
  #sendClosed = false;
  #over: { readonly failure?: unknown } | undefined;

  constructor(method: string) {
    super(method);
    let waiter: Waiter<Metadata> | undefined;
    this.headers = new Promise((resolve, reject) => {
      waiter = { resolve, reject };
    });
    this.#headers = waiter as unknown as Waiter<Metadata>;
    // Few callers read the headers, and every caller gets the failure from `receive`.
    this.headers.catch(() => {});
  }

  /** Passes a message on. Returns whether there is room for another one. */
  protected abstract write(message: Uint8Array): boolean;
  /** Half-closes the stream. */
  protected abstract endWriting(): void;
  /** Takes the next message that has arrived; `undefined` where there is none. */
  protected abstract take(): Uint8Array | undefined;
  /** Drops the messages that have arrived and were not taken. */
  protected abstract drop(): void;
  abstract cancel(reason?: unknown): void;

  protected get isOver(): boolean {
    return this.#over !== undefined;
  }

  send(message: Uint8Array): Promise<void> {
    if (this.#over !== undefined) return Promise.reject(this.#endedError());
    if (this.#sendClosed) return Promise.reject(sentAfterClose(this.method));
    const hasRoom = this.write(message);
    // Passing the message on may reveal that the transport has ended.
    if (this.isOver) return Promise.reject(this.#endedError());
    if (hasRoom) return Promise.resolve();
    return new Promise((resolve, reject) => this.#senders.push({ resolve, reject }));
  }

  post(message: Uint8Array): void {
    if (this.#over === undefined && !this.#sendClosed) this.write(message);
  }

  closeSend(): void {
    if (this.#sendClosed || this.#over !== undefined) return;
    this.#sendClosed = true;
    this.endWriting();
  }

  /** A hint that a transport may ignore. */
  gather(_ms: number): void {}

  receive(): Promise<Uint8Array | undefined> {
    if (this.#reader !== undefined) return Promise.reject(alreadyWaiting(this.method));
    const message = this.take();
    if (message !== undefined) return Promise.resolve(message);
    if (this.#over !== undefined) {
      return 'failure' in this.#over ? Promise.reject(this.#over.failure) : Promise.resolve(undefined);
    }
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  poll(): Uint8Array | undefined {
    return this.#reader === undefined ? this.take() : undefined;
  }

  override headersCame(headers: Metadata): void {
    this.#headers.resolve(headers);
  }

  override finish(trailers: Metadata): void {
    this.trailers = trailers;
    this.#end({});
  }

  override fail(reason: unknown): void {
    if (reason instanceof EtcdError) this.trailers = reason.trailers;
    this.#end({ failure: reason });
  }

  override cut(reason: unknown): void {
    this.drop();
    this.fail(reason);
  }

  /** Gives a message to the waiting reader. Returns false if nobody waits. */
  protected giveToReader(message: Uint8Array): boolean {
    const reader = this.#reader;
    if (reader === undefined) return false;
    this.#reader = undefined;
    reader.resolve(message);
    return true;
  }

  /** Gives the waiting reader, if there is one, a message that has arrived by now. */
  protected wakeReader(): void {
    if (this.#reader === undefined) return;
    const message = this.take();
    if (message !== undefined) this.giveToReader(message);
  }

  /** There is room for this many more messages, so as many waiting senders continue. */
  protected wakeSenders(most: number): void {
    // One by one, as `splice` would move all remaining senders each time.
    for (let left = Math.min(most, this.#senders.length); left > 0; left--) this.#senders.shift()?.resolve();
  }

  #end(over: { readonly failure?: unknown }): void {
    if (this.#over !== undefined) return;
    this.#over = over;
    this.unwatch();
    this.#headers.reject(this.#endedError());
    for (const sender of this.#senders.splice(0)) sender.reject(this.#endedError());
    // Messages that arrived before the end, and for which nobody was woken yet, come first.
    this.wakeReader();
    const reader = this.#reader;
    if (reader === undefined) return;
    this.#reader = undefined;
    if ('failure' in over) reader.reject(over.failure);
    else reader.resolve(undefined);
  }

  #endedError(): unknown {
    if (this.#over !== undefined && 'failure' in this.#over) return this.#over.failure;
    return hasEnded(this.method);
  }
}

/** The error of `send()` after `closeSend()`. */
function sentAfterClose(method: string): EtcdError {
  return new EtcdError('send after closeSend', { code: StatusCode.FAILED_PRECONDITION, method, sent: false });
}

/** The error of `receive()` while another one waits. */
function alreadyWaiting(method: string): EtcdError {
  const message = 'receive() is already waiting; wait for it before the next';
  return new EtcdError(message, { code: StatusCode.FAILED_PRECONDITION, method, sent: false });
}

/** The error for what a caller still wants from a stream that the server ended with status OK. */
function hasEnded(method: string): EtcdError {
  return new EtcdError('the server ended the stream', { code: StatusCode.CANCELLED, method, sent: true });
}

/** The error of a call after `cancel()` without a reason. */
export function wasCancelled(method: string): EtcdError {
  const error = new EtcdError('the call was cancelled', { code: StatusCode.CANCELLED, method, sent: true });
  cancelled.add(error);
  return error;
}

const cancelled = new WeakSet<object>();

/** Whether a call ended because nobody wants it any more, which is not a failure. */
export function isUnwanted(error: unknown): boolean {
  return typeof error === 'object' && error !== null && cancelled.has(error);
}
