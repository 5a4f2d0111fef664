import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type EtcdServer, etcdutlBinary } from '@quiesce/test-services';
import type { EtcdClient } from '../../src/index.js';

/** Why no snapshot can be restored here; false if it can. */
export const cannotRestore = etcdutlBinary() === undefined && 'there was no Go to build etcdutl with';

/** A backup of a single etcd. */
export interface Backup {
  readonly file: string;
  readonly peerUrl: string;
}

/** Takes a snapshot into the directory of the server, and is removed with it. */
export async function backUp(server: EtcdServer, etcd: EtcdClient): Promise<Backup> {
  const file = join(server.dir, 'backup.db');
  await etcd.maintenance.snapshotTo(file);
  const [member] = await etcd.cluster.memberList();
  return { file, peerUrl: member?.peerUrls[0] as string };
}

/**
 * Kills the server, and starts it on the same ports with the content of the backup, through `etcdutl snapshot restore`.
 *
 * @param cluster what the cluster's id is made from: the same as before, or a new one, as etcd's guide advises.
 * @param flags further flags of `etcdutl snapshot restore`.
 */
export async function restore(
  server: EtcdServer,
  { file, peerUrl }: Backup,
  cluster: 'same id' | 'other id',
  flags: readonly string[] = [],
): Promise<void> {
  server.kill();
  await server.exited;
  const dataDir = join(server.dir, 'data');
  rmSync(dataDir, { recursive: true });
  const token = cluster === 'same id' ? 'etcd-cluster' : 'restored';
  await promisify(execFile)(
    etcdutlBinary() as string,
    [
      'snapshot',
      'restore',
      file,
      `--data-dir=${dataDir}`,
      `--initial-cluster=default=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster-token=${token}`,
      ...flags,
    ],
    { timeout: 60_000 },
  );
  await server.restart();
}
