import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { messageOf } from '../../errors.js';
import { hostOf } from '../../hosts.js';
import { linkOfProc, listProc, readProc } from '../../process/proc.js';
import { catches, cpuPressureMs, waitedForCpuMs } from '../../process/processes.js';
import { within } from '../../process/timer.js';
import type { InterpretedFrame } from '../stack-trace.js';
import { type Inspected, inspected, withInspector } from './inspector.js';
import { NOTHING, type OwnThreads, type Questioned } from './own-threads.js';

/** What Node reports about its main thread. */
interface NodeState {
  /** Empty if it runs no JavaScript. */
  readonly frames: readonly InterpretedFrame[];
  /** What keeps its event loop alive, such as `TCP server`, `timer x2` or `worker /srv/pool.js (timer)`. */
  readonly keptAliveBy: readonly string[];
}

/** An answer comes at once or, if the main thread is in native code, never. Time without a CPU doesn't count. */
const ANSWER_MS = 3_000;
/** How long another process may have the port: another tester that asks a program, or somebody's debugger. */
const TAKEN_MS = 10_000;
const POLL_MS = 20;
/** Where SIGUSR1 makes a Node listen, unless its options say otherwise. */
const INSPECTOR_PORT = 9229;
const FREE_POLLS = 25;
/** The part of that time that may be spent on workers. */
const WORKERS_MS = 2_000;
/** A busy thread runs no JavaScript at some moments, such as between two microtasks. */
const BUSY_ASKS = 8;

// Runs in the program: at its next call or turn of a loop, or while it waits for a lock or in its event loop. A pipe
// that the program prints to, such as the tester's, doesn't keep it alive once everything is written. Node lists it
// anyway.
const EXPRESSION = `(() => {
  Error.stackTraceLimit = 64;
  Error.prepareStackTrace = (_, sites) => sites.map((site) =>
    [site.getFunctionName(), site.getFileName(), site.getLineNumber()]);
  const active = process.getActiveResourcesInfo();
  for (const { fd, _type, writableLength } of process._getActiveHandles?.() ?? []) {
    const printed = (fd === 1 || fd === 2) && _type === 'pipe' && writableLength === 0;
    if (printed && active.includes('PipeWrap')) active.splice(active.indexOf('PipeWrap'), 1);
  }
  return JSON.stringify({ frames: new Error().stack, active });
})()`;

// Runs after this connection has ended: closing waits for the connection.
const CLOSE = "setTimeout(() => process.getBuiltinModule?.('node:inspector').close(), 20).unref(), 0";

const answer = z.looseObject({ result: z.looseObject({ value: z.string() }) });
const found = z.looseObject({ result: z.looseObject({ objectId: z.string() }) });
const instances = z.looseObject({ objects: z.looseObject({ objectId: z.string() }) });
const attached = z.looseObject({
  sessionId: z.string(),
  workerInfo: z.looseObject({ title: z.string(), url: z.string() }),
});
const fromWorker = z.looseObject({ sessionId: z.string(), message: z.string() });
const state = z.looseObject({
  frames: z.array(z.tuple([z.string().nullish(), z.string().nullish(), z.int().nullish()])),
  active: z.array(z.string()),
});
const targets = z.array(z.looseObject({ webSocketDebuggerUrl: z.string() })).min(1);

/** All Node processes use the same port. Those that this process asks take turns. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * What the main thread of a hung Node does, according to its inspector. Nothing if the process doesn't run Node. SIGUSR1
 * starts the inspector, so the program needs no preparation. Takes at most a few seconds in which both have a CPU, and
 * 10 s more if another process has the port. Meanwhile the process listens for debuggers on the loopback interface. If
 * its event loop doesn't turn, it continues to listen, so it is asked only before it is ended.
 */
