// @quiesce/etcd listing a prefix, under measurement: prints one JSON line. bench/go/list.go does the same for Go.
import { connect, prefix } from '@quiesce/etcd';
import { LIST_PREFIX, type ListMeasurement } from '../list.js';

const [endpoint = '', pageSize] = process.argv.slice(2);
const etcd = await connect(endpoint);
const before = process.cpuUsage();
const start = performance.now();
let keys = 0;
for await (const _kv of etcd.iterate(prefix(LIST_PREFIX), { pageSize: Number(pageSize) })) keys += 1;
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(before);
const measurement: ListMeasurement = {
  client: '@quiesce/etcd',
  keys,
  seconds,
  cpuSeconds: (user + system) / 1e6,
  maxRssMiB: process.resourceUsage().maxRSS / 1024,
};
await etcd.close();
console.log(JSON.stringify(measurement));
