import { invalidArgument } from '../errors.js';
import { nativeTransport, nativeUnavailable } from './native/native.js';
import type { TransportFactory } from './transport.js';

/** Which transport to use: the native one where it loads and else grpc-js, or one of them. */
export type TransportChoice = 'auto' | 'native' | 'grpc-js';

let warned = false;

/**
 * The factory of the chosen transport. The choice made in the code goes before the one in the environment
 * variable `QUIESCE_ETCD_TRANSPORT`; without both it is `auto`. Falling back warns once for each process.
 *
 * @throws InvalidArgumentError for another choice, or `native` where the addon can't be loaded.
 */
export async function chooseTransport(choice?: TransportChoice): Promise<TransportFactory> {
  const wanted = choice ?? (process.env.QUIESCE_ETCD_TRANSPORT || 'auto');
  switch (wanted) {
    case 'grpc-js':
      return grpcJs();
    case 'native':
    case 'auto': {
      const unavailable = nativeUnavailable();
      if (unavailable === undefined) return nativeTransport;
      if (wanted === 'native') throw invalidArgument(unavailable.message, unavailable);
      if (!warned) {
        warned = true;
        process.emitWarning(
          `${unavailable.message}; using the slower transport on @grpc/grpc-js. Set transport: 'grpc-js' to accept that silently`,
          { type: 'QuiesceEtcdWarning', code: 'QUIESCE_ETCD_FALLBACK' },
        );
      }
      return grpcJs();
    }
    default: {
      const source = choice === undefined ? 'QUIESCE_ETCD_TRANSPORT' : 'transport';
      throw invalidArgument(
        `${source} is ${JSON.stringify(wanted)}; it must be 'auto', 'native' or 'grpc-js'`,
      );
    }
  }
}

// Not loaded where the native transport serves.
async function grpcJs(): Promise<TransportFactory> {
  return (await import('./grpc-js/grpc-js.js')).grpcJsTransport;
}
