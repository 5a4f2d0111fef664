// @quiesce/etcd under measurement while it lists a prefix: prints one JSON line. bench/go/list.go does the same for Go.
import { connect, prefix } from '@quiesce/etcd';
import type { ListMeasurement } from '../list.js';
import { LIST_PREFIX } from '../listed.js';
import { measureResources } from './resources.js';

const [endpoint = '', pageSize] = process.argv.slice(2);
const etcd = await connect(endpoint);
const idleRssMiB = process.memoryUsage.rss() / 2 ** 20;
const resources = measureResources();
const start = performance.now();
let keys = 0;
for await (const _kv of etcd.iterate(prefix(LIST_PREFIX), { pageSize: Number(pageSize) })) keys += 1;
const seconds = (performance.now() - start) / 1000;
const used = resources();
const measurement: ListMeasurement = {
  client: '@quiesce/etcd',
  keys,
  seconds,
  idleRssMiB,
  ...used,
};
await etcd.close();
console.log(JSON.stringify(measurement));
