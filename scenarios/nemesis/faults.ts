import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '@quiesce/test-services';
import type { Cluster } from './cluster.js';
import type { History } from './history.js';

/** What faults need besides the cluster. */
export interface Means {
  readonly cluster: Cluster;
  readonly history: History;
  readonly random: Random;
  /** Drops the history that was recorded. */
  compact(): Promise<void>;
  /** Makes another member the leader. */
  moveLeader(to: number): Promise<void>;
  /** How long to wait before the next fault. */
  pauseMs(): number;
}

interface Fault {
  /** Whether a majority is up and can be reached by all clients throughout the fault. */
  readonly majority: boolean;
  run(means: Means, target: number, leader: number): Promise<void>;
}

/** Longer than the judge allows for background work. */
const QUIET_MS = 14_000;

/** Calls whose late copies would do harm. */
const aims = ['enter', 'campaign', 'lock', 'tryLock', 'readLock', 'writeLock', 'dequeue', 'proclaim'];

const faults: Readonly<Record<string, Fault>> = {
  kill: {
    majority: true,
    async run({ cluster, random }, member) {
      await cluster.order({ do: 'kill', member });
      await delay(500 + random(3_000));
      await cluster.order({ do: 'restart', member });
    },
  },
  // A leader hands over the leadership before it ends.
  terminate: {
    majority: true,
    async run({ cluster, random }, _member, leader) {
      await cluster.order({ do: 'terminate', member: leader });
      await delay(200 + random(1_000));
      await cluster.order({ do: 'restart', member: leader });
    },
  },
  freeze: {
    majority: true,
    async run({ cluster, random }, member) {
      await cluster.order({ do: 'freeze', member });
      await delay(2_000 + random(12_000));
      await cluster.order({ do: 'resume', member });
    },
  },
  partition: {
    majority: true,
    async run({ cluster, random }, member) {
      await cluster.order({ do: 'partition', members: [member] });
      await delay(2_000 + random(6_000));
      await cluster.order({ do: 'heal' });
    },
  },
  // Calls that were under way there are sent elsewhere, and may still be applied when the member is back.
  'partition-cut': {
    majority: true,
    async run({ cluster, history, random }, _member, leader) {
      const member = (leader + 1 + random(2)) % 3;
      await history.next(aims[random(aims.length)] as string, 2_000);
      await delay(random(20));
      await cluster.order({ do: 'partition', members: [member] });
      await delay(300 + random(700));
      await cluster.order({ do: 'refuse', member });
      await delay(1_000 + random(2_500));
      await cluster.order({ do: 'heal' });
      await delay(500);
      await cluster.order({ do: 'listen', member });
    },
  },
  cut: {
    majority: true,
    async run({ cluster, random }) {
      for (let n = 0; n < 5; n++) {
        await cluster.order({ do: 'cut', member: random(3) });
        await delay(random(400));
      }
    },
  },
  'black-hole': {
    majority: true,
    async run({ cluster, random }, member) {
      await cluster.order({ do: 'flow', member, flow: random(2) === 0 ? 'none' : 'requests' });
      await delay(2_000 + random(6_000));
      await cluster.order({ do: 'flow', member, flow: 'both' });
    },
  },
  // Answers are lost, and then nothing can be reached: what is true of the last attempt isn't true of the first.
  'lost-answers': {
    majority: false,
    async run({ cluster, random }) {
      for (const member of [0, 1, 2]) await cluster.order({ do: 'flow', member, flow: 'requests' });
      await delay(200 + random(300));
      for (const member of [0, 1, 2]) await cluster.order({ do: 'refuse', member });
      await delay(1_000 + random(2_000));
      for (const member of [0, 1, 2]) {
        await cluster.order({ do: 'flow', member, flow: 'both' });
        await cluster.order({ do: 'listen', member });
      }
    },
  },
  // Calls that begin now are never sent. If a caller gives up something, that must continue in the background.
  refuse: {
    majority: false,
    async run({ cluster, random }) {
      for (const member of [0, 1, 2]) await cluster.order({ do: 'refuse', member });
      await delay(3_000 + random(3_000));
      for (const member of [0, 1, 2]) await cluster.order({ do: 'listen', member });
    },
  },
  compaction: { majority: true, run: ({ compact }) => compact() },
  'move-leader': {
    majority: true,
    async run({ moveLeader, random }, _member, leader) {
      await moveLeader((leader + 1 + random(2)) % 3);
    },
  },
  // No fault: work that continues in the background must be finished when this ends.
  quiet: { majority: true, run: () => delay(QUIET_MS) },
};

export const faultNames: readonly string[] = Object.keys(faults);

/** Injects one fault after another until the time is over, and leaves the cluster whole. */
export async function injectFaults(means: Means, names: readonly string[], until: number): Promise<void> {
  const { cluster, history, random } = means;
  await delay(2_000);
  let order: string[] = [];
  while (Date.now() < until) {
    // Each fault once, in a different order each time.
    if (order.length === 0) order = shuffled(names, random);
    const name = order.pop() as string;
    const fault = faults[name] as Fault;
    const leader = await cluster.order({ do: 'leader' });
    const target = random(3);
    const from = history.now();
    console.log(`${new Date().toISOString().slice(11, 23)} ${name} of ${target}, ${leader} leads`);
    await fault.run(means, target, leader);
    await cluster.order({ do: 'recover' });
    if (name !== 'quiet') {
      history.add('fault', { kind: name, from, to: history.now(), majority: fault.majority });
    }
    await delay(means.pauseMs());
  }
}

function shuffled(names: readonly string[], random: Random): string[] {
  const rest = [...names];
  return Array.from(names, () => rest.splice(random(rest.length), 1)[0] as string);
}
