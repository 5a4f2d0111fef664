import { dirname } from 'node:path';
import { EtcdError, errorOfCode, invalidArgument, StatusCode } from '../errors.js';
import { MaintenanceService } from '../rpc/generated/etcdserverpb/methods.js';
import { SnapshotRequest, SnapshotResponse } from '../rpc/generated/etcdserverpb/rpc.js';
import { readable } from '../rpc/messages/readable.js';
import { type CallControl, describeCall } from '../rpc/rpc.js';
import { wasCancelled } from '../transport/call-state.js';
import type { ByteStream } from '../transport/transport.js';
import { LinkedSignal } from '../util/abort/linked-signal.js';
import { atCaller } from '../util/at-caller.js';
import { Leavable, OneLoop } from '../util/item-iterator.js';
import { checkArgument, type Kind, kind, nonEmptyText, shown, text } from '../util/kinds.js';
import { guardMethods } from '../util/methods.js';
import { monotonicMs } from '../util/timers.js';

/** etcd ends a snapshot with the SHA-256 of everything before it. */
const DIGEST_BYTES = 32;

/** Options of `snapshot` and `snapshotTo`. */
export interface SnapshotOptions extends CallControl {
  /** The member to copy. Default: the endpoint that the client uses at that time. */
  readonly endpoint?: string | undefined;
}

/** @internal */
export const snapshotOptions = describeCall<SnapshotOptions>(
  'snapshot()',
  { endpoint: text },
  { example: "{ endpoint: 'http://127.0.0.1:2379' }" },
);

const fileName: Kind<string> = kind(
  (value) => nonEmptyText.fits(value) && !(value as string).includes('\0'),
  'a file name: a non-empty string without zero bytes',
);

/** @internal */
export function checkFile(file: string): void {
  checkArgument('file', fileName, file);
}

/** The result of a finished snapshot. */
export interface SnapshotInfo {
  /** The size of the snapshot in bytes, including the 32 bytes of the hash. */
  readonly bytes: number;
  /** SHA-256 of the database, in hexadecimal: the same as its last 32 bytes. */
  readonly sha256: string;
  /** Version of the database's format, such as `3.6.0`: an etcd of that minor version restores it. Empty before etcd 3.6. */
  readonly version: string;
}

/** The snapshot is incomplete, or its SHA-256 is wrong. Code `DATA_LOSS`. */
export class CorruptSnapshotError extends EtcdError {
  /** @internal */
  constructor(what: string) {
    super(`${what}; discard it and take another one`, {
      code: StatusCode.DATA_LOSS,
      method: MaintenanceService.snapshot.path,
      sent: true,
    });
  }
}

/**
 * The source of a snapshot's bytes.
 * @internal
 */
export interface SnapshotSource {
  /** The caller's signal, which ends the streams. */
  readonly signal?: AbortSignal | undefined;
  open(): ByteStream;
  /**
   * Whether to open another stream after this one, which has brought nothing. Waits until it is time.
   *
   * @param attempts how many streams have failed.
   * @param since when the first byte was first requested, by `monotonicMs()`.
   * @param until ends the wait.
   */
  mayReopen(
    stream: ByteStream,
    error: unknown,
    attempts: number,
    since: number,
    until: AbortSignal,
  ): Promise<boolean>;
  /**
   * How a failure of a stream is reported.
   *
   * @param answered whether the stream has brought a message.
   */
  inWords(stream: ByteStream, error: unknown, answered: boolean): unknown;
}

/**
 * The bytes of a snapshot, in chunks of up to 64 KiB, as an async iterable for one loop. They are read from the server
 * as the loop asks for them. Leaving the loop ends the transfer, as `close()` does. At its end the loop throws {@link
 * CorruptSnapshotError} if the SHA-256 is wrong. `Readable.from(snapshot)` makes a Node stream.
 */
export class Snapshot implements AsyncIterable<Uint8Array>, AsyncDisposable {
  readonly #source: SnapshotSource;
  readonly #closing = new AbortController();
  #stream: ByteStream;
  readonly #chunks: OneLoop<Uint8Array>;
  #info: SnapshotInfo | undefined;

