import { connect, createServer } from 'node:net';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { adviceOf, type EnvironmentError, messageOf, ServiceError } from '../errors.js';
import { makeTemporaryDirectory } from '../files/temporary-directory.js';
import { findEach } from '../patterns.js';
import { BoundedOutput } from '../process/bounded-output.js';
import { findExecutable } from '../process/executable.js';
import { type ProcessGroup, spawnGroup } from '../process/process-group.js';
import type { ExitStatus } from '../process/started-program.js';
import { nearest, nearMiss, type PlaceholderText, references, textsOf } from './placeholders.js';

/**
 * A server that scenarios need. In `command`, `env` and `provides`, `${dir}` stands for a fresh temporary data
 * directory and `${port:NAME}` for the port allocated under that name. What is almost one is refused. Any other `${…}` stays as it is.
 */
export interface ServiceSpec {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Working directory; default: that of this process (in a plan file: the file's directory). */
  readonly cwd?: string;
  /** Names of loopback TCP ports to allocate. */
  readonly ports?: readonly string[];
  /** When the service counts as ready: all given conditions must hold. Default: once it has been started. */
  readonly ready?: {
    /** Name of the port that must accept connections on 127.0.0.1. */
    readonly port?: string;
    /** Regular expression (multiline) that its output must match. */
    readonly log?: string;
    /** Milliseconds allowed; default 30,000. */
    readonly timeoutMs?: number;
  };
  /** Environment variables that scenarios using the service get. */
  readonly provides?: Readonly<Record<string, string>>;
}

/** A service that was ready when it was returned. */
export interface RunningService extends AsyncDisposable {
  readonly name: string;
  /** Its temporary data directory; `stop()` removes it. */
  readonly dir: string;
  readonly ports: Readonly<Record<string, number>>;
  /** `provides` of its spec, with placeholders replaced. */
  readonly env: Readonly<Record<string, string>>;
  readonly pid: number;
  /** How its process ended, on request or by itself. */
  readonly exited: Promise<ExitStatus>;
  /** The last 64 KiB of its standard output and error. */
  log(): string;
  /**
   * Sends SIGTERM to its process group, and SIGKILL to what is left after 5 s. Waits for the end, then removes `dir`.
   * Idempotent: later calls wait for the first.
   */
  stop(): Promise<void>;
}

const LOG_BYTES = 64 * 1024;
const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 20;
const STOP_GRACE_MS = 5_000;
const START_ATTEMPTS = 5;

/**
 * Starts a service in its own process group, with core dumps off, and waits until it is ready. If another process takes
 * an allocated port before the service can bind it, the service is started again on new ports. As a safety net, the
 * group is killed and the directory removed when this process exits.
 * @param options.signal aborts the start; the service is stopped and the signal's reason thrown. No effect later.
 * @throws ServiceError when the command isn't found, a placeholder or port name is wrong, or the service exits before
 * it is ready or isn't ready in time. Then nothing is left behind.
 */
export async function startService(
  name: string,
  spec: ServiceSpec,
  options: { signal?: AbortSignal } = {},
): Promise<RunningService> {
  const problem = formProblem(spec) ?? serviceProblems(spec)[0]?.message;
  if (problem !== undefined) throw new ServiceError(name, `can't start: ${problem}`);
  for (let attempt = 1; ; attempt++) {
    options.signal?.throwIfAborted();
    const service = await launch(name, spec);
    try {
      await untilReady(service, spec, options.signal);
      return service;
    } catch (error) {
      await service.stop();
      if (attempt === START_ATTEMPTS || !(await lostPortRace(service, error))) throw error;
    }
  }
}

const FIELDS: Readonly<Record<keyof ServiceSpec, true>> = {
  ...{ command: true, env: true, cwd: true },
  ...{ ports: true, ready: true, provides: true },
};
const READY_FIELDS: Readonly<Record<keyof NonNullable<ServiceSpec['ready']>, true>> = {
  port: true,
  log: true,
  timeoutMs: true,
};

/** What a caller without types may have wrong. A plan's services have been checked before. */
function formProblem(spec: unknown): string | undefined {
  if (!isObject(spec)) return 'its spec is not an object';
  const { command, ready = {} } = spec;
  if (!Array.isArray(command) || command.length === 0 || command.some((word) => typeof word !== 'string')) {
    return 'its command is not a list of program and arguments';
  }
  if (!isObject(ready)) return 'ready is not an object';
  const unknown =
    Object.keys(spec).find((field) => !Object.hasOwn(FIELDS, field)) ??
    Object.keys(ready).find((field) => !Object.hasOwn(READY_FIELDS, field));
  return unknown && `a service has no field ${JSON.stringify(unknown)}`;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A problem in a spec, and the field that has it. */
export interface ServiceProblem {
  readonly path: readonly string[];
  readonly message: string;
}

/** What is wrong in the spec itself, before anything is started. Missing fields are not checked. */
export function serviceProblems(spec: Partial<ServiceSpec>): ServiceProblem[] {
  const problems: ServiceProblem[] = [];
  const { command = [], env = {}, provides = {}, ready = {} } = spec;
  const ports = new Set(spec.ports);
  if (ready.port !== undefined && !ports.has(ready.port)) {
    const message = `ready.port names ${JSON.stringify(ready.port)}, which is not in ports`;
    problems.push({ path: ['ready', 'port'], message });
  }
  if (ready.log !== undefined) {
    try {
      new RegExp(ready.log, 'm');
    } catch (error) {
      const message = `ready.log is not a regular expression: ${messageOf(error)}`;
      problems.push({ path: ['ready', 'log'], message });
    }
  }
  if (ready.log !== undefined && references(ready.log).some((name) => isOfService(name))) {
    const message = 'ready.log is a regular expression, in which no placeholder is filled in';
    problems.push({ path: ['ready', 'log'], message });
  }
  const add = (path: readonly string[], text: PlaceholderText): void => {
    const isSet = (name: string): boolean => Object.hasOwn(env, name) || Object.hasOwn(process.env, name);
    const found = placeholderProblems(text, [...ports], (name) => text.isCode && isSet(name));
    problems.push(...found.map((message) => ({ path, message })));
  };
  for (const word of textsOf(command)) add(['command'], word);
  for (const [field, values] of Object.entries({ env, provides })) {
    for (const [name, value] of Object.entries(values))
      for (const text of textsOf([value])) add([field, name], text);
  }
  return problems;
}

/** What is wrong with the placeholders in a text of a service. */
function placeholderProblems(
  text: PlaceholderText,
  ports: readonly string[],
  isKnown: (name: string) => boolean,
): string[] {
  const ofPorts = ports.map((port) => `port:${port}`);
  const problems = references(text.text).flatMap((name) => {
    if (name === 'dir' || ofPorts.includes(name)) return [];
    if (isOfService(name)) {
      const near = nearest(name, ofPorts);
      return `\${${name}} names a port that is not in ports${near === undefined ? '' : `; did you mean \${${near}}?`}`;
    }
    if (isKnown(name)) return [];
    const near = nearMiss(name, text, ['dir', ...ofPorts]) ?? meantPort(name, text.isCode, ports);
    return near === undefined ? [] : `\${${name}} is not a placeholder; did you mean \${${near}}?`;
  });
  for (const [cut] of text.text.matchAll(UNFINISHED)) {
    problems.push(`${cut} is not a placeholder; there are \${dir} and \${port:NAME}`);
  }
  return problems;
}

/** The placeholder of a port that a name can only mean, such as `port.client` or `prt:client`. */
function meantPort(name: string, isCode: boolean, ports: readonly string[]): string | undefined {
  const behind = /:(.*)$/.exec(name)?.[1] ?? '';
  if (ports.includes(behind)) return `port:${behind}`;
  // In a shell's script, a number or an operator would be behind the colon of a variable.
  const isOne = isCode ? /^ports?:[A-Za-z_][\w-]*$/i : /^ports?(?:\W.*)?$/i;
  return isOne.test(name) ? `port:${ports[0] ?? 'NAME'}` : undefined;
}

/** Whether a name is that of a placeholder of services. */
export const isOfService = (name: string): boolean => name === 'dir' || name.startsWith('port:');

const PLACEHOLDER = /\$\{(dir|port:([^}]*))\}/g;

/** A placeholder without an end. */
const UNFINISHED = /\$\{(?:dir|port:[^}]*)$/g;

async function launch(name: string, spec: ServiceSpec): Promise<RunningService> {
  const cwd = resolve(spec.cwd ?? '.');
  const env = { ...process.env, ...spec.env };
  const found = findExecutable(spec.command[0] ?? '', cwd, env.PATH);
  if (found.path === undefined) {
    throw new ServiceError(name, `can't start: ${found.problem}`, '', found.hint);
  }
  const ports = await allocatePorts(spec.ports ?? []);
  const directory = makeTemporaryDirectory(`quiesce-${name}`);
  const fill = (text: string): string =>
    text.replace(PLACEHOLDER, (_all, what: string, port: string) =>
      what === 'dir' ? directory.path : String(ports[port]),
    );
  const fillAll = (texts: Readonly<Record<string, string>> = {}): Record<string, string> =>
    Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, fill(text)]));

  let group: ProcessGroup;
  try {
    group = await spawnGroup(spec.command.map(fill), {
      cwd,
      env,
      added: () => fillAll(spec.env),
      outputs: 2,
    });
  } catch (error) {
    directory.remove();
    throw new ServiceError(name, `can't start: ${adviceOf(error)}`);
  }
  const log = new BoundedOutput(0, LOG_BYTES);
  for (const stream of group.output) stream.read((chunk) => log.push(chunk));

  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    group.kill('SIGTERM');
    if (!(await group.gone(STOP_GRACE_MS))) group.kill('SIGKILL');
    // How it ended is unknown if its starter was killed.
    await group.exited.catch(() => {});
    await group.gone(STOP_GRACE_MS);
    group.release();
    // A process that left the group may hold the pipes. It must not keep this process alive.
    for (const stream of group.output) stream.close();
    directory.remove();
  };
  const stopOnce = (): Promise<void> => {
    stopping ??= stop();
    return stopping;
  };
  return {
    name,
    dir: directory.path,
    ports,
    env: fillAll(spec.provides),
    pid: group.pid,
    exited: group.exited,
    log: () => log.toString(),
    stop: stopOnce,
    [Symbol.asyncDispose]: stopOnce,
  };
}

