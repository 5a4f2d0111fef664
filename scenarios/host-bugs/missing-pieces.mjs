// Pieces of Node's API that tests use: exit code 1 when the one that the argument names is missing.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';

const pieces = {
  // Bun 1.4.4
  'expose-gc': async () => {
    setFlagsFromString('--expose-gc');
    return runInNewContext('typeof gc') === 'function';
  },
  // Deno 2.9.6
  removeAllListeners: () =>
    new Promise((resolve) => {
      const code = `const { parentPort } = require('node:worker_threads');
        try { parentPort.removeAllListeners('message'); parentPort.postMessage(true); }
        catch { parentPort.postMessage(false); }`;
      new Worker(code, { eval: true }).once('message', resolve);
    }),
};
const there = await pieces[process.argv[2]]();
console.log(`${process.argv[2]} is ${there ? 'there' : 'missing'}`);
process.exit(there ? 0 : 1);
