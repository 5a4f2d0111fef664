// Workers are terminated while they call their database.
const { once } = require('node:events');
const { createRequire } = require('node:module');
const { isMainThread, parentPort, Worker } = require('node:worker_threads');

async function main() {
  for (let i = 0; i < 10; i++) {
    const worker = new Worker(__filename);
    await once(worker, 'message');
    await worker.terminate();
  }
}

if (isMainThread) main();
else {
  const Database = createRequire(`${process.cwd()}/`)('better-sqlite3');
  const db = new Database(':memory:');
  parentPort.postMessage('started');
  for (;;) db.pragma('busy_timeout = 5000');
}
