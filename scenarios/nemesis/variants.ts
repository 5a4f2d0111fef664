import type { ConnectOptions } from '@quiesce/etcd';

/** The options of a run. */
export interface Variant {
  readonly transport: 'native' | 'grpc-js';
  readonly tls: boolean;
  /** Authentication, with tokens that expire after 3 s. */
  readonly tokens: boolean;
}

/** The chosen options; the seed decides the others. Eight consecutive seeds have all variants. */
export function variantOf(
  seed: number,
  chosen: { [Part in keyof Variant]?: Variant[Part] | undefined },
): Variant {
  const {
    transport = seed % 2 === 0 ? 'native' : 'grpc-js',
    tls = (seed >> 1) % 2 === 1,
    tokens = (seed >> 2) % 2 === 1,
  } = chosen;
  return { transport, tls, tokens };
}

/** A variant in words. */
export function describe({ transport, tls, tokens }: Variant): string {
  return `${transport}, ${tls ? 'TLS' : 'no TLS'}, ${tokens ? 'tokens of 3 s' : 'no authentication'}`;
}

const keepAlive = { intervalMs: 5_000, timeoutMs: 1_000 };

/** The clients that make up the workload, by name. */
export const clientOptions: Readonly<Record<string, ConnectOptions>> = {
  default: {},
  keepAlive: { keepAlive },
  attempts: { attemptTimeoutMs: 1_000 },
  both: { keepAlive, attemptTimeoutMs: 1_000, timeoutMs: 5_000 },
};