export async function nodeThreads({ pid, hung, stopped, busy, signal }: Questioned): Promise<OwnThreads> {
  if (!hung || hostOf(linkOfProc(`/proc/${pid}/exe`)) !== 'node') return NOTHING;
  const state = stopped ? STOPPED : await inTurn({ pid, busy, signal });
  if ('problem' in state) return { ...NOTHING, problem: `no JavaScript frames: ${state.problem}` };
  return { threads: new Map([[pid, state]]), problem: null };
}

const STOPPED = { problem: 'a signal has stopped it' };

type Hung = Pick<Questioned, 'pid' | 'busy' | 'signal'>;

async function inTurn(hung: Hung): Promise<NodeState | Unknown> {
  const before = turn;
  const mine = before.then(() => ask(hung));
  turn = mine;
  return mine;
}

/** Why there is no state. */
interface Unknown {
  readonly problem: string;
}

async function ask(hung: Hung): Promise<NodeState | Unknown> {
  const { pid, signal } = hung;
  if (!catches(pid, 'SIGUSR1'))
    return { problem: 'it does not take SIGUSR1, which would start the inspector' };
  // On a busy machine, whoever has it may have to wait for a CPU.
  return within(TAKEN_MS, signal, (limit) => askUntil(hung, limit), cpuPressureMs);
}

async function askUntil(hung: Hung, limit: AbortSignal): Promise<NodeState | Unknown> {
  for (;;) {
    while (isTaken(hung.pid) && !limit.aborted) await delay(POLL_MS);
    const state = await askOnce(hung);
    // A Node that can't have the port gives up at once. It tries again at the next SIGUSR1.
    if (state !== TAKEN || limit.aborted) return state;
  }
}

const TAKEN = { problem: `port ${INSPECTOR_PORT}, which its inspector needs, is in use` };

const IN_NATIVE = 'its main thread did not answer its inspector, as in native code that does not return';
const OWN_LISTENER = 'the program has its own listener for SIGUSR1, which would start the inspector';

async function askOnce({ pid, busy, signal }: Hung): Promise<NodeState | Unknown> {
  let port: number | undefined;
  // On a busy machine, both may have to wait for a CPU.
  const kept = (): number => waitedForCpuMs(pid) + waitedForCpuMs(process.pid);
  const answer = async (limit: AbortSignal): Promise<NodeState | Unknown> => {
    try {
      port = await inspectorPort(pid, limit);
      if (port === undefined) return TAKEN;
      const listed = await fetch(`http://127.0.0.1:${port}/json/list`, { signal: limit });
      const [target] = targets.parse(await listed.json());
      const asks = { main: busy === pid ? BUSY_ASKS : 1, workers: busy === undefined ? 1 : BUSY_ASKS };
      const { webSocketDebuggerUrl: url = '' } = target ?? {};
      const state = await within(WORKERS_MS, limit, (enough) => stateWithin(url, asks, limit, enough), kept);
      await portIsFree(pid, port, limit);
      return state;
    } catch (error) {
      if (limit.aborted)
        return { problem: port === undefined ? `${IN_NATIVE}, or ${OWN_LISTENER}` : IN_NATIVE };
      return { problem: `its inspector does not answer: ${messageOf(error)}` };
    }
  };
  return within(ANSWER_MS, signal, answer, kept);
}

/** The port that it began to listen on, or the usual one if it has it already. `undefined` if another process has it. */
async function inspectorPort(pid: number, signal: AbortSignal): Promise<number | undefined> {
  const before = loopbackPorts(pid);
  process.kill(pid, 'SIGUSR1');
  for (;;) {
    const port = loopbackPorts(pid).find((port) => port === INSPECTOR_PORT || !before.includes(port));
    if (port !== undefined) return port;
    if (isTaken(pid)) return undefined;
    await delay(POLL_MS, undefined, { signal });
  }
}

