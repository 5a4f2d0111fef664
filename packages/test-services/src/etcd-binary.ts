import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findUpwards } from './find-upwards.js';

/** Where setup/etcd.mjs writes down which etcd it found or built. */
const RECORD = join('.cache', 'etcd', 'path');

/**
 * The etcd server to start: `ETCD_BIN` where that is set, else the one that set-up chose.
 * @throws Error when there is none; its message says what to run.
 */
export function etcdBinary(): string {
  if (process.env.ETCD_BIN) return process.env.ETCD_BIN;
  const record = findUpwards(RECORD);
  const binary = record === undefined ? '' : readFileSync(record, 'utf8').trim();
  if (binary === '' || !existsSync(binary)) {
    throw new Error('there is no etcd yet: run `npm run build` once, or set ETCD_BIN');
  }
  return binary;
}

/** etcd's own tool for snapshots, as set-up built it for the tests; `undefined` where there was no Go to do so. */
export function etcdutlBinary(): string | undefined {
  return findUpwards(join('.cache', 'etcd', 'etcdutl'));
}

/** A program of etcd's Go client, as set-up built it for the tests; `undefined` where there was no Go to do so. */
export function clientv3Binary(): string | undefined {
  return findUpwards(join('.cache', 'etcd', 'clientv3'));
}
