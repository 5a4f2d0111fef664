// Another scenario's program in worker threads. `terminated`: in a worker that is terminated; the main thread then
// reaches its end. `threads`: in four workers; the main thread exits while they run.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { workDone } from 'quiesce/work-done';
import { removeSocket } from './valkey-glide.js';

const [program, ending] = process.argv.slice(2);
const count = ending === 'terminated' ? 1 : 4;
const file = new URL(`./${program}.js`, import.meta.url);
const workers = Array.from({ length: count }, () => new Worker(file, { argv: [] }));
await Promise.all(workers.map((worker) => once(worker, 'message')));
removeSocket();

workDone();
if (ending === 'terminated') await workers[0]?.terminate();
else process.exit();
