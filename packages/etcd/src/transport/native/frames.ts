/**
 * The framing of what crosses into the native addon and back. All integers are little-endian. A batch is a sequence of
 * frames with nothing between them. A long message crosses separately. The other half is
 * crates/etcd-transport/src/frames.rs.
 */
import { type Metadata, noMetadata } from '../../errors.js';

const Op = { unary: 1, openStream: 2, send: 3, closeSend: 4, credit: 5, cancel: 6, gather: 7 } as const;
const Completion = { unaryOk: 1, headers: 2, message: 3, sent: 4, end: 5, broken: 6 } as const;

/** Stands for a message's length where the message is not in the frames. On the way up its length follows. */
const BY_ITSELF = 0xffffffff;

/** From this many bytes on, a message is not put in the frames. */
const LONG_BYTES = 32 * 1024;

/** gRPC's prefix of a message: one byte that says whether it is compressed, and its length in four bytes. */
const PREFIX_BYTES = 5;

const INITIAL_BYTES = 64 * 1024;

/** The longest name that the framing can hold, in bytes. */
const LONGEST_NAME = 0xffff;

/** Collects the commands of one turn of the event loop. */
export class CommandBatch {
  #buffer: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #view: DataView = new DataView(this.#buffer.buffer);
  #length = 0;
  #opened = 0;
  #givenBytes = 0;
  readonly #giveLong: (message: Uint8Array) => void;
  readonly #methods = new Map<string, Uint8Array>();

  /** @param giveLong takes the messages that are not in the frames, in the order of the commands. It copies them. */
  constructor(giveLong: (message: Uint8Array) => void) {
    this.#giveLong = giveLong;
  }

  /** Bytes collected in {@link buffer}. */
  get length(): number {
    return this.#length;
  }

  /** Bytes collected, including the messages that are not in the frames. */
  get wholeLength(): number {
    return this.#length + this.#givenBytes;
  }

  /** Number of calls opened. */
  get opened(): number {
    return this.#opened;
  }

  /** The bytes collected, at the start of a larger buffer. Read it before the next command. */
  get buffer(): Uint8Array {
    return this.#buffer;
  }

  /** Starts over. */
  clear(): void {
    this.#length = 0;
    this.#opened = 0;
    this.#givenBytes = 0;
    if (this.#buffer.length > 16 * INITIAL_BYTES) this.#use(Buffer.allocUnsafeSlow(INITIAL_BYTES));
  }

  /** A unary call; `timeoutMs` 0 means no deadline. Throws, and adds nothing, when the framing can't hold it. */
  unary(id: number, timeoutMs: number, method: string, metadata: CallMetadata, message: Uint8Array): void {
    this.#open(Op.unary, id, timeoutMs, method, metadata, message);
  }

  /** Opens a stream; `timeoutMs` 0 means no deadline. Throws like {@link unary}. */
  openStream(id: number, timeoutMs: number, method: string, metadata: CallMetadata): void {
    this.#open(Op.openStream, id, timeoutMs, method, metadata, undefined);
  }

  /** One message on a stream. Throws like {@link unary}. */
  send(id: number, message: Uint8Array): void {
    const before = this.#length;
    try {
      this.#reserve(5);
      this.#op(Op.send, id);
      this.#message(message);
    } catch (error) {
      this.#length = before;
      throw error;
    }
  }

  /** Half-closes a stream. */
  closeSend(id: number): void {
    this.#reserve(5);
    this.#op(Op.closeSend, id);
  }

  /** Returns credit for messages of a stream that were taken. */
  credit(id: number, credit: number): void {
    this.#reserve(9);
    this.#op(Op.credit, id);
    this.#u32(credit);
  }

  /** Allows the messages of a stream to wait this long, so that many cross together. */
  gather(id: number, ms: number): void {
    this.#reserve(9);
    this.#op(Op.gather, id);
    this.#u32(ms);
  }

  /** Ends a call at once. */
  cancel(id: number): void {
    this.#reserve(5);
    this.#op(Op.cancel, id);
  }

  #open(
    op: number,
    id: number,
    timeoutMs: number,
    method: string,
    metadata: CallMetadata,
    message: Uint8Array | undefined,
  ): void {
    const before = this.#length;
    try {
      const name = this.#methods.get(method) ?? this.#newMethod(method);
      this.#reserve(13 + name.length);
      const view = this.#view;
      let at = this.#length;
      view.setUint8(at, op);
      view.setUint32(at + 1, id, true);
      view.setUint32(at + 5, timeoutMs, true);
      view.setUint16(at + 9, name.length, true);
      this.#buffer.set(name, at + 11);
      at += 11 + name.length;
      if (metadata === undefined) {
        view.setUint16(at, 0, true);
        this.#length = at + 2;
      } else {
        this.#length = at;
        this.#metadata(metadata);
      }
      this.#message(message);
    } catch (error) {
      // Half a frame would make the rest of the batch unreadable.
      this.#length = before;
      throw error;
    }
    this.#opened += 1;
  }

