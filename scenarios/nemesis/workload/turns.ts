import { setTimeout as delay } from 'node:timers/promises';
import { type EtcdClient, EtcdError } from '@quiesce/etcd';
import type { Random } from '@quiesce/test-services';
import type { History } from '../history.js';

/** What each worker of the workload has. */
export interface Work {
  readonly etcd: EtcdClient;
  readonly client: string;
  readonly worker: string;
  readonly history: History;
  readonly random: Random;
  /** Aborts when no more work is to begin. */
  readonly over: AbortSignal;
}

let numbers = 0;

/** A number that nobody else has; later ones are higher. */
export const uniqueNumber = (): number => ++numbers;

/** A value that nobody else writes. */
export const uniqueValue = (): string => `v${uniqueNumber()}`;

/** What the calls of a test's own making end with: EtcdErrors, and the signal that the test has given. */
export function isExpected(error: unknown): boolean {
  return error instanceof EtcdError || (error instanceof DOMException && error.name === 'TimeoutError');
}

/** Runs a worker's turns; calls that fail are in the history. */
export async function turns(work: Work, pauseMs: number, turn: () => Promise<void>): Promise<void> {
  while (!work.over.aborted) {
    try {
      await turn();
    } catch (error) {
      if (!isExpected(error)) throw error;
      await delay(100);
    }
    await delay(work.random(pauseMs));
  }
}

/** Calls that took longer than that were sent more than once, or waited for somebody. */
export const SLOW_MS = 300;
const LONGEST_AWAY_MS = 6_000;

/**
 * Keeps a worker away from what it has just given back where its calls were slow, most times: what comes late then finds
 * nobody who claims it.
 */
export async function stayAway({ random, over }: Work, tookMs: number): Promise<void> {
  if (tookMs < SLOW_MS || random(4) === 0) return;
  await delay(random(LONGEST_AWAY_MS), undefined, { signal: over }).catch(() => {});
}
