// transport/ moves encoded messages to one endpoint and back, natively or on grpc-js, behind the interface in
// transport.ts. It knows of statuses and errors, and nothing of etcd's services, of other endpoints or of retries.

import { EtcdError, type Metadata, noMetadata, StatusCode } from '../errors.js';
import { onAbort } from '../util/on-abort.js';
import type { Waiter } from '../util/wait.js';
import type { ByteStream, UnaryResponse } from './transport.js';

/** A call in flight, in each transport. It ends once; each kind handles the events that concern it. */
export abstract class PendingCall {
  #unlisten: (() => void) | undefined;

  constructor(readonly method: string) {}

  /** Calls `abort` with the signal, until the call is over. */
  watch(signal: AbortSignal, abort: () => void): void {
    this.#unlisten = onAbort(signal, abort);
  }

  protected unwatch(): void {
    this.#unlisten?.();
  }

  /** The call is over without success, after all that has come. */
  abstract fail(reason: unknown): void;
  /** This side ends it. Messages that came and were not taken are dropped. */
  cut(reason: unknown): void {
    this.fail(reason);
  }
  answer(_response: UnaryResponse): void {}
  headersCame(_headers: Metadata): void {}
  messageCame(_message: Uint8Array): void {}
  messageSent(): void {}
  /** The call is over, with status OK. */
  finish(_trailers: Metadata): void {}
}

/** A unary call, whose promise settles with its end. */
export class UnaryCall extends PendingCall {
  readonly #resolve: (response: UnaryResponse) => void;
  readonly #reject: (reason: unknown) => void;

  constructor(method: string, resolve: (response: UnaryResponse) => void, reject: (reason: unknown) => void) {
    super(method);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  override answer(response: UnaryResponse): void {
    this.unwatch();
    this.#resolve(response);
  }

  override fail(reason: unknown): void {
    this.unwatch();
    this.#reject(reason);
  }
}

/** A stream: who waits for its headers, a message or room, and how it has ended. The transport decides where messages are kept. */
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
    // Few callers read the headers, and the failure reaches all of them by `receive`.
    this.headers.catch(() => {});
  }

  /** Passes a message on; whether there is room for another one. */
  protected abstract write(message: Uint8Array): boolean;
  /** Half-closes the stream. */
  protected abstract endWriting(): void;
  /** Takes the next message that has come; `undefined` where there is none. */
  protected abstract take(): Uint8Array | undefined;
  /** Forgets the messages that have come and were not taken. */
  protected abstract drop(): void;
  abstract cancel(reason?: unknown): void;

  protected get isOver(): boolean {
    return this.#over !== undefined;
  }

  send(message: Uint8Array): Promise<void> {
    if (this.#over !== undefined) return Promise.reject(this.#endedError());
    if (this.#sendClosed) return Promise.reject(sentAfterClose(this.method));
    const hasRoom = this.write(message);
    // To pass it on may find out that the transport has ended.
    if (this.isOver) return Promise.reject(this.#endedError());
    if (hasRoom) return Promise.resolve();
    return new Promise((resolve, reject) => this.#senders.push({ resolve, reject }));
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

  /** Gives a message to the one who waits for it; false if nobody does. */
  protected giveToReader(message: Uint8Array): boolean {
    const reader = this.#reader;
    if (reader === undefined) return false;
    this.#reader = undefined;
    reader.resolve(message);
    return true;
  }

  /** Gives who waits for a message one that has come by now. */
  protected wakeReader(): void {
    if (this.#reader === undefined) return;
    const message = this.take();
    if (message !== undefined) this.giveToReader(message);
  }

  /** There is room for so many messages more: those who wait for it continue. */
  protected wakeSenders(most: number): void {
    if (this.#senders.length === 0) return;
    for (const sender of this.#senders.splice(0, most)) sender.resolve();
  }

  #end(over: { readonly failure?: unknown }): void {
    if (this.#over !== undefined) return;
    this.#over = over;
    this.unwatch();
    this.#headers.reject(this.#endedError());
    for (const sender of this.#senders.splice(0)) sender.reject(this.#endedError());
    // Messages that came before the end, and for which nobody was woken yet, go first.
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

/** `send()` after `closeSend()`. */
function sentAfterClose(method: string): EtcdError {
  return new EtcdError('send after closeSend', { code: StatusCode.FAILED_PRECONDITION, method, sent: false });
}

/** `receive()` while another one waits. */
function alreadyWaiting(method: string): EtcdError {
  const message = 'receive() is already waiting; wait for it before the next';
  return new EtcdError(message, { code: StatusCode.FAILED_PRECONDITION, method, sent: false });
}

/** For what is still wanted of a stream that ended in order. */
function hasEnded(method: string): EtcdError {
  return new EtcdError('the server ended the stream', { code: StatusCode.CANCELLED, method, sent: true });
}

/** `cancel()` without a reason. */
export function wasCancelled(method: string): EtcdError {
  return new EtcdError('the call was cancelled', { code: StatusCode.CANCELLED, method, sent: true });
}
