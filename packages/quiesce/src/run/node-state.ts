import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { messageOf } from '../errors.js';
import { linkOfProc, listProc, readProc } from '../process/proc.js';
import type { InterpretedFrame } from './stack-trace.js';

/** What Node says of its main thread. */
export interface NodeState {
  /** Empty where it runs no JavaScript. */
  readonly frames: readonly InterpretedFrame[];
  /** What keeps its event loop alive, such as `TCP server` or `timer x2`. */
  readonly keptAliveBy: readonly string[];
}

/** An answer comes at once or, when the main thread is in native code, never. */
const ANSWER_MS = 3_000;
const POLL_MS = 20;
/** Its bit in the masks of /proc. */
const SIGUSR1_BIT = 1n << 9n;

/** Whether a process runs Node. */
export const isNode = (pid: number): boolean => /\/node(?:js)?$/.test(linkOfProc(`/proc/${pid}/exe`));

// Runs in the program: at the next call or turn of a loop, or where it waits for a lock or its event loop.
const EXPRESSION = `(() => {
  Error.stackTraceLimit = 64;
  Error.prepareStackTrace = (_, sites) => sites.map((site) =>
    [site.getFunctionName(), site.getFileName(), site.getLineNumber()]);
  return JSON.stringify({ frames: new Error().stack, active: process.getActiveResourcesInfo() });
})()`;

const answer = z.looseObject({
  result: z.looseObject({ result: z.looseObject({ value: z.string() }) }),
});
const state = z.looseObject({
  frames: z.array(z.tuple([z.string().nullish(), z.string().nullish(), z.int().nullish()])),
  active: z.array(z.string()),
});
const targets = z.array(z.looseObject({ webSocketDebuggerUrl: z.string() })).min(1);

/** They all take the same port. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * Asks a process of Node what its main thread does, by its inspector, which SIGUSR1 starts: nothing was to be prepared. Takes
 * at most a few seconds. The process listens for debuggers on the loopback interface from then on, so it is asked only before it
 * is ended.
 * @returns the state, or why there is none.
 */
export async function nodeState(
  pid: number,
  signal: AbortSignal | undefined,
): Promise<NodeState | { readonly problem: string }> {
  const before = turn;
  const mine = before.then(() => ask(pid, signal));
  turn = mine;
  return mine;
}

async function ask(pid: number, signal: AbortSignal | undefined): Promise<NodeState | { problem: string }> {
  if (!catchesSigusr1(pid)) return { problem: 'it does not take SIGUSR1, which would start the inspector' };
  const limit = AbortSignal.any([AbortSignal.timeout(ANSWER_MS), ...(signal === undefined ? [] : [signal])]);
  try {
    const port = await inspectorPort(pid, limit);
    const listed = await fetch(`http://127.0.0.1:${port}/json/list`, { signal: limit });
    const [target] = targets.parse(await listed.json());
    return parseState(await evaluate(target?.webSocketDebuggerUrl ?? '', limit));
  } catch (error) {
    if (limit.aborted) {
      return { problem: 'its main thread is in native code that does not return, or port 9229 is taken' };
    }
    return { problem: `its inspector does not answer: ${messageOf(error)}` };
  }
}

const catchesSigusr1 = (pid: number): boolean => {
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readProc(`/proc/${pid}/status`))?.[1] ?? '0';
  return (BigInt(`0x${mask}`) & SIGUSR1_BIT) !== 0n;
};

/** The port that it began to listen on; or the usual one, where it listens on that already. */
async function inspectorPort(pid: number, signal: AbortSignal): Promise<number> {
  const before = loopbackPorts(pid);
  process.kill(pid, 'SIGUSR1');
  for (;;) {
    const port = loopbackPorts(pid).find((port) => port === 9229 || !before.includes(port));
    if (port !== undefined) return port;
    await delay(POLL_MS, undefined, { signal });
  }
}

/** Where a process listens on 127.0.0.1. */
function loopbackPorts(pid: number): number[] {
  const own = new Set(
    listProc(`/proc/${pid}/fd`).map(
      (fd) => /^socket:\[(\d+)\]$/.exec(linkOfProc(`/proc/${pid}/fd/${fd}`))?.[1],
    ),
  );
  // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode: 0A is LISTEN.
  const lines = readProc(`/proc/${pid}/net/tcp`).matchAll(
    /^ *\d+: 0100007F:([0-9A-F]{4}) \S+ 0A (?:\S+ +){5}(\d+)/gm,
  );
  return [...lines].flatMap(([, port = '', inode]) => (own.has(inode) ? [Number.parseInt(port, 16)] : []));
}

async function evaluate(url: string, signal: AbortSignal): Promise<string> {
  const socket = new WebSocket(url, { handshakeTimeout: ANSWER_MS });
  try {
    await once(socket, 'open', { signal });
    const params = { expression: EXPRESSION, returnByValue: true, disableBreaks: true };
    socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params }));
    const [message] = await once(socket, 'message', { signal });
    return answer.parse(JSON.parse(String(message))).result.result.value;
  } finally {
    socket.on('error', () => {}); // of what is ended before it is open
    socket.terminate();
  }
}

function parseState(text: string): NodeState {
  const { frames, active } = state.parse(JSON.parse(text));
  return {
    // Without a file are what asks, and what is built in.
    frames: frames.flatMap(([name, file, line]) =>
      file && line ? [{ name: name || '(anonymous)', file: pathOf(file), line }] : [],
    ),
    keptAliveBy: counted(active.map((name) => RESOURCES[name] ?? name)),
  };
}

const pathOf = (file: string): string => (file.startsWith('file:') ? fileURLToPath(file) : file);

function counted(names: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, times]) => (times > 1 ? `${name} x${times}` : name));
}

/** Node's names of what keeps an event loop alive, in plain words. */
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
