import { grpcJsTransport } from '../../src/transport/grpc-js.js';
import { nativeTransport, nativeUnavailable } from '../../src/transport/native.js';
import type { TransportFactory } from '../../src/transport/transport.js';

/** An implementation of `Transport`, for suites that run over each of them. */
export interface TransportUnderTest {
  readonly name: 'native' | 'grpc-js';
  readonly make: TransportFactory;
  /** Why its tests can't run here: there is no cargo to build the addon with. */
  readonly skip: string | false;
}

/** Both. */
export const transports: readonly TransportUnderTest[] = [
  { name: 'native', make: nativeTransport, skip: nativeUnavailable()?.message ?? false },
  { name: 'grpc-js', make: grpcJsTransport, skip: false },
];
