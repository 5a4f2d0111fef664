import {
  type EtcdServerTls,
  type EtcdServer as StartedEtcd,
  startEtcd as startStandardEtcd,
} from '@quiesce/etcd/testing';
import type { ServiceSpec } from 'quiesce';
import { etcdBinary } from './binaries.js';
import { type Certificates, createCertificates } from './certificates.js';

/** The options of one etcd node. */
export interface EtcdServiceOptions {
  /** Files for TLS on the client port. With `clientCa`, clients must present a certificate that it signed. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
  /** Default: the service's own temporary directory. */
  readonly dataDir?: string;
  /** Further flags of etcd. */
  readonly extraArgs?: readonly string[];
}

/**
 * A single-node etcd on loopback, for `startService` or a plan file. It provides `ETCD_ENDPOINTS`. It syncs to disk as
 * in production (no `--unsafe-no-fsync`), as users also bear that cost.
 */
export function etcdService(options: EtcdServiceOptions = {}): ServiceSpec {
  const { tls, dataDir = `\${dir}`, extraArgs = [] } = options;
  const client = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:\${port:client}`;
  const peer = `http://127.0.0.1:\${port:peer}`;
  return {
    command: [
      etcdBinary(),
      `--data-dir=${dataDir}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      ...(tls === undefined ? [] : [`--cert-file=${tls.cert}`, `--key-file=${tls.key}`]),
      ...(tls?.clientCa === undefined ? [] : ['--client-cert-auth', `--trusted-ca-file=${tls.clientCa}`]),
      ...extraArgs,
    ],
    ports: ['client', 'peer'],
    // The port accepts connections before there is a leader, so an open port isn't enough.
    ready: { log: 'ready to serve client requests' },
    provides: { ETCD_ENDPOINTS: client },
  };
}

/** How `startEtcd` starts its server. */
export interface EtcdOptions {
  /** Starts it with TLS and certificates made for this server. `requireClientCert` is for mutual TLS. */
  readonly tls?: { readonly requireClientCert?: boolean };
  /** Further flags of etcd. */
  readonly extraArgs?: readonly string[];
}

/** An etcd of `@quiesce/etcd/testing`, with its certificates. */
export interface EtcdServer extends StartedEtcd {
  /** What its clients need, when it was started with `tls`. */
  readonly certificates: Certificates | undefined;
}

/** How long a server may take to start, on a busy machine, too. @internal */
export const START_MS = 120_000;

/** Starts the etcd that set-up chose, and waits until it is ready. It syncs to disk like {@link etcdService}. */
export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdServer> {
  const { tls, extraArgs = [] } = options;
  const certificates = tls === undefined ? undefined : await createCertificates();
  const server = await startStandardEtcd({
    binary: etcdBinary(),
    fsync: true,
    timeoutMs: START_MS,
    args: extraArgs,
    ...(certificates && { tls: serverTls(certificates, tls?.requireClientCert) }),
  });
  return withCertificates(server, certificates);
}

/** @internal */
export function serverTls(
  { ca, serverCert, serverKey }: Certificates,
  requireClientCert = false,
): EtcdServerTls {
  return { cert: serverCert, key: serverKey, ...(requireClientCert && { clientCa: ca }) };
}

/** @internal */
export function withCertificates(server: StartedEtcd, certificates: Certificates | undefined): EtcdServer {
  return {
    endpoint: server.endpoint,
    port: server.port,
    dir: server.dir,
    certificates,
    get pid() {
      return server.pid;
    },
    get running() {
      return server.running;
    },
    get exited() {
      return server.exited;
    },
    log: () => server.log(),
    kill: (signal) => server.kill(signal),
    pause: () => server.pause(),
    resume: () => server.resume(),
    restart: () => server.restart(),
    stop: () => server.stop(),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}
