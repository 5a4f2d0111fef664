import { activities, type GroupTimeline, type Segment, type Shares, type Waking } from './timeline.js';

/** One call, as its program has seen it. Times are in µs; `startAt` is one of CLOCK_MONOTONIC. */
export interface SingleCall {
  readonly startAt: number;
  readonly micros: number;
  /** V8 collected garbage. */
  readonly collected?: number;
  /** JavaScript's thread was ready to run, but another one had the CPU. Only without a trace. */
  readonly waited?: number;
  /** The same for the runtime's thread. */
  readonly runtimeWaited?: number;
}

/** Where a call's time went, in µs. The parts add up to `micros`. */
export interface CallParts {
  readonly micros: number;
  /**
   * Until the request is in the server's socket: the client's own work, and the kernel's on the client's thread. With a
   * JavaScript client it is that of JavaScript's thread, which sends.
   */
  readonly before: Shares;
  /** From then until the answer is in the client's socket. */
  readonly server: Shares;
  /** From then until the caller has the answer. */
  readonly after: Shares;
  /** Of `after`, with a JavaScript client: until the runtime's thread wakes JavaScript's, or has done its part. */
  readonly runtime?: Shares;
  /** Of `after`: from then on. */
  readonly javaScript?: Shares;
  /** Of the whole. */
  readonly collected: number;
}

/** A trace of a client's calls. */
export interface TracedCalls {
  readonly calls: readonly SingleCall[];
  readonly toServer: readonly Segment[];
  readonly toClient: readonly Segment[];
  readonly server: GroupTimeline;
  readonly client: GroupTimeline;
  /** Of a client that has two threads. The wake-ups are those of JavaScript's thread. */
  readonly threads?: {
    readonly runtime: GroupTimeline;
    readonly javaScript: GroupTimeline;
    readonly wakings: readonly Waking[];
  };
}

/** A PING of HTTP/2 and a WINDOW_UPDATE, which are neither request nor answer, have this many bytes. */
const CONTROL_BYTES = 17 + 13;

/** Joins each call with the segments between its start and its end. Calls that the trace doesn't have are left out. */
export function joinCalls(traced: TracedCalls): CallParts[] {
  const requests = new Cursor(traced.toServer.filter(({ bytes }) => bytes > CONTROL_BYTES));
  const answers = new Cursor(traced.toClient.filter(({ bytes }) => bytes > CONTROL_BYTES));
  const wakings = new Cursor(traced.threads?.wakings ?? []);
  return traced.calls.flatMap((call) => {
    const { startAt, micros, collected = 0 } = call;
    const endAt = startAt + micros;
    const answer = answers.lastBetween(startAt, endAt);
    const request = answer && requests.lastBetween(startAt, answer.at);
    if (answer === undefined || request === undefined) return [];
    const server = traced.server.between(request.at, answer.at);
    const before = (traced.threads?.javaScript ?? traced.client).between(startAt, request.at);
    const whole = { micros, before, server, collected };
    if (traced.threads === undefined) return [{ ...whole, after: traced.client.between(answer.at, endAt) }];
    // JavaScript's thread may still be awake, without a CPU: then nobody wakes it.
    const { threads } = traced;
    const wokenAt =
      wakings.firstBetween(answer.at, endAt)?.at ?? threads.runtime.asleepAfterWork(answer.at, endAt);
    // Without work of the runtime's thread, JavaScript's has read the answer itself.
    const isDirect = wokenAt === undefined && threads.runtime.between(answer.at, endAt).works === 0;
    const handedOverAt = wokenAt ?? (isDirect ? answer.at : endAt);
    const runtime = threads.runtime.between(answer.at, handedOverAt);
    const javaScript = threads.javaScript.between(handedOverAt, endAt);
    return [{ ...whole, runtime, javaScript, after: sum(runtime, javaScript) }];
  });
}

function sum(a: Shares, b: Shares): Shares {
  return Object.fromEntries(activities.map((name) => [name, a[name] + b[name]])) as Shares;
}

/** Finds events in the order of time. The times that it is asked for only grow, except within one call. */
class Cursor<T extends { readonly at: number }> {
  #next = 0;

  constructor(private readonly events: readonly T[]) {}

  firstBetween(from: number, to: number): T | undefined {
    while (this.#next < this.events.length && (this.events[this.#next] as T).at < from) this.#next += 1;
    const found = this.events[this.#next];
    return found !== undefined && found.at <= to ? found : undefined;
  }

  lastBetween(from: number, to: number): T | undefined {
    let found = this.firstBetween(from, to);
    for (let i = this.#next + 1; (this.events[i]?.at ?? Infinity) <= to; i++) found = this.events[i];
    return found;
  }
}
