import { EtcdError, type Metadata, noMetadata, StatusCode } from '../errors.js';
import type { ByteStream } from './transport.js';

/** A stream that is opened only after something else has arrived, such as a token. */
export class DeferredStream implements ByteStream {
  readonly headers: Promise<Metadata>;
  readonly #opened: Promise<ByteStream>;
  readonly #cancelled: (reason: unknown) => void;
  #stream: ByteStream | undefined;

  /** @param open opens the stream, unless it was cancelled before. */
  constructor(method: string, ready: Promise<unknown>, open: () => ByteStream) {
    let cancelled: ((reason: unknown) => void) | undefined;
    this.#opened = new Promise((resolve, reject) => {
      let over = false;
      cancelled = (reason) => {
        over = true;
        const init = { code: StatusCode.CANCELLED, method, sent: false };
        reject(reason ?? new EtcdError('the stream was cancelled', init));
      };
      ready
        .then(() => {
          if (over) return;
          this.#stream = open();
          resolve(this.#stream);
        })
        .catch(reject);
    });
    this.#cancelled = cancelled as unknown as (reason: unknown) => void;
    this.#opened.catch(() => {});
    this.headers = this.#opened.then((stream) => stream.headers);
    this.headers.catch(() => {});
  }

  get trailers(): Metadata {
    return this.#stream?.trailers ?? noMetadata;
  }

  send(message: Uint8Array): Promise<void> {
    return this.#opened.then((stream) => stream.send(message));
  }

  post(message: Uint8Array): void {
    this.#opened.then(
      (stream) => stream.post(message),
      () => {},
    );
  }

  closeSend(): void {
    this.#opened.then(
      (stream) => stream.closeSend(),
      () => {},
    );
  }

  gather(ms: number): void {
    this.#opened.then(
      (stream) => stream.gather(ms),
      () => {},
    );
  }

  receive(): Promise<Uint8Array | undefined> {
    return this.#opened.then((stream) => stream.receive());
  }

  poll(): Uint8Array | undefined {
    return this.#stream?.poll();
  }

  cancel(reason?: unknown): void {
    if (this.#stream === undefined) this.#cancelled(reason);
    else this.#stream.cancel(reason);
  }
}
