// Workers that load an addon and are terminated. The argument is the file of any addon. Deno 2.9.6 leaves an epoll and
// an event descriptor open for each; Node and Bun leave none. The exit code is 1 if descriptors are left.
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { Worker } from 'node:worker_threads';

const code = `import('node:module').then(({ createRequire }) => {
  createRequire('file:///')(${JSON.stringify(resolve(process.argv[2]))});
  require('node:worker_threads').parentPort.postMessage('loaded');
});`;
const round = async () => {
  const worker = new Worker(code, { eval: true });
  await once(worker, 'message');
  await worker.terminate();
};
const openFiles = async () => {
  await new Promise((done) => setTimeout(done, 300));
  return readdirSync('/proc/self/fd').length;
};
await round();
const before = await openFiles();
for (let i = 0; i < 5; i++) await round();
const left = (await openFiles()) - before;
console.log(`${left} descriptors are left of 5 workers`);
process.exit(left > 2 ? 1 : 0);
