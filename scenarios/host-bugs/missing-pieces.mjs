// Parts of Node's API that tests use. The exit code is 1 if the part that the argument names is missing.
import { Worker } from 'node:worker_threads';

const pieces = {
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
