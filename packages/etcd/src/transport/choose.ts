import { EtcdError, invalidArgument, StatusCode, UnavailableError } from '../errors.js';
import { reason } from '../util/kinds.js';
import { nativeTransport, nativeUnavailable } from './native/native.js';
import { isShortage, shortage, tryDescriptors } from './shortage.js';
import type { TransportFactory } from './transport.js';

/** Which transport to use: the native one where it loads and otherwise grpc-js, or always one of the two. */
export type TransportChoice = 'auto' | 'native' | 'grpc-js';

let warned = false;

/**
 * The factory of the chosen transport. The choice in the code takes precedence over the environment variable
 * `QUIESCE_ETCD_TRANSPORT`. The default is `auto`. Falling back warns once for each process.
 *
 * @throws InvalidArgumentError for another choice, or `native` where the addon can't be loaded; UnavailableError where
 * this process has no descriptor or memory left to load it, whatever the choice; EtcdError where grpc-js can't be
 * loaded either.
 */
export async function chooseTransport(choice?: TransportChoice): Promise<TransportFactory> {
  const wanted = choice ?? (process.env.QUIESCE_ETCD_TRANSPORT || 'auto');
  switch (wanted) {
    case 'grpc-js':
      return grpcJs('');
    case 'native':
    case 'auto': {
      const unavailable = nativeUnavailable();
      if (unavailable === undefined) return nativeTransport;
      // The shortage may pass, but the fallback would stay.
      if (unavailable instanceof UnavailableError) throw unavailable;
      if (wanted === 'native') throw invalidArgument(unavailable.message, unavailable);
      if (!warned) {
        warned = true;
        process.emitWarning(
          `${unavailable.message}; using the slower transport on @grpc/grpc-js. Set transport: 'grpc-js' to accept that silently`,
          { type: 'QuiesceEtcdWarning', code: 'QUIESCE_ETCD_FALLBACK' },
        );
      }
      return grpcJs(`${unavailable.message}; and `);
    }
    default: {
      const source = choice === undefined ? 'QUIESCE_ETCD_TRANSPORT' : 'transport';
      throw invalidArgument(
        `${source} is ${JSON.stringify(wanted)}; it must be 'auto', 'native' or 'grpc-js'`,
      );
    }
  }
}

/** The most descriptors that grpc-js's modules have open while they are loaded. */
const LOADING_DESCRIPTORS = 32;

let loaded: TransportFactory | undefined;

/**
 * Loads the transport on grpc-js. That isn't done where the native transport serves.
 *
 * @param why it is needed, for the message.
 */
async function grpcJs(why: string): Promise<TransportFactory> {
  if (loaded !== undefined) return loaded;
  try {
    // Node remembers forever that an import failed.
    tryDescriptors(LOADING_DESCRIPTORS);
    loaded = (await import('./grpc-js/grpc-js.js')).grpcJsTransport;
    return loaded;
  } catch (cause) {
    const message = `${why}the transport on @grpc/grpc-js can't be loaded: ${reason(cause)}`;
    if (isShortage(cause)) throw shortage(message, cause);
    const hint = /dynamic require/i.test(message)
      ? '; a bundle of ES modules needs createRequire for it: see "Bundles" in the README of @quiesce/etcd'
      : '';
    throw new EtcdError(message + hint, { code: StatusCode.FAILED_PRECONDITION, sent: false, cause });
  }
}
