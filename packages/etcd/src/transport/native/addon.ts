// transport/native/ is the TypeScript half of the native transport: it loads the addon, encodes the frames that cross
// into it, and decides how much is handled in a turn. The other half is crates/etcd-transport.

import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { builtIn } from '../../built-in.js';
import { isShortage, shortage } from '../shortage.js';

/** TLS options as they cross into the addon. */
export interface NativeTls {
  readonly ca?: Uint8Array;
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
  readonly serverName?: string;
  readonly skipVerification: boolean;
}

/** What crosses into the addon's `NativeTransport` constructor; see crates/etcd-transport/src/lib.rs. */
export interface NativeOptions {
  readonly endpoint: string;
  /** If absent, `setTls` gives them before the first connection. */
  readonly tls?: NativeTls | undefined;
  readonly keepAliveIntervalMs?: number | undefined;
  readonly keepAliveTimeoutMs: number;
  readonly keepAliveWhileIdle: boolean;
  readonly tcpKeepAliveMs: number;
  readonly connectTimeoutMs: number;
  /** Whether the host's event loop is libuv's. */
  readonly libuv: boolean;
}

/** The addon's object: one connection on the runtime of this napi env. */
export interface NativeBinding {
  /** Passes the first `length` bytes of a batch, which opens `opened` calls, to the addon. False once closed. */
  submit(batch: Uint8Array, length: number, opened: number): boolean;
  /** Passes a message that is too long for the batch that is submitted next. The addon copies it. */
  giveLong(message: Uint8Array): void;
  /**
   * A bounded batch of what has completed since the last drain. Its first byte is 1 if there is another batch, for
   * which there is no further `wake`. The frames follow.
   */
  drain(): Buffer;
  /**
   * Copies the next long message of the batch that was drained last, one that is not in its frames, into a buffer of
   * the message's length.
   */
  takeLong(into: Uint8Array): void;
  setReferenced(referenced: boolean): void;
  /** Retires the connection: new calls get another one. Calls in flight continue. */
  renew(): void;
  /** Sets other TLS options, for later connections. */
  setTls(tls: NativeTls): void;
  /** Whether there is a connection, or one is being made. */
  isConnected(): boolean;
  /** After it returns, `wake` is no longer called. Idempotent. */
  close(): void;
}

/** The addon's exports. */
export interface NativeAddon {
  readonly NativeTransport: new (options: NativeOptions, wake: () => void) => NativeBinding;
}

const methods = {
  submit: true,
  giveLong: true,
  drain: true,
  takeLong: true,
  setReferenced: true,
  renew: true,
  setTls: true,
  isConnected: true,
  close: true,
} satisfies Record<keyof NativeBinding, true>;

/** The C library suffixes in the names of the platform packages. */
const LIBCS: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  linux: ['-gnu', '-musl'],
  win32: ['-msvc'],
};

let loaded: NativeAddon | undefined;

/**
 * The addon for this platform, or the one that `QUIESCE_ETCD_NATIVE` names, or the reason why it can't be loaded. A
 * failure isn't remembered, as it may pass.
 */
export function loadNativeAddon(): NativeAddon | Error {
  if (loaded !== undefined) return loaded;
  const found = load();
  if (!(found instanceof Error)) loaded = found;
  return found;
}

function load(): NativeAddon | Error {
  const given = process.env.QUIESCE_ETCD_NATIVE;
  const host = `${process.platform}-${process.arch}`;
  const from = places();
  const failures: unknown[] = [];
  for (const candidate of given ? [resolve(given)] : candidatesOf(host, from)) {
    for (const place of from) {
      try {
        return checked(
          builtIn('node:module').createRequire(place)(candidate) as Partial<NativeAddon>,
          candidate,
        );
      } catch (failure) {
        failures.push(failure);
      }
    }
  }
  const decisive = failures.find((failure) => !isMissing(failure)) ?? failures[0];
  const reason =
    given || !isMissing(decisive) ? String((decisive as Error).message).split('\n')[0] : notFound(from);
  const message = `no native transport for ${host}: ${reason}`;
  if (isShortage(decisive)) return shortage(message, decisive);
  return new Error(message, { cause: new AggregateError(failures, 'nothing could be loaded') });
}

/**
 * In a checkout the addon is beside the package. Otherwise each platform has its own package, and npm installs the one
 * that fits. Where the name includes a C library, trying both costs little. A bundle may have the addon beside it. The
 * most likely place comes first, since the first failure to find a module costs Node 2 ms.
 */
function candidatesOf(host: string, from: readonly string[]): string[] {
  const checkout = `../../../../native/etcd-transport.${host}.node`;
  const packages = (LIBCS[process.platform] ?? ['']).map((libc) => `@quiesce/etcd-${host}${libc}`);
  return [
    ...(from.some(isPublished) ? [...packages, checkout] : [checkout, ...packages]),
    `./etcd-transport.${host}.node`,
    './etcd-transport.node',
  ];
}

/**
 * Where to look from: this module, or in a bundle the bundle itself, the program that was started, and the executable
 * that may contain the bundle. In a bundle the module's own place may be missing, or be that of its sources.
 */
function places(): string[] {
  const own = import.meta.url || undefined;
  // Webpack inserts the place that the module had when the bundle was made.
  if (own !== undefined && isOwn(own) && builtIn('node:fs').existsSync(fileURLToPath(own))) return [own];
  const bundle = typeof __filename === 'string' && isAbsolute(__filename) ? __filename : undefined;
  const found = [own, bundle, process.argv[1], process.execPath].filter((place) => place !== undefined);
  // The name of the executable may be relative to the directory it was started in.
  return [
    ...new Set(found.map((place) => (/^file:/.test(place) ? place : pathToFileURL(resolve(place)).href))),
  ];
}

/** Whether this place is a module of the package, in a checkout or as published, rather than a module of a bundle. */
function isOwn(place: string): boolean {
  return place.endsWith('/transport/native/addon.js') || isPublished(place);
}

/** Whether this place is a module of the published package. */
function isPublished(place: string): boolean {
  return place.includes('/@quiesce/etcd/dist/src/');
}

function notFound(from: readonly string[]): string {
  const [first = ''] = from;
  if (from.length === 1 && isOwn(first)) return 'its package is not installed';
  const folders = new Set(from.map((place) => fileURLToPath(new URL('.', place))));
  return `this program is a bundle, and neither the addon's package nor etcd-transport.node is found from ${[...folders].join(', ')}; copy that file beside the bundle, or name it in QUIESCE_ETCD_NATIVE`;
}

/**
 * An addon of another version would fail in the middle of its work, when something that it lacks is called. So that is
 * checked first.
 */
function checked({ NativeTransport }: Partial<NativeAddon>, file: string): NativeAddon {
  const lacks = Object.keys(methods).filter(
    (name) => typeof NativeTransport?.prototype[name as keyof NativeBinding] !== 'function',
  );
  if (NativeTransport !== undefined && lacks.length === 0) return { NativeTransport };
  throw new Error(
    `${file} has a different version from @quiesce/etcd, and lacks ${lacks.join(', ')}: install both in the same version`,
  );
}

function isMissing(failure: unknown): boolean {
  return (failure as NodeJS.ErrnoException | undefined)?.code === 'MODULE_NOT_FOUND';
}
