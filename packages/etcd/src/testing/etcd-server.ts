import { existsSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { invalidArgument } from '../errors.js';
import { callSite, withFrames } from '../util/at-caller.js';
import {
  abortSignal,
  checkArgument,
  flag,
  type Kind,
  kind,
  milliseconds,
  nonEmptyText,
  pem,
  port,
  texts,
} from '../util/kinds.js';
import { guardMethods, refuseMore } from '../util/methods.js';
import { Description } from '../util/options.js';
import { checkPems } from '../util/pem.js';
import { unlessAborted } from '../util/wait.js';
import { findEtcd } from './binary.js';
import { freePorts, hold } from './ports.js';
import { type ProcessEnd, ServerProcess } from './server-process.js';
import { EtcdStartError } from './start-error.js';
import { Watchdog } from './watchdog.js';

/** The certificates of a server, as PEM. */
export interface EtcdServerTls {
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
  /** The authority that clients' certificates must be signed by. Default: clients need none. */
  readonly clientCa?: string | Uint8Array | undefined;
}

/** How {@link startEtcd} starts its server. */
export interface StartEtcdOptions {
  /** The program. Default: the environment variable `ETCD_BIN`, otherwise `etcd` on the `PATH`. */
  readonly binary?: string | undefined;
  /** Further flags of etcd, such as `--max-txn-ops=1024`. They override the flags that the server gets by default. */
  readonly args?: readonly string[] | undefined;
  /** Serves clients over TLS, at an `https://` endpoint. Default: without TLS. */
  readonly tls?: EtcdServerTls | undefined;
  /**
   * Whether the server waits for the disk at each write, as in production. Default false: killing the server loses
   * nothing, but a crash of the machine may.
   */
  readonly fsync?: boolean | undefined;
  /** Port for clients. Default: a free one. */
  readonly port?: number | undefined;
  /** Port for members. Default: a free one. */
  readonly peerPort?: number | undefined;
  /** Longest time until the server is ready, in ms. Default 30 000. */
  readonly timeoutMs?: number | undefined;
  /**
   * Ends the attempt to start the server, and leaves nothing behind. Once the server has started, the signal has no
   * effect.
   */
  readonly signal?: AbortSignal | undefined;
}

/** The options of all servers. */
export const serverKinds = {
  binary: nonEmptyText,
  args: texts,
  tls: new Description<EtcdServerTls>(
    'tls',
    { cert: pem, key: pem, clientCa: pem },
    { required: ['cert', 'key'], example: '{ cert, key }' },
  ),
  fsync: flag,
  timeoutMs: milliseconds,
  signal: abortSignal,
};

const startOptions = new Description<StartEtcdOptions>('startEtcd()', {
  ...serverKinds,
  port,
  peerPort: port,
});

/** An etcd for tests, which can be killed, frozen and started again with the same port and data. */
export interface EtcdServer extends AsyncDisposable {
  /** For `connect()`: `http://127.0.0.1:port`. */
  readonly endpoint: string;
  /** Its port for clients. */
  readonly port: number;
  /** Its directory, for its data and for files of the test. It is kept over restarts and removed by `stop()`. */
  readonly dir: string;
  /** The id of the present process, or of the last one. */
  readonly pid: number;
  /** Whether the server is running. A frozen server counts as running. */
  readonly running: boolean;
  /** Resolves with how the process ended. */
  readonly exited: Promise<ProcessEnd>;
  /** The last 64 KiB of its output since its last start. */
  log(): string;
  /**
   * Sends a signal to the server. Default SIGKILL, which ends it like a crash. Until `exited` resolves, the server may
   * still answer a call.
   */
  kill(signal?: NodeJS.Signals): void;
  /**
   * Freezes the server (SIGSTOP). Its connections stay open, but it answers nothing. On Linux it returns once each thread
   * of the server has stopped, after 1 s at the latest. Elsewhere a call that is begun at once may still be answered.
   */
  pause(): void;
  /** Ends {@link pause}. */
  resume(): void;
  /**
   * Stops the server if it is running, and starts it on the same ports with the same data. Resolves once it is ready.
   * If another restart is under way, this one follows it.
   *
   * @throws EtcdStartError where the server doesn't start again, its directory is gone, or {@link stop} stops it before
   * or in the meantime. After an error no process is left.
   */
  restart(): Promise<void>;
  /**
   * Stops the server, and removes its directory. Ends a {@link restart} that is under way. Idempotent. `await using`
   * calls it at the end of its block.
   */
  stop(): Promise<void>;
}

const processSignal: Kind<NodeJS.Signals> = kind(
  (value) => typeof value === 'string' && Object.hasOwn(constants.signals, value),
  "the name of a signal, such as 'SIGKILL'",
);

const START_ATTEMPTS = 5;
const START_TIMEOUT_MS = 30_000;
/** The port accepts connections before there is a leader, so an open port isn't enough. */
const READY = 'ready to serve client requests';

/**
 * Starts a separate etcd for a test, on free ports of the loopback interface with an empty temporary directory.
 * Resolves once it is ready, after about 300 ms:
 *
 * ```ts
 * await using server = await startEtcd();
 * await using etcd = await connect(server.endpoint);
 * ```
 *
 * `stop()` or `await using` ends it and removes its directory. When this process ends, in any way, including Ctrl-C or
 * a kill, the server also ends. (On Windows the server outlives a process that ended without stopping it.) It doesn't
 * keep the process alive. `ETCD_…` variables of the environment are not passed on to it.
 *
 * @throws InvalidArgumentError for wrong options; EtcdStartError where there is no etcd, or it doesn't start. Its
 * message says why, and what to do.
 */
export async function startEtcd(options?: StartEtcdOptions): Promise<EtcdServer>;
export async function startEtcd(
  options: StartEtcdOptions = {},
  ...more: readonly unknown[]
): Promise<EtcdServer> {
  refuseMore('startEtcd()', [options], more);
  startOptions.check(options);
  await checkServerTls(options.tls);
  const binary = findEtcd(options.binary);
  const { port: given, peerPort: givenPeer, signal } = options;
  if (given !== undefined && given === givenPeer) {
    throw invalidArgument(`port and peerPort are both ${given}; etcd listens on two ports, so give two`);
  }
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    const [free = 0, freePeer = 0] = await freePorts(2);
    const [port, peerPort] = [given ?? free, givenPeer ?? freePeer] as const;
    const server = new Server(binary, options, port, peerPort, await hold([port, peerPort]));
    try {
      await unlessAborted(server.start(), signal);
      return server;
    } catch (error) {
      await server.stop();
      // The port was free when it was chosen, but another process may have taken it since.
      const again = given === undefined && givenPeer === undefined && isPortTaken(error);
      if (again && attempt < START_ATTEMPTS) continue;
      throw error instanceof EtcdStartError ? withFrames(error, callSite()) : error;
    }
  }
}

