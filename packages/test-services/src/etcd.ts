import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ExitStatus, type RunningService, type ServiceSpec, startService } from 'quiesce';
import { etcdBinary } from './binaries.js';
import { type Certificates, createCertificates } from './certificates.js';
import { isStopped } from './stopped.js';

/** What one etcd node is started with. */
export interface EtcdServiceOptions {
  /** Files for TLS on the client port; with `clientCa`, clients must show a certificate that it signed. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
  /** Default: the service's own temporary directory. */
  readonly dataDir?: string;
  /** Further flags of etcd. */
  readonly extraArgs?: readonly string[];
}

/**
 * A single-node etcd on loopback, for `startService` or a plan file; it provides `ETCD_ENDPOINTS`.
 * It syncs to disk as in production (no `--unsafe-no-fsync`): that cost is part of what users meet.
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
    // The port accepts before there is a leader, so it says too little.
    ready: { log: 'ready to serve client requests' },
    provides: { ETCD_ENDPOINTS: client },
  };
}

/** How `startEtcd` starts its server. */
export interface EtcdOptions {
  /** With certificates made for this server; `requireClientCert` for mutual TLS. */
  readonly tls?: { readonly requireClientCert?: boolean };
  /** Further flags of etcd. */
  readonly extraArgs?: readonly string[];
}

/** An etcd that can be stopped, killed, frozen and started again with the same port and data. */
export interface EtcdServer extends AsyncDisposable {
  /** For `connect({ endpoints })`. */
  readonly endpoint: string;
  /** Its client port. */
  readonly port: number;
  /** Holds its data, over restarts; `stop()` removes it. */
  readonly dir: string;
  /** Of the process that runs now, or ran last. */
  readonly pid: number;
  /** Whether it runs; also while frozen. */
  readonly running: boolean;
  /** How that process ended. */
  readonly exited: Promise<ExitStatus>;
  /** What its clients need, when it was started with `tls`. */
  readonly certificates: Certificates | undefined;
  /** The last 64 KiB of its output since it was last started. */
  log(): string;
  /** Sends it a signal, SIGKILL by default; `exited` resolves when it is gone. */
  kill(signal?: NodeJS.Signals): void;
  /** Freezes it (SIGSTOP): connections stay open, nothing is answered. */
  pause(): void;
  /** Ends `pause()`. */
  resume(): void;
  /** Stops it if it still runs, and starts it on the same ports with the same data. */
  restart(): Promise<void>;
  /** Stops it and removes its data. Idempotent. */
  stop(): Promise<void>;
}

/** Starts an etcd and waits until it serves. */
export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdServer> {
  const certificates = options.tls === undefined ? undefined : await createCertificates();
  exitOnSignals();
  const { dir, forget } = dataDirectory();

  try {
    const spec = etcdService({
      dataDir: join(dir, 'data'),
      ...(certificates && { tls: writeTlsFiles(dir, certificates, options.tls?.requireClientCert) }),
      ...(options.extraArgs && { extraArgs: options.extraArgs }),
    });
    const service = await startService('etcd', spec);
    const endpoint = service.env.ETCD_ENDPOINTS as string;
    return supervise(service, endpoint, pinPorts(spec, service.ports), dir, certificates, forget);
  } catch (error) {
    forget();
    throw error;
  }
}

/**
 * A temporary directory that goes with `forget()`, and at the latest when this process exits.
 * @internal
 */
export function dataDirectory(): { readonly dir: string; readonly forget: () => void } {
  const dir = mkdtempSync(join(tmpdir(), 'quiesce-etcd-data-'));
  const removeDir = (): void => rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  process.once('exit', removeDir);
  const forget = (): void => {
    process.off('exit', removeDir);
    removeDir();
  };
  return { dir, forget };
}

/**
 * A signal would end this process without its exit handlers, and so leave the servers behind.
 * @internal
 */
export function exitOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    if (process.listenerCount(signal) === 0)
      process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
}

function waitUntilStopped(pid: number): void {
  if (process.platform !== 'linux') return;
  const moment = new Int32Array(new SharedArrayBuffer(4));
  for (let ms = 0; ms < 1_000 && !isStopped(pid); ms++) Atomics.wait(moment, 0, 0, 1);
}

/** @internal */
export function supervise(
  first: RunningService,
  endpoint: string,
  spec: ServiceSpec,
  dir: string,
  certificates: Certificates | undefined,
  forget: () => void,
): EtcdServer {
  let service = first;
  let gone = false;
  const watch = (): void => {
    gone = false;
    const started = service;
    void started.exited.then(() => {
      if (service === started) gone = true;
    });
  };
  watch();
  const kill = (signal: NodeJS.Signals = 'SIGKILL'): void => {
    if (gone) return;
    try {
      process.kill(service.pid, signal);
    } catch (error) {
      // It has ended by itself, and the event that says so is on its way.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  const stopProcess = async (): Promise<void> => {
    kill('SIGCONT'); // a frozen process would not see SIGTERM
    await service.stop();
  };
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= stopProcess().finally(forget);
    return stopping;
  };
  return {
    endpoint,
    port: Number(new URL(endpoint).port),
    dir,
    get pid() {
      return service.pid;
    },
    get running() {
      return !gone;
    },
    get exited() {
      return service.exited;
    },
    certificates,
    log: () => service.log(),
    kill,
    pause: () => {
      kill('SIGSTOP');
      if (!gone) waitUntilStopped(service.pid);
    },
    resume: () => kill('SIGCONT'),
    async restart() {
      if (stopping !== undefined) throw new Error('this etcd was stopped, its data is gone');
      await stopProcess();
      service = await startService('etcd', spec);
      watch();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** @internal */
export function writeTlsFiles(
  dir: string,
  { ca, serverCert, serverKey }: Certificates,
  requireClientCert = false,
): NonNullable<EtcdServiceOptions['tls']> {
  const write = (name: string, pem: string): string => {
    const path = join(dir, name);
    writeFileSync(path, pem, { mode: 0o600 });
    return path;
  };
  return {
    cert: write('server.crt', serverCert),
    key: write('server.key', serverKey),
    ...(requireClientCert && { clientCa: write('ca.crt', ca) }),
  };
}

/** The same service on ports that are already known. */
function pinPorts(spec: ServiceSpec, ports: Readonly<Record<string, number>>): ServiceSpec {
  const { ports: _allocated, provides: _known, ...rest } = spec;
  const command = spec.command.map((argument) =>
    argument.replace(/\$\{port:(\w+)\}/g, (_all, name: string) => String(ports[name])),
  );
  return { ...rest, command };
}
