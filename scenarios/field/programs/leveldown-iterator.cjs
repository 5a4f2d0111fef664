// A worker is terminated while an iterator of its database is open.
const { mkdtempSync } = require('node:fs');
const { createRequire } = require('node:module');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { isMainThread, parentPort, Worker } = require('node:worker_threads');

if (isMainThread) {
  const worker = new Worker(__filename);
  worker.once('message', () => setTimeout(() => worker.terminate(), 100));
} else {
  const leveldown = createRequire(`${process.cwd()}/`)('leveldown');
  const db = leveldown(mkdtempSync(join(tmpdir(), 'db-')));
  const batch = Array.from({ length: 1_000 }, (_, i) => ({
    type: 'put',
    key: `k${i}`,
    value: 'v'.repeat(1_000),
  }));
  const go = () => db.batch(batch, () => db.iterator().next(go));
  db.open(() => {
    parentPort.postMessage('open');
    go();
  });
}