async function untilReady(service: RunningService, spec: ServiceSpec, signal?: AbortSignal): Promise<void> {
  const { port, log, timeoutMs = READY_TIMEOUT_MS } = spec.ready ?? {};
  const pattern = log === undefined ? undefined : new RegExp(log, 'm');
  const deadline = performance.now() + timeoutMs;
  let end: string | undefined;
  const exited = service.exited.then(
    (status) => {
      end = `${describeExit(status)} before it was ready`;
    },
    (error) => {
      end = `is lost: ${messageOf(error)}`;
    },
  );
  for (;;) {
    signal?.throwIfAborted();
    const ready =
      (pattern === undefined || isFound(pattern, service)) &&
      (port === undefined || (await accepts(service.ports[port] as number)));
    if (end !== undefined) {
      await delay(READY_POLL_MS); // its last words may still be in the pipe
      throw new ServiceError(service.name, end, service.log());
    }
    if (ready) return;
    if (performance.now() >= deadline) {
      const awaited = [port && `port ${JSON.stringify(port)} to accept`, log && `output to match /${log}/`];
      const reason = `was not ready within ${timeoutMs} ms (waited for ${awaited.filter(Boolean).join(' and ')})`;
      throw new ServiceError(service.name, reason, service.log());
    }
    await Promise.race([delay(READY_POLL_MS), exited]);
  }
}

