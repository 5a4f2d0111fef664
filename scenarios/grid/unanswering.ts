// A service that never answers. Arguments: three ports. On the first, connections are accepted and read, but nothing is
// sent, so a TLS handshake makes no progress. On the second, connections aren't accepted, and the queue for them is
// full, so that the kernel drops connection requests. On the third, the control port, `hello NAME` is answered `heard`
// and, when a handshake for the server with that name has arrived, `arrived`.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { serveLines } from './control.js';

// Linux queues one connection more than requested.
const BACKLOG = 1;
const MOST_HELLO_BYTES = 16 * 1024;

if (isMainThread) {
  const [silent, full, control] = process.argv.slice(2).map(Number);
  const waiting = new Map<string, Socket>();

  createServer((socket) => {
    let hello = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      if (hello.length > MOST_HELLO_BYTES) return;
      hello += chunk.toString('latin1');
      for (const [name, waiter] of waiting) {
        if (!hello.includes(name)) continue;
        waiting.delete(name);
        waiter.write('arrived\n');
      }
    });
  }).listen(silent, '127.0.0.1');

  const blocked = new Worker(new URL(import.meta.url), { workerData: full });
  await once(blocked, 'message');
  for (let i = 0; i <= BACKLOG; i++) await once(connect(full as number, '127.0.0.1'), 'connect');

  createServer((socket) => {
    serveLines(socket, (line) => {
      const name = line.split(' ')[1] ?? '';
      waiting.set(name, socket);
      socket.once('close', () => waiting.delete(name));
      socket.write('heard\n');
    });
  }).listen(control, '127.0.0.1');
} else {
  // A sleeping thread accepts nothing.
  createServer().listen({ port: workerData as number, host: '127.0.0.1', backlog: BACKLOG }, () => {
    parentPort?.postMessage('listening');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
}
