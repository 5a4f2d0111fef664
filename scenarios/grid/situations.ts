// What a program of the grid is doing when it ends.
import { setTimeout as delay } from 'node:timers/promises';
import { threadId } from 'node:worker_threads';
import { connect, type EtcdClient, EtcdError, prefix } from '@quiesce/etcd';
import { Control } from './control.js';

/** A situation that the program has reached. */
export interface Reached {
  /** Closes the client properly. */
  close(): Promise<void>;
  /** Begins nothing new and releases the event loop. Resolves when everything that had begun is finished. */
  settle(): Promise<void>;
}

/** How many threads of this process are in it at the same time, and whether calls that can't succeed should fail soon. */
export interface Circumstances {
  readonly threads: number;
  readonly impatient: boolean;
}

const run = process.env.QUIESCE_RUN_ID ?? String(process.pid);
const root = `grid/${run}/${threadId}`;
const CALLERS = 8;
/** Long enough that it passes to and from the core in a message of its own. */
const LONG = Buffer.alloc(40_000, 'long');
const EVENTS = 5;
const IMPATIENT_MS = 200;

function given(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run this by the plan scenarios/grid.plan.ts`);
  return value;
}

/** Connected, and nothing is under way. */
async function idle(): Promise<Reached> {
  const etcd = await connect(given('ETCD_ENDPOINTS'));
  await etcd.put(root, 'idle');
  return { close: () => etcd.close(), settle: async () => {} };
}

/** Gets and puts, one after another, by several callers. */
async function calls(): Promise<Reached> {
  const etcd = await connect(given('ETCD_ENDPOINTS'));
  const callers = new Callers(etcd);
  await callers.answered;
  return {
    close: () => Promise.all([etcd.close(), callers.through]).then(() => {}),
    settle: () => callers.stop(),
  };
}

/** A watch that has seen events while further ones are on their way. */
async function watch(): Promise<Reached> {
  const etcd = await connect(given('ETCD_ENDPOINTS'));
  const watch = etcd.watch(prefix(root));
  await watch.ready;
  const callers = new Callers(etcd);
  let see = (): void => {};
  const seen = new Promise<void>((resolve) => (see = resolve));
  const read = async (): Promise<void> => {
    let events = 0;
    for await (const _event of watch) if (++events === EVENTS) see();
  };
  const reading = untilClosed(read());
  await seen;
  return {
    close: () => Promise.all([etcd.close(), callers.through, reading]).then(() => {}),
    async settle() {
      await callers.stop();
      etcd.unref();
    },
  };
}

/** A lease that is renewed all the time: after each third of the shortest TTL that etcd grants. */
async function keepAlive(): Promise<Reached> {
  const etcd = await connect(given('ETCD_ENDPOINTS'));
  const { id } = await etcd.lease.grant(1);
  await etcd.lease.keepAlive(id);
  // One renewal is on its way at this moment, too.
  const renewing = untilClosed(etcd.lease.keepAliveOnce(id));
  return {
    close: () => Promise.all([etcd.close(), renewing]).then(() => {}),
    async settle() {
      await renewing;
      etcd.unref();
    },
  };
}

/** Nothing listens at one endpoint, and the other accepts no connection. */
async function deadEndpoint({ impatient }: Circumstances): Promise<Reached> {
  const connecting = connectingTo({
    endpoints: ['http://127.0.0.1:1', given('GRID_FULL')],
    ...(impatient && { connectTimeoutMs: IMPATIENT_MS }),
  });
  // The end comes at a different moment in each run.
  await delay((Number(process.env.QUIESCE_RUN) * 7) % 12);
  return connecting;
}

/** The server has the first message of a TLS handshake, and won't answer. */
async function tlsHandshake({ impatient }: Circumstances): Promise<Reached> {
  const serverName = `t${threadId}-${run}.test`;
  const control = await Control.open(Number(given('GRID_UNANSWERING')));
  await control.ask(`hello ${serverName}`);
  const connecting = connectingTo({
    endpoints: given('GRID_SILENT'),
    tls: { ca: given('GRID_CA'), serverName },
    ...(impatient && { connectTimeoutMs: IMPATIENT_MS }),
  });
  await control.next();
  control.close();
  return connecting;
}

/** A watch and calls, and SIGSTOP has stopped the server. */
async function frozenServer({ threads, impatient }: Circumstances): Promise<Reached> {
  const control = await Control.open(Number(given('GRID_FREEZER')));
  await control.ask(`hold ${run} ${threads}`);
  const etcd = await connect(given('GRID_FREEZABLE'));
  const watch = etcd.watch(prefix(root));
  await watch.ready;
  await etcd.put(root, 'before');
  await control.ask('freeze');
  const callers = new Callers(etcd, impatient ? IMPATIENT_MS : undefined);
  const read = async (): Promise<void> => {
    for await (const _event of watch);
  };
  const reading = untilClosed(read());
  await delay(1);
  return {
    close: () => Promise.all([etcd.close(), callers.through, reading]).then(() => {}),
    async settle() {
      await callers.stop();
      etcd.unref();
    },
  };
}

function connectingTo(options: Exclude<Parameters<typeof connect>[0], string | undefined>): Reached {
  const stop = new AbortController();
  const failed = connect({ ...options, signal: stop.signal }).then(
    () => {
      throw new Error('connected to a server that is dead');
    },
    (error) => {
      if (!(error instanceof EtcdError) && error !== stop.signal.reason) throw error;
    },
  );
  return {
    close() {
      stop.abort();
      return failed;
    },
    settle: () => failed,
  };
}

/** Each caller makes one call after another, until it is stopped or the client is closed. Two callers move a long value. */
class Callers {
  /** One of the calls was answered. */
  readonly answered: Promise<void>;
  /** All callers have ended. */
  readonly through: Promise<void>;
  #stopped = false;

  constructor(etcd: EtcdClient, timeoutMs?: number) {
    const control = timeoutMs === undefined ? {} : { timeoutMs };
    let answer = (): void => {};
    this.answered = new Promise((resolve) => (answer = resolve));
    const call = async (caller: number): Promise<void> => {
      for (let i = 0; !this.#stopped; i++) {
        if (caller === 0 && i === 0) await etcd.put(`${root}/long`, LONG, control);
        else if (caller < 2) await etcd.get(`${root}/long`, control);
        else if (caller % 2 === 0) await etcd.put(`${root}/${caller}`, `${i}`, control);
        else await etcd.get(`${root}/${caller - 1}`, control);
        answer();
      }
    };
    this.through = Promise.all(Array.from({ length: CALLERS }, (_, i) => untilClosed(call(i)))).then(
      () => {},
    );
  }

  /** Makes no more calls, and waits for those in flight. */
  stop(): Promise<void> {
    this.#stopped = true;
    return this.through;
  }
}

/** Waits for something that fails when the client ends, or a server doesn't answer. */
async function untilClosed(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
  }
}

export const situations = {
  idle,
  calls,
  watch,
  keepalive: keepAlive,
  'dead endpoint': deadEndpoint,
  'TLS handshake': tlsHandshake,
  'frozen server': frozenServer,
} as const satisfies Record<string, (circumstances: Circumstances) => Promise<Reached>>;