/** Every Node process needs the port. If one doesn't give it back, the next one reports that. */
async function portIsFree(pid: number, port: number, signal: AbortSignal): Promise<void> {
  for (let i = 0; i < FREE_POLLS && loopbackPorts(pid).includes(port); i++) {
    await delay(POLL_MS, undefined, { signal });
  }
}

/** The ports on which a process listens on 127.0.0.1. */
function loopbackPorts(pid: number): number[] {
  const own = new Set(
    listProc(`/proc/${pid}/fd`).map(
      (fd) => /^socket:\[(\d+)\]$/.exec(linkOfProc(`/proc/${pid}/fd/${fd}`))?.[1],
    ),
  );
  return listeners(pid).flatMap(({ address, port, inode }) =>
    address === LOOPBACK && own.has(inode) ? [port] : [],
  );
}

/** Whether the port is in use, and not by its inspector. */
const isTaken = (pid: number): boolean =>
  !loopbackPorts(pid).includes(INSPECTOR_PORT) && listeners(pid).some(({ port }) => port === INSPECTOR_PORT);

const LOOPBACK = '0100007F';

/** What listens on 127.0.0.1 or on all addresses in the network of a process. */
function listeners(pid: number): { address: string; port: number; inode: string }[] {
  // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode: 0A is LISTEN.
  const lines = readProc(`/proc/${pid}/net/tcp`).matchAll(
    /^ *\d+: (0100007F|00000000):([0-9A-F]{4}) \S+ 0A (?:\S+ +){5}(\d+)/gm,
  );
  return [...lines].map(([, address = '', port = '', inode = '']) => ({
    address,
    port: Number.parseInt(port, 16),
    inode,
  }));
}

/** A worker of the process. */
interface Attached {
  /** Its number and name, such as `[worker 1] pool`. */
  readonly title: string;
  /** Empty if its code is not a file. */
  readonly url: string;
  readonly inspected: Inspected;
}

/** How often a thread is asked until it runs JavaScript. */
interface Asks {
  readonly main: number;
  readonly workers: number;
}

/** @param enough aborts when the caller waits for no more workers. */
async function stateWithin(
  url: string,
  asks: Asks,
  signal: AbortSignal,
  enough: AbortSignal,
): Promise<NodeState> {
  const workers = new Map<string, Attached>();
  let main: Inspected | undefined;
  const onEvent = (method: string, params: unknown): void => {
    if (method === 'NodeWorker.attachedToWorker') {
      const { sessionId, workerInfo } = attached.parse(params);
      const send = (message: string): void =>
        void main?.ask('NodeWorker.sendMessageToWorker', { sessionId, message }).catch(() => {});
      workers.set(sessionId, { ...workerInfo, inspected: inspected(send, enough) });
    } else if (method === 'NodeWorker.receivedMessageFromWorker') {
      const { sessionId, message } = fromWorker.parse(params);
      workers.get(sessionId)?.inspected.receive(message);
    }
  };
  return withInspector(url, { signal, onEvent }, async (inspector) => {
    main = inspector;
    const { frames, active } = await evaluateState(inspector, asks.main);
    await inspector.ask('NodeWorker.enable', { waitForDebuggerOnStart: false });
    const referenced = workers.size === 0 ? [] : await referencedWorkers(inspector);
    const kept = [...workers.values()].filter(({ title }) => referenced?.includes(numberOf(title)) ?? true);
    const ofWorkers = await Promise.all(kept.map((worker) => describeWorker(worker, asks.workers)));
    await inspector.ask('Runtime.evaluate', { expression: CLOSE });
    return { frames, keptAliveBy: counted([...active, ...ofWorkers]) };
  });
}

interface Evaluated {
  readonly frames: InterpretedFrame[];
  readonly active: string[];
}

/**
 * What a thread runs, and what keeps its event loop alive.
 * @param asks how often it is asked until it runs JavaScript.
 */
export async function evaluateState(of: Inspected, asks: number): Promise<Evaluated> {
  let seen = await evaluateOnce(of);
  for (let i = 1; i < asks && seen.frames.length === 0; i++) seen = await evaluateOnce(of);
  return seen;
}

