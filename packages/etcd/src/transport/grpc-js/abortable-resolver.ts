// transport/grpc-js/ is the transport for hosts without the addon, with what @grpc/grpc-js lacks for it: a bound on
// connecting, sockets that let a process end, TLS for IP addresses.

import { type ChannelOptions, experimental } from '@grpc/grpc-js';

/** The channel option whose signal ends the connections that the channel makes. */
export const CONNECTING_SIGNAL = 'quiesce.connecting_signal';

const SCHEME = 'quiesce';

type Resolver = experimental.Resolver;
type Listener = experimental.ResolverListener;
type Uri = experimental.GrpcUri;

/**
 * A target whose connections end with {@link CONNECTING_SIGNAL}, including those that aren't made yet, to which grpc-js
 * gives no access. It works because grpc-js passes the addresses of a resolver to `net.connect()` unchanged, with their
 * signal.
 */
export function abortable(target: string): string {
  register();
  return `${SCHEME}:${target}`;
}

/** Resolves the same target as grpc-js does. */
class AbortableResolver implements Resolver {
  readonly #inner: Resolver;

  constructor(target: Uri, listener: Listener, options: ChannelOptions) {
    const signal = options[CONNECTING_SIGNAL] as AbortSignal;
    const withSignal: Listener = (found, ...rest) => {
      if (!found.ok) return listener(found, ...rest);
      const endpoints = found.value.map(({ addresses }) => ({
        addresses: addresses.map((address) => ({
          ...address,
          // Node still connects a socket whose signal has aborted before.
          get signal() {
            return signal.aborted ? undefined : signal;
          },
        })),
      }));
      return listener(experimental.statusOrFromValue(endpoints), ...rest);
    };
    this.#inner = experimental.createResolver(innerOf(target), withSignal, options);
  }

  updateResolution(): void {
    this.#inner.updateResolution();
  }

  destroy(): void {
    this.#inner.destroy();
  }

  static getDefaultAuthority(target: Uri): string {
    const { scheme, path } = innerOf(target);
    return scheme === 'unix' ? 'localhost' : path;
  }
}

function innerOf({ path }: Uri): Uri {
  const unix = /^unix:(.*)$/s.exec(path);
  return unix === null ? { scheme: 'dns', path } : { scheme: 'unix', path: unix[1] ?? '' };
}

let registered = false;

function register(): void {
  if (!registered) experimental.registerResolver(SCHEME, AbortableResolver);
  registered = true;
}
