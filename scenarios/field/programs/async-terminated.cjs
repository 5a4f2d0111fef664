// usage: node async-terminated.cjs PACKAGE EXPRESSION: a worker that calls asynchronous functions of a native package is terminated.
const { createRequire } = require('node:module');
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');

if (isMainThread) {
  const worker = new Worker(__filename, { workerData: process.argv.slice(2) });
  worker.once('message', () => setTimeout(() => worker.terminate(), 20));
} else {
  const [name, expression] = workerData;
  const call = new Function('addon', `return ${expression}`);
  const addon = createRequire(`${process.cwd()}/`)(name);
  parentPort.postMessage('started');
  setInterval(() => {
    for (let i = 0; i < 50; i++) call(addon).catch(() => {});
  }, 1);
}
