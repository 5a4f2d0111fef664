import { setTimeout as delay } from 'node:timers/promises';
import { type EtcdClient, EtcdError } from '@quiesce/etcd';
import type { Random } from '@quiesce/test-services';
import type { History } from '../history.js';

/** What each worker of the workload gets. */
export interface Work {
  readonly etcd: EtcdClient;
  readonly client: string;
  readonly worker: string;
  readonly history: History;
  readonly random: Random;
  /** Aborts when no more work should begin. */
  readonly over: AbortSignal;
}

let numbers = 0;

/** A number that no other call gets; later numbers are higher. */
export const uniqueNumber = (): number => ++numbers;

/** A value that no other worker writes. */
export const uniqueValue = (): string => `v${uniqueNumber()}`;

/** Errors that calls may end with: EtcdErrors, and the reason of a signal that the test itself passed. */
export function isExpected(error: unknown): boolean {
  return error instanceof EtcdError || (error instanceof DOMException && error.name === 'TimeoutError');
}

/** Runs a worker's turns. Failed calls are in the history. */
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

/** Calls that took longer were sent more than once, or waited for another worker. */
export const SLOW_MS = 300;
const LONGEST_AWAY_MS = 6_000;

/**
 * If the calls were slow, usually keeps a worker away from what it has just given back, so that a late call finds no
 * worker that claims it.
 */
export async function stayAway({ random, over }: Work, tookMs: number): Promise<void> {
  if (tookMs < SLOW_MS || random(4) === 0) return;
  await delay(random(LONGEST_AWAY_MS), undefined, { signal: over }).catch(() => {});
}
