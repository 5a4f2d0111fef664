// transport/native/ is the half of the native transport that is in TypeScript: loading the addon, the frames that cross
// into it, how much is handled in a turn. The other half is crates/etcd-transport.

// Not by its name: webpack makes something else of an imported createRequire().
import nodeModule from 'node:module';
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { builtIn } from '../../built-in.js';
import { isShortage, shortage } from '../shortage.js';

/** TLS options as they cross. */
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
  /** Without, they are given by `setTls` before the first connection. */
  readonly tls?: NativeTls | undefined;
  readonly keepAliveIntervalMs?: number | undefined;
  readonly keepAliveTimeoutMs: number;
  readonly keepAliveWhileIdle: boolean;
  readonly tcpKeepAliveMs: number;
  readonly connectTimeoutMs: number;
}

/** The addon's object: one connection on the runtime of this napi env. */
export interface NativeBinding {
  /** Hands down the first `length` bytes of a batch, which opens `opened` calls. False once closed. */
  submit(batch: Uint8Array, length: number, opened: number): boolean;
  /** Hands down a message that is too long to be copied into the batch which will be submitted next. Copies it. */
  giveLong(message: Uint8Array): void;
  /**
   * A bounded batch of what has completed since the last drain: a byte that is 1 if there is another batch, for which there
   * is no further `wake`, then the frames.
   */
  drain(): Buffer;
  /**
   * Copies the next of the messages that are too long for the frames of the batch that was drained last into a buffer
   * of its length.
   */
  takeLong(into: Uint8Array): void;
  setReferenced(referenced: boolean): void;
  /** Retires the connection: new calls get another one. Calls in flight continue. */
  renew(): void;
  /** Other TLS options, for the connections to come. */
  setTls(tls: NativeTls): void;
  /** Whether there is a connection, or one is being made. */
  isConnected(): boolean;
  /** After it returns there are no more calls of `wake`. Idempotent. */
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

/** The C libraries in the names of the platforms' packages. */
const LIBCS: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  linux: ['-gnu', '-musl'],
  win32: ['-msvc'],
};

let loaded: NativeAddon | undefined;

/**
 * The addon for this platform, or the one that `QUIESCE_ETCD_NATIVE` names, or why it can't be loaded. A failure isn't
 * remembered, as it may pass.
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
        return checked(nodeModule.createRequire(place)(candidate) as Partial<NativeAddon>, candidate);
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
 * In a checkout it is beside the package; otherwise it comes in a package of its own for each platform, of which npm installs the
 * one that fits. Where a C library is in the name, that one has tried to load is soon said. A bundle may have it beside it. What
 * is likely comes first, since the first failure to find a module takes Node 2 ms.
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
 * Where to look from: this module; in a bundle, which may know no place of its own or that of its sources, the bundle, the
 * program that was started, and the executable that may hold it.
 */
function places(): string[] {
  const own = import.meta.url || undefined;
  // Webpack writes the place that the module had when the bundle was made.
  if (own !== undefined && isOwn(own) && builtIn('node:fs').existsSync(fileURLToPath(own))) return [own];
  const bundle = typeof __filename === 'string' && isAbsolute(__filename) ? __filename : undefined;
  const found = [own, bundle, process.argv[1], process.execPath].filter((place) => place !== undefined);
  // The executable that was started may be named from where it was started.
  return [
    ...new Set(found.map((place) => (/^file:/.test(place) ? place : pathToFileURL(resolve(place)).href))),
  ];
}

/** Whether this is a module of the package, in a checkout or as it is published, rather than of somebody's bundle. */
function isOwn(place: string): boolean {
  return place.endsWith('/transport/native/addon.js') || isPublished(place);
}

/** Whether this is a module of the package as it is published. */
function isPublished(place: string): boolean {
  return place.includes('/@quiesce/etcd/dist/src/');
}

function notFound(from: readonly string[]): string {
  const [first = ''] = from;
  if (from.length === 1 && isOwn(first)) return 'its package is not installed';
  const folders = new Set(from.map((place) => fileURLToPath(new URL('.', place))));
  return `this program is a bundle, and neither the addon's package nor etcd-transport.node is found from ${[...folders].join(', ')}; copy that file beside the bundle, or name it in QUIESCE_ETCD_NATIVE`;
}

/** An addon of another version would fail in the middle of its work, when something that it lacks is called. */
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