  #newMethod(method: string): Uint8Array {
    const name = Buffer.from(method);
    if (name.length > LONGEST_NAME) throw new RangeError(`the method's name has ${name.length} bytes`);
    this.#methods.set(method, name);
    return name;
  }

  #metadata(metadata: NonNullable<CallMetadata>): void {
    const entries = Object.entries(metadata);
    this.#reserve(2);
    this.#u16(entries.length);
    for (const [name, value] of entries) {
      const nameBytes = Buffer.from(name.toLowerCase());
      const valueBytes = Buffer.from(value);
      this.#reserve(10 + nameBytes.length + valueBytes.length);
      this.#u16(nameBytes.length);
      this.#copy(nameBytes);
      this.#bytes(valueBytes);
    }
  }

  /** A length of 0 stands for no message: even an empty message has its prefix. */
  #message(message: Uint8Array | undefined): void {
    if (message === undefined) {
      this.#reserve(4);
      this.#u32(0);
    } else if (message.length >= LONG_BYTES) {
      this.#reserve(4);
      this.#giveLong(message);
      this.#givenBytes += message.length;
      this.#u32(BY_ITSELF);
    } else {
      const { length } = message;
      this.#reserve(4 + PREFIX_BYTES + length);
      const view = this.#view;
      const at = this.#length;
      view.setUint32(at, PREFIX_BYTES + length, true);
      view.setUint8(at + 4, 0);
      view.setUint32(at + 5, length);
      this.#buffer.set(message, at + 4 + PREFIX_BYTES);
      this.#length = at + 4 + PREFIX_BYTES + length;
    }
  }

  // What follows writes without a check: #reserve has made room.

  #op(op: number, id: number): void {
    this.#buffer[this.#length++] = op;
    this.#u32(id);
  }

  /** Throws for a number that is too large. */
  #u16(value: number): void {
    this.#length = this.#buffer.writeUInt16LE(value, this.#length);
  }

  #u32(value: number): void {
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  #bytes(bytes: Uint8Array): void {
    this.#u32(bytes.length);
    this.#copy(bytes);
  }

  #copy(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed + INITIAL_BYTES, 2 * this.#buffer.length));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#use(larger);
  }

  #use(buffer: Buffer): void {
    this.#buffer = buffer;
    this.#view = new DataView(buffer.buffer);
  }
}

/** Metadata to send with a call. */
export type CallMetadata = Readonly<Record<string, string>> | undefined;

/**
 * Takes the contents of a {@link CompletionBatch}. Messages are views of the batch, or separate buffers if they are
 * long.
 */
export interface CompletionHandler {
  /** The answer to a unary call, which is over. */
  unaryOk(id: number, headers: Metadata, trailers: Metadata, message: Uint8Array): void;
  /** The response headers of a stream. */
  headers(id: number, headers: Metadata): void;
  /** One message of a stream. */
  message(id: number, message: Uint8Array): void;
  /** The connection took one message of a stream. */
  sent(id: number): void;
  /** A call is over with this status; `sent` is false when its request never left this process. */
  end(id: number, code: number, sent: boolean, details: string, trailers: Metadata): void;
  /** The addon could not read the commands: all calls are over. */
  broken(details: string): void;
}

