import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);

for (const { name, clientUrls } of await etcd.cluster.memberList()) {
  const status = await etcd.maintenance.status(clientUrls[0] ?? '');
  console.log(name, status.leader === status.memberId ? 'leads' : 'follows', status.errors);
}
console.log('alarms:', await etcd.maintenance.alarmList());

const directory = await mkdtemp(join(tmpdir(), 'backup-'));
const { bytes, sha256 } = await etcd.maintenance.snapshotTo(join(directory, 'etcd.db'));
console.log('saved and verified:', bytes > 0, sha256.length);
await rm(directory, { recursive: true });

// To free space: drop history, then give it back to the file system, one member after another.
const { header } = await etcd.put('key', 'value');
await etcd.compact(header.revision, { physical: true });
for (const { clientUrls } of await etcd.cluster.memberList()) {
  await etcd.maintenance.defragment(clientUrls[0] ?? '', { timeoutMs: 60_000 });
}