function isPortTaken(error: unknown): boolean {
  return error instanceof EtcdStartError && /address already in use/.test(error.log);
}

class Server implements EtcdServer {
  readonly endpoint: string;
  readonly port: number;
  readonly #watchdog = new Watchdog();
  readonly #binary: string;
  readonly #releasePorts: () => void;
  readonly #args: readonly string[];
  readonly #tls: EtcdServerTls | undefined;
  readonly #timeoutMs: number;
  /** Aborted by {@link stop}. */
  readonly #ending = new AbortController();
  /** The starts, one after another. */
  #starts: Promise<void> = Promise.resolve();
  #process: ServerProcess | undefined;
  #stopping: Promise<void> | undefined;

  static {
    guardMethods<EtcdServer>({ name: 'EtcdServer', prototype: Server.prototype }, (it) => #watchdog in it, {
      promised: { restart: 0, stop: 0 },
      direct: { log: 0, kill: 1, pause: 0, resume: 0 },
    });
  }

  constructor(
    binary: string,
    options: StartEtcdOptions,
    port: number,
    peerPort: number,
    releasePorts: () => void,
  ) {
    const { tls, fsync = false, args = [], timeoutMs = START_TIMEOUT_MS } = options;
    this.#binary = binary;
    this.#releasePorts = releasePorts;
    this.#tls = tls;
    this.#timeoutMs = timeoutMs;
    this.port = port;
    this.endpoint = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    this.#args = [
      `--data-dir=${join(this.dir, 'data')}`,
      `--listen-client-urls=${this.endpoint}`,
      `--advertise-client-urls=${this.endpoint}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      ...(args.some((arg) => /^--?initial-cluster(=|$)/.test(arg))
        ? []
        : [`--initial-cluster=default=${peer}`]),
      ...(fsync ? [] : ['--unsafe-no-fsync']),
      ...(tls === undefined ? [] : this.#tlsArgs(tls)),
      ...args,
    ];
  }

  get dir(): string {
    return this.#watchdog.dir;
  }

  get pid(): number {
    return this.#started.pid;
  }

  get running(): boolean {
    return this.#started.running;
  }

  get exited(): Promise<ProcessEnd> {
    return this.#started.exited;
  }

  log(): string {
    return this.#started.log;
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    checkArgument('signal', processSignal, signal);
    this.#started.kill(signal);
  }

  pause(): void {
    this.kill('SIGSTOP');
  }

  resume(): void {
    this.kill('SIGCONT');
  }

  restart(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#process?.stop();
      // etcd would silently make a new directory.
      if (!existsSync(this.dir))
        throw new EtcdStartError(`${this.dir} is gone, and this etcd's data with it`);
      await this.#start();
    });
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  start(): Promise<void> {
    return this.#inTurn(async () => {
      writeTlsFiles(this.dir, this.#tls);
      await this.#start();
    });
  }

  /** Runs a start once the earlier ones are over, unless {@link stop} was called. */
  #inTurn(start: () => Promise<void>): Promise<void> {
    const turn = this.#starts.then(async () => {
      this.#ending.signal.throwIfAborted();
      await start();
    });
    this.#starts = turn.catch(() => {});
    return turn;
  }

  async #start(): Promise<void> {
    const { signal } = this.#ending;
    signal.throwIfAborted();
    const started = await ServerProcess.start(this.#binary, this.#args);
    this.#process = started;
    this.#watchdog.guard(started.pid);
    // The process id may belong to another process by the time this process ends.
    void started.exited.then(() => {
      if (this.#process === started) this.#watchdog.guard(undefined);
    });
    try {
      await started.untilItSays(READY, this.#timeoutMs, signal);
    } catch (error) {
      await started.stop();
      throw error;
    }
  }

  get #started(): ServerProcess {
    if (this.#process === undefined) throw new EtcdStartError('this etcd has not been started');
    return this.#process;
  }

  #tlsArgs({ clientCa }: EtcdServerTls): string[] {
    const file = (name: string): string => join(this.dir, name);
    return [
      `--cert-file=${file(tlsFiles.cert)}`,
      `--key-file=${file(tlsFiles.key)}`,
      ...(clientCa === undefined
        ? []
        : ['--client-cert-auth', `--trusted-ca-file=${file(tlsFiles.clientCa)}`]),
    ];
  }

  async #stop(): Promise<void> {
    this.#ending.abort(new EtcdStartError('this etcd was stopped, and its data removed'));
    try {
      await this.#starts;
      await this.#process?.stop();
    } finally {
      this.#watchdog.end();
      this.#releasePorts();
    }
  }
}

/** Checked here, as etcd would start silently, and then refuse connections. */
async function checkServerTls(tls: EtcdServerTls | undefined): Promise<void> {
  if (tls === undefined) return;
  const { cert, key, clientCa } = tls;
  await checkPems({ cert: ['tls.cert', cert], key: ['tls.key', key], ca: ['tls.clientCa', clientCa] });
}

const tlsFiles = { cert: 'server.crt', key: 'server.key', clientCa: 'client-ca.crt' } as const;

function writeTlsFiles(dir: string, tls: EtcdServerTls | undefined): void {
  for (const [name, pem] of Object.entries(tls ?? {})) {
    if (pem !== undefined)
      writeFileSync(join(dir, tlsFiles[name as keyof EtcdServerTls]), pem, { mode: 0o600 });
  }
}