/**
 * The result of one drain: a byte that says whether there is more to drain, then the frames, which are read in order.
 */
export class CompletionBatch {
  readonly #frames: Buffer;
  readonly #view: DataView;
  readonly #takeLong: (into: Uint8Array) => void;
  readonly #end: number;
  #at = 1;
  /** Whether there is another batch, for which the addon doesn't call `wake`. */
  readonly isFollowed: boolean;

  /** @param takeLong fills a buffer with the next message that is not in the frames. */
  constructor(frames: Buffer, takeLong: (into: Uint8Array) => void) {
    this.#frames = frames;
    this.#view = new DataView(frames.buffer, frames.byteOffset, frames.length);
    this.#takeLong = takeLong;
    this.#end = frames.length;
    this.isFollowed = frames[0] === 1;
  }

  get isRead(): boolean {
    return this.#at >= this.#end;
  }

  /**
   * Reads at most this many frames, and returns how many it read. Throws for a frame that the addon can't have written.
   */
  read(most: number, handler: CompletionHandler): number {
    const view = this.#view;
    let count = 0;
    for (; count < most && this.#at < this.#end; count++) {
      const op = view.getUint8(this.#at);
      const id = view.getUint32(this.#at + 1, true);
      this.#at += 5;
      if (op === Completion.unaryOk) {
        const headers = this.#metadata();
        const trailers = this.#metadata();
        handler.unaryOk(id, headers, trailers, this.#message());
      } else this.#other(op, id, handler);
    }
    return count;
  }

  #other(op: number, id: number, handler: CompletionHandler): void {
    const frames = this.#frames;
    switch (op) {
      case Completion.headers:
        handler.headers(id, this.#metadata());
        break;
      case Completion.message:
        handler.message(id, this.#message());
        break;
      case Completion.sent:
        handler.sent(id);
        break;
      case Completion.end: {
        const code = frames.readUInt8(this.#at);
        const sent = frames.readUInt8(this.#at + 1) !== 0;
        this.#at += 2;
        const details = this.#text();
        handler.end(id, code, sent, details, this.#metadata());
        break;
      }
      case Completion.broken:
        handler.broken(this.#text());
        break;
      default:
        throw new Error(
          `the native addon sent an unknown frame (${op}): its version differs from this package's`,
        );
    }
  }

  #message(): Uint8Array {
    const frames = this.#frames;
    const length = this.#view.getUint32(this.#at, true);
    const start = this.#at + 4;
    if (length === BY_ITSELF) {
      this.#at = start + 4;
      // The buffer isn't read before it is filled.
      const long = Buffer.allocUnsafeSlow(this.#view.getUint32(start, true));
      this.#takeLong(long);
      return long;
    }
    this.#skipTo(start + length);
    return new Uint8Array(frames.buffer, frames.byteOffset + start, length);
  }

  #text(): string {
    const start = this.#at + 4;
    this.#skipTo(start + this.#view.getUint32(this.#at, true));
    return this.#frames.toString('utf8', start, this.#at);
  }

  #metadata(): Metadata {
    const count = this.#view.getUint16(this.#at, true);
    this.#at += 2;
    return count === 0 ? noMetadata : this.#fields(count);
  }

  #fields(count: number): Metadata {
    const read: Record<string, string[]> = Object.create(null);
    for (let i = 0; i < count; i++) {
      const name = this.#text();
      const value = this.#text();
      const values = read[name];
      if (values === undefined) read[name] = [value];
      else values.push(value);
    }
    return read;
  }

  #skipTo(end: number): void {
    if (end > this.#end) throw new RangeError('a frame of the native addon is cut off');
    this.#at = end;
  }
}