  static {
    guardMethods<Snapshot>(Snapshot, (it) => #source in it, { promised: {}, direct: { close: 0 } });
  }

  /** @internal */
  constructor(source: SnapshotSource) {
    this.#source = source;
    this.#stream = this.#open();
    this.#chunks = new OneLoop(new Leavable(this.#receive(), () => this.close()), 'snapshot');
  }

  /** The result; `undefined` until the loop has ended and the hash was correct. */
  get info(): SnapshotInfo | undefined {
    return this.#info;
  }

  /** The remaining bytes. There can be one loop. */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, void, void> {
    return this.#chunks.iterator();
  }

  /** Ends the transfer; a waiting loop rejects as `CANCELLED`. Idempotent. */
  close(): void {
    this.#closing.abort(wasCancelled(MaintenanceService.snapshot.path));
    this.#stream.cancel();
  }

  /** The same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #open(): ByteStream {
    const stream = this.#source.open();
    // The answer reports how it fails.
    stream.send(SnapshotRequest.encode({}).finish()).catch(() => {});
    stream.closeSend();
    return stream;
  }

  /** The first message, from the first stream that brings one. */
  async #first(): Promise<Uint8Array | undefined> {
    const since = monotonicMs();
    using linked = new LinkedSignal([this.#source.signal, this.#closing.signal]);
    for (let attempts = 1; ; attempts++) {
      try {
        return await this.#stream.receive();
      } catch (error) {
        const again = await this.#source.mayReopen(this.#stream, error, attempts, since, linked.signal);
        if (!again) throw error;
        linked.signal.throwIfAborted();
        this.#stream = this.#open();
      }
    }
  }

  async *#receive(): AsyncGenerator<Uint8Array, void, void> {
    const { createHash } = await import('node:crypto');
    const database = createHash('sha256');
    let tail: Uint8Array = new Uint8Array(0);
    let bytes = 0;
    let remaining = 0n;
    let version = '';
    try {
      for (let message = await this.#first(); message; message = await this.#stream.receive()) {
        const response = readable(MaintenanceService.snapshot.path, () => SnapshotResponse.decode(message));
        const { blob } = response;
        version ||= response.version;
        remaining = response.remainingBytes;
        bytes += blob.length;
        // The hash covers everything except the last bytes. Which bytes are the last is known only at the end.
        const held = Buffer.concat([tail, blob]);
        const known = Math.max(0, held.length - DIGEST_BYTES);
        database.update(held.subarray(0, known));
        tail = held.subarray(known);
        // The consumer of the bytes may transfer their buffer.
        const alone = message.length === message.buffer.byteLength;
        if (blob.length > 0) yield alone ? blob : new Uint8Array(blob);
      }
    } catch (error) {
      throw atCaller(this.#source.inWords(this.#stream, error, bytes > 0), this.#source.signal);
    } finally {
      this.close();
    }
    if (remaining !== 0n || tail.length < DIGEST_BYTES) {
      throw new CorruptSnapshotError(`the snapshot ended after ${bytes} bytes, ${remaining} short`);
    }
    const sha256 = database.digest('hex');
    if (sha256 !== Buffer.from(tail).toString('hex')) {
      throw new CorruptSnapshotError(
        `the SHA-256 of the snapshot is ${sha256}, which differs from the one at its end`,
      );
    }
    this.#info = { bytes, sha256, version };
  }
}

/**
 * Writes a snapshot to a file, which exists only once it is complete.
 * @internal
 */
export async function writeSnapshot(file: string, start: () => Snapshot): Promise<SnapshotInfo> {
  const { open, realpath, rename, rm, stat } = await import('node:fs/promises');
  // The file that a link leads to is replaced, and not the link.
  const target = await realpath(file).catch(() => file);
  const there = await stat(target).catch(() => undefined);
  if (there?.isDirectory())
    throw invalidArgument(`file is ${shown(file)}, a directory; give the name of a file in it`);
  if (there?.isFile() === false) {
    throw invalidArgument(
      `file is ${shown(file)}, which is not a regular file; to write to a device or a pipe, loop over maintenance.snapshot()`,
    );
  }
  const part = `${target}.part-${globalThis.crypto.randomUUID()}`;
  const handle = await open(part, 'wx', 0o600).catch((cause: unknown) => {
    throw cannotWrite(file, cause);
  });
  try {
    try {
      await using snapshot = start();
      for await (const chunk of snapshot) await handle.appendFile(chunk);
      await handle.sync();
      await handle.close();
      await rename(part, target);
      await syncDirectory(dirname(target));
      return snapshot.info as SnapshotInfo;
    } finally {
      await handle.close();
    }
  } catch (error) {
    await rm(part, { force: true });
    throw cannotWrite(file, error);
  }
}

/** Converts a failure of the file system into one of a call. Returns other failures as they are. */
function cannotWrite(file: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return error;
  const message = `the snapshot can't be written to ${shown(file)}: ${error.message}`;
  if (NAME_IS_WRONG.has(String(error.code))) return invalidArgument(message, error);
  const code = error.code === 'ENOSPC' ? StatusCode.RESOURCE_EXHAUSTED : StatusCode.UNAVAILABLE;
  return errorOfCode(message, { code, method: MaintenanceService.snapshot.path, sent: true, cause: error });
}

const NAME_IS_WRONG: ReadonlySet<string> = new Set([
  ...['EACCES', 'EISDIR', 'ELOOP', 'ENAMETOOLONG', 'ENOENT', 'ENOTDIR', 'EPERM', 'EROFS'],
]);

/** Makes the new name survive a crash of the machine, where the system can sync a directory. */
async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return;
  const { open } = await import('node:fs/promises');
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
