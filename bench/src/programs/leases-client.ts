// @quiesce/etcd under measurement while it keeps leases alive: prints one JSON line. bench/go/leases.go does the same
// for Go.
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '@quiesce/etcd';
import type { LeasesMeasurement } from '../leases.js';
import { measureResources } from './resources.js';

const [endpoint = '', leases, ttl, seconds, windows, warmup] = process.argv.slice(2);
const etcd = await connect(endpoint);
const keepAlives = await Promise.all(
  Array.from({ length: Number(leases) }, async () =>
    etcd.lease.keepAlive((await etcd.lease.grant(Number(ttl))).id),
  ),
);
await sleep(Number(warmup) * 1000);
const cpuMsPerSecond: number[] = [];
let maxRssMiB = 0;
for (let window = 0; window < Number(windows); window++) {
  const resources = measureResources();
  const start = performance.now();
  await sleep(Number(seconds) * 1000);
  const elapsed = (performance.now() - start) / 1000;
  const used = resources();
  cpuMsPerSecond.push((used.cpuSeconds * 1000) / elapsed);
  maxRssMiB = used.maxRssMiB;
}
const measurement: LeasesMeasurement = {
  client: '@quiesce/etcd',
  cpuMsPerSecond,
  lost: keepAlives.filter(({ lost }) => lost.aborted).length,
  maxRssMiB,
};
await etcd.close();
console.log(JSON.stringify(measurement));
