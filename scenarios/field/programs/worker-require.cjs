// usage: node worker-require.cjs PACKAGE: a native package that only a worker thread loads; the worker ends by itself.
const { createRequire } = require('node:module');
const { isMainThread, Worker, workerData } = require('node:worker_threads');

if (isMainThread) new Worker(__filename, { workerData: process.argv[2] });
else createRequire(`${process.cwd()}/`)(workerData);
