// Connects, gets one key and ends: `node cold-start-client.js <etcd3, or the file of @quiesce/etcd> <endpoint>`. With
// `phases` after that, it prints the time of each part, as a JSON line. With `idle`, it stays for a second before it
// ends, and prints its memory.
import { pathToFileURL } from 'node:url';
import { keyName } from '../cell.js';
import type { LoadMeasurement } from '../pressure/measurement.js';

/** The CPU time of all threads and the elapsed time of a part of the start, in ms. */
export interface Phase {
  readonly name: string;
  readonly cpuMs: number;
  readonly ms: number;
}

// The client is measured, and `performance` would load modules of Node.
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

const phases: Phase[] = [];
let since = now();
let cpuSince = process.cpuUsage();
const phase = (name: string): void => {
  const { user, system } = process.cpuUsage(cpuSince);
  phases.push({ name, cpuMs: (user + system) / 1000, ms: now() - since });
  since = now();
  cpuSince = process.cpuUsage();
};

const [client = '', endpoint = '', mode] = process.argv.slice(2);
if (client === 'etcd3') {
  const { Etcd3 } = await import('etcd3');
  const etcd = new Etcd3({ hosts: endpoint });
  await etcd.get(keyName(0)).exec();
  etcd.close();
} else {
  const { connect }: typeof import('@quiesce/etcd') = await import(pathToFileURL(client).href);
  phase('import');
  const etcd = await connect(endpoint);
  phase('connect');
  await etcd.get(keyName(0));
  phase('get');
  if (mode === 'idle') await printMemory();
  await etcd.close();
  phase('close');
}
if (mode === 'phases') console.log(JSON.stringify(phases));

async function printMemory(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const measurement: LoadMeasurement = {
    ...{
      client,
      ops: 0,
      seconds: 1,
      cpuSeconds: 0,
      p50Micros: 0,
      p99Micros: 0,
      maxStallMs: 0,
      maxOwnStallMs: 0,
    },
    maxRssMiB: process.memoryUsage.rss() / 2 ** 20,
  };
  console.log(JSON.stringify(measurement));
}
