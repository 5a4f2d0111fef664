// @quiesce/etcd keeping leases alive, under measurement: prints one JSON line. bench/go/leases.go does the same for Go.
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '@quiesce/etcd';
import type { LeasesMeasurement } from '../leases.js';

const [endpoint = '', leases, ttl, seconds] = process.argv.slice(2);
const etcd = await connect(endpoint);
const keepAlives = await Promise.all(
  Array.from({ length: Number(leases) }, async () =>
    etcd.lease.keepAlive((await etcd.lease.grant(Number(ttl))).id),
  ),
);
const before = process.cpuUsage();
const start = performance.now();
await sleep(Number(seconds) * 1000);
const elapsed = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(before);
const measurement: LeasesMeasurement = {
  client: '@quiesce/etcd',
  seconds: elapsed,
  cpuSeconds: (user + system) / 1e6,
  lost: keepAlives.filter(({ lost }) => lost.aborted).length,
  maxRssMiB: process.resourceUsage().maxRSS / 1024,
};
await etcd.close();
console.log(JSON.stringify(measurement));
