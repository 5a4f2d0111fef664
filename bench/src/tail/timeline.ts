// What the kernel's trace says about some threads: at each moment, whether they work, wait, or sleep.

/**
 * What a group of threads does at a moment.
 *
 * - `works`: one of them has a CPU.
 * - `wakes`: none has one, but one could run, and a CPU is idle: that CPU has to wake up, or to take the thread.
 * - `waits`: the same, and other threads have all CPUs.
 * - `sleeps`: none could run. They wait for the other side, or for the disk.
 */
export const activities = ['works', 'wakes', 'waits', 'sleeps'] as const;
export type Activity = (typeof activities)[number];

/** Some threads, known by their ids. */
export type Threads = ReadonlySet<number>;

/** How long each activity took, in µs. */
export type Shares = Record<Activity, number>;

export const noShares: Readonly<Shares> = { works: 0, wakes: 0, waits: 0, sleeps: 0 };

/** A TCP segment that is in its receiver's socket. */
export interface Segment {
  readonly at: number;
  readonly bytes: number;
}

/** A thread has woken another one. */
export interface Waking {
  readonly at: number;
  readonly by: number;
  readonly thread: number;
}

/** A trace, seen from a server's port and some groups of threads. Times are in µs of CLOCK_MONOTONIC. */
export class TraceReader {
  readonly #groups: readonly GroupTimeline[];
  readonly #port: number;
  /** The thread on each CPU; 0 is an idle CPU. */
  readonly #onCpu = new Map<number, number>();
  readonly #states = new Map<number, 'on' | 'ready'>();
  readonly toServer: Segment[] = [];
  readonly toClient: Segment[] = [];
  readonly wakings: Waking[] = [];

  /** @param woken the threads whose wake-ups are kept. */
  constructor(
    port: number,
    groups: readonly Threads[],
    private readonly woken: Threads,
  ) {
    this.#port = port;
    this.#groups = groups.map((threads) => new GroupTimeline(threads));
  }

  /** The timeline of the group with that index. */
  timeline(group: number): GroupTimeline {
    const timeline = this.#groups[group];
    if (timeline === undefined) throw new RangeError(`there is no group ${group}`);
    return timeline;
  }

  /** Takes the next line of the trace. */
  read(line: string): void {
    const match = LINE.exec(line);
    if (match === null) return;
    const [, current, cpu, time, event, fields = ''] = match;
    const at = Number(time) * 1e6;
    if (event === 'sched_switch') this.#switched(at, Number(cpu), fields);
    else if (event === 'tcp_probe') this.#segment(at, fields);
    else this.#woken(at, event === 'sched_waking' ? Number(current) : undefined, fields);
  }

  #switched(at: number, cpu: number, fields: string): void {
    const match = SWITCH.exec(fields);
    if (match === null) return;
    const [previous, state, next] = [Number(match[1]), match[2], Number(match[3])];
    // Preempted: it could run on.
    if (state === 'R' || state === 'R+') this.#states.set(previous, 'ready');
    else this.#states.delete(previous);
    this.#states.set(next, 'on');
    this.#onCpu.set(cpu, next);
    this.#note(at);
  }

  /** @param by the thread that begins to wake it; `undefined` once it is awake. */
  #woken(at: number, by: number | undefined, fields: string): void {
    const thread = Number(WOKEN.exec(fields)?.[1]);
    if (by !== undefined && this.woken.has(thread)) this.wakings.push({ at, by, thread });
    // A thread that is about to sleep still has its CPU. Then the second event counts.
    if (this.#states.has(thread)) return;
    this.#states.set(thread, 'ready');
    this.#note(at);
  }

  #segment(at: number, fields: string): void {
    const match = SEGMENT.exec(fields);
    if (match === null) return;
    const [receiver, sender, bytes] = match.slice(1).map(Number) as [number, number, number];
    // Without data it only acknowledges.
    if (bytes === 0) return;
    if (receiver === this.#port) this.toServer.push({ at, bytes });
    else if (sender === this.#port) this.toClient.push({ at, bytes });
  }

  #note(at: number): void {
    const running = [...this.#onCpu.values()];
    const idle = running.includes(0);
    for (const group of this.#groups) {
      if (running.some((thread) => group.threads.has(thread))) group.note(at, 'works');
      else if (!this.#isReady(group.threads)) group.note(at, 'sleeps');
      else group.note(at, idle ? 'wakes' : 'waits');
    }
  }

  #isReady(threads: Threads): boolean {
    for (const thread of threads) if (this.#states.get(thread) === 'ready') return true;
    return false;
  }
}

/** What a group of threads did, from its first change on. */
export class GroupTimeline {
  readonly #times: number[] = [];
  readonly #activities: Activity[] = [];

  constructor(readonly threads: Threads) {}

  note(at: number, activity: Activity): void {
    if (this.#activities.at(-1) === activity) return;
    this.#times.push(at);
    this.#activities.push(activity);
  }

  /** When the group next falls asleep, having worked after `from`; `undefined` if it hasn't by `to`. */
  asleepAfterWork(from: number, to: number): number | undefined {
    let worked = false;
    for (let i = Math.max(lastUpTo(this.#times, from), 0); i < this.#times.length; i++) {
      const at = Math.max(this.#times[i] as number, from);
      if (at > to) return undefined;
      if (worked && this.#activities[i] === 'sleeps') return at;
      worked ||= this.#activities[i] === 'works';
    }
    return undefined;
  }

  /** How long each activity took between two times. */
  between(from: number, to: number): Shares {
    const shares: Shares = { ...noShares };
    for (let i = lastUpTo(this.#times, from), at = from; at < to; i++) {
      const until = Math.min(this.#times[i + 1] ?? to, to);
      shares[this.#activities[i] ?? 'sleeps'] += until - at;
      at = until;
    }
    return shares;
  }
}

/** The index of the last of these sorted times that isn't after `at`; -1 if all are. */
function lastUpTo(times: readonly number[], at: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((times[middle] as number) <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// A line: `            node-4711    [001] d..2.  1234.567890: sched_switch: prev_comm=…`
const LINE = /-(\d+) +\[(\d+)\] \S+ +(\d+\.\d+): (sched_switch|sched_waking|sched_wakeup|tcp_probe): (.*)$/;
const SWITCH = / prev_pid=(\d+) prev_prio=-?\d+ prev_state=(\S+) ==> .* next_pid=(\d+) /;
const WOKEN = / pid=(\d+) /;
const SEGMENT = / src=\S+:(\d+) dest=\S+:(\d+) .*data_len=(\d+)/;