async function evaluateOnce(of: Inspected): Promise<Evaluated> {
  const params = { expression: EXPRESSION, returnByValue: true, disableBreaks: true };
  const { result } = answer.parse(await of.ask('Runtime.evaluate', params));
  const { frames, active } = state.parse(JSON.parse(result.value));
  return {
    // The expression itself and built-in code have no file.
    frames: frames.flatMap(([name, file, line]) =>
      file && line ? [{ name: name || '(anonymous)', file: pathOf(file), line }] : [],
    ),
    active: active.map((name) => RESOURCES[name] ?? name),
  };
}

const numberOf = (title: string): number => Number(/^\[worker (\d+)\]/.exec(title)?.[1]);

// The workers that the main thread knows and hasn't unref'd.
const REFERENCED = `function () {
  return JSON.stringify(this.flatMap((worker) => {
    const kHandle = Reflect.ownKeys(worker).find((key) => key.description === 'kHandle');
    return kHandle !== undefined && worker[kHandle]?.hasRef?.() ? [worker.threadId] : [];
  }));
}`;

/**
 * The numbers of the workers that an event loop waits for: not those with `unref()`. `undefined` if Node doesn't report
 * them.
 */
async function referencedWorkers(main: Inspected): Promise<number[] | undefined> {
  try {
    const expression = "process.getBuiltinModule('node:worker_threads').Worker.prototype";
    const { result } = found.parse(await main.ask('Runtime.evaluate', { expression }));
    const ofWorkers = await main.ask('Runtime.queryObjects', { prototypeObjectId: result.objectId });
    const { objectId } = instances.parse(ofWorkers).objects;
    const params = { objectId, functionDeclaration: REFERENCED, returnByValue: true };
    const numbers = answer.parse(await main.ask('Runtime.callFunctionOn', params)).result.value;
    return z.array(z.int()).parse(JSON.parse(numbers));
  } catch {
    return undefined; // this Node is too old
  }
}

/** Names the worker, and in brackets what it runs or is kept alive by. */
async function describeWorker({ title, url, inspected }: Attached, asks: number): Promise<string> {
  const name = title.replace(/^\[worker \d+\]\s*/, '');
  const file = url === '' ? 'with code that is not a file' : pathOf(url);
  const what = `worker ${name === '' ? '' : `${JSON.stringify(name)} `}${file}`;
  try {
    const { frames, active } = await evaluateState(inspected, asks);
    const [inner] = frames;
    if (inner !== undefined) return `${what} (runs ${inner.name}, ${inner.file}:${inner.line})`;
    return active.length === 0 ? what : `${what} (${counted(active).join(', ')})`;
  } catch {
    return what; // the worker is in native code
  }
}

const pathOf = (file: string): string => (file.startsWith('file:') ? fileURLToPath(file) : file);

function counted(names: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, times]) => (times > 1 ? `${name} x${times}` : name));
}

/** Node's names for what keeps an event loop alive, in plain words. */
const RESOURCES: Readonly<Record<string, string>> = {
  TCPServerWrap: 'TCP server',
  TCPSocketWrap: 'TCP connection',
  TCPConnectWrap: 'TCP connection that is being made',
  PipeServerWrap: 'server of a Unix socket',
  PipeWrap: 'pipe or Unix socket',
  UDPWrap: 'UDP socket',
  TTYWrap: 'terminal',
  ProcessWrap: 'child process',
  Worker: 'worker',
  MessagePort: 'message port',
  Timeout: 'timer',
  Immediate: 'immediate',
  SignalWrap: 'signal handler',
  FSEventWrap: 'file watcher',
  StatWatcher: 'file watcher',
  FSReqCallback: 'file operation',
  FSReqPromise: 'file operation',
  GetAddrInfoReqWrap: 'name lookup',
};
