// A worker is terminated while it calls its database.
const { createRequire } = require('node:module');
const { isMainThread, parentPort, Worker } = require('node:worker_threads');

if (isMainThread) {
  const worker = new Worker(__filename);
  worker.once('message', () => setTimeout(() => worker.terminate(), 100));
} else {
  const Database = createRequire(`${process.cwd()}/`)('libsql');
  const db = new Database(':memory:');
  db.exec('create table t (a)');
  parentPort.postMessage('open');
  for (;;) db.prepare('insert into t values (?)').run(1);
}