function isFound(pattern: RegExp, service: RunningService): boolean {
  try {
    return findEach([pattern], [service.log()])[0] === true;
  } catch (error) {
    const { message, hint } = error as EnvironmentError;
    throw new ServiceError(service.name, `can't be seen to be ready: ${message}`, service.log(), hint, {
      cause: error,
    });
  }
}

/** How a process ended, as the verb of a sentence. */
export function describeExit(status: ExitStatus): string {
  return status.signal === null ? `exited with code ${status.code}` : `was killed by ${status.signal}`;
}

async function lostPortRace(service: RunningService, error: unknown): Promise<boolean> {
  if (!(error instanceof ServiceError)) return false;
  if (/address already in use|EADDRINUSE/i.test(service.log())) return true;
  const free = await Promise.all(Object.values(service.ports).map(isFree));
  return free.includes(false);
}

async function allocatePorts(names: readonly string[]): Promise<Record<string, number>> {
  // All are held until the last one is known, so that no two are the same.
  const held = await Promise.all(names.map(() => listen(0)));
  const ports = names.map((name, i) => [name, held[i]?.port as number] as const);
  await Promise.all(held.map((listener) => listener.close()));
  return Object.fromEntries(ports);
}

function isFree(port: number): Promise<boolean> {
  return listen(port).then(
    (listener) => listener.close().then(() => true),
    () => false,
  );
}

function listen(port: number): Promise<{ port: number; close(): Promise<void> }> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const address = server.address() as { port: number };
      resolve({ port: address.port, close: () => new Promise((done) => server.close(() => done())) });
    });
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const settle = (accepted: boolean): void => {
      socket.destroy();
      resolve(accepted);
    };
    socket.setTimeout(1_000, () => settle(false));
    socket.once('error', () => settle(false));
    // On loopback, a socket can connect to itself if nothing listens on a port in the ephemeral range.
    socket.once('connect', () => settle(socket.localPort !== socket.remotePort));
  });
}
