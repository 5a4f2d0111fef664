import { createRequire } from 'node:module';

/** What crosses into the addon's `NativeTransport` constructor; see crates/etcd-transport/src/lib.rs. */
export interface NativeOptions {
  readonly endpoint: string;
  readonly ca?: Uint8Array;
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
  readonly serverName?: string;
  readonly keepAliveIntervalMs?: number;
  readonly keepAliveTimeoutMs: number;
  readonly keepAliveWhileIdle: boolean;
  readonly tcpKeepAliveMs: number;
  readonly connectTimeoutMs: number;
}

/** The addon's object: one connection on the runtime of this napi env. */
export interface NativeBinding {
  /** Hands down the first `length` bytes of a batch, which opens `opened` calls. False once closed. */
  submit(batch: Uint8Array, length: number, opened: number): boolean;
  /** The frames of all that has completed since the last drain. */
  drain(): Buffer;
  setReferenced(referenced: boolean): void;
  /** After it returns there are no more calls of `wake`. Idempotent. */
  close(): void;
}

/** The addon's exports. */
export interface NativeAddon {
  readonly NativeTransport: new (options: NativeOptions, wake: () => void) => NativeBinding;
}

let loaded: NativeAddon | Error | undefined;

/** The addon for this platform, or why it can't be loaded. */
export function loadNativeAddon(): NativeAddon | Error {
  loaded ??= load();
  return loaded;
}

function load(): NativeAddon | Error {
  const path = `../../../native/etcd-transport.${process.platform}-${process.arch}.node`;
  try {
    return createRequire(import.meta.url)(path) as NativeAddon;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    return new Error(`no native transport for ${process.platform}-${process.arch}: ${reason}`, { cause });
  }
}
