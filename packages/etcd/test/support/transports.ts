import { grpcJsTransport } from '../../src/transport/grpc-js/grpc-js.js';
import { nativeTransport, nativeUnavailable } from '../../src/transport/native/native.js';
import type { TransportFactory } from '../../src/transport/transport.js';

/** An implementation of `Transport`, for suites that run over each of them. */
export interface TransportUnderTest {
  readonly name: 'native' | 'grpc-js';
  readonly make: TransportFactory;
  /** Why the tests of this transport can't run here: there is no cargo to build the addon with. */
  readonly skip: string | false;
}

/** Only one of them, for a host that crashes in the other one's tests. */
const only = process.env.QUIESCE_ETCD_TEST_TRANSPORT;

const both: readonly TransportUnderTest[] = [
  { name: 'native', make: nativeTransport, skip: nativeUnavailable()?.message ?? false },
  { name: 'grpc-js', make: grpcJsTransport, skip: false },
];

/** Both transports, unless `QUIESCE_ETCD_TEST_TRANSPORT` names one. */
export const transports = both.map((transport) => ({
  ...transport,
  skip: only === undefined || only === transport.name ? transport.skip : `only ${only} is tested`,
}));
