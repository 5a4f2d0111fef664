// A service: an etcd that runs of the grid freeze (SIGSTOP), one run at a time. Arguments: the control port, etcd's ports
// for clients and peers, its program, and further flags of it. A run sends `hold ID THREADS` once for each of its
// threads, and is answered `held` when the server is reserved for it. After as many `freeze` lines, all connections are
// answered `frozen`. The server continues when the run's last connection is closed, at the latest when the run ends.
import { createServer, type Socket } from 'node:net';
import { startEtcd } from '@quiesce/etcd/testing';
import { serveLines } from './control.js';

const [control, client, peer, binary, ...args] = process.argv.slice(2);
// It ends with this process, frozen or not.
const etcd = await startEtcd({ binary, args, port: Number(client), peerPort: Number(peer), fsync: true });

interface Run {
  readonly id: string;
  readonly threads: number;
  readonly sockets: Set<Socket>;
  readonly ready: Set<Socket>;
}

/** The first of them holds the server. */
const runs: Run[] = [];

createServer((socket) => {
  let run: Run | undefined;
  serveLines(socket, (line) => {
    const [word, id = '', threads = '1'] = line.split(' ');
    if (word === 'hold') {
      run = runOf(id, Number(threads));
      run.sockets.add(socket);
      if (runs[0] === run) socket.write('held\n');
    } else if (word === 'freeze' && run !== undefined) {
      run.ready.add(socket);
      if (run.ready.size === run.threads) freeze(run);
    }
  });
  socket.once('close', () => {
    if (run?.sockets.delete(socket) && run.sockets.size === 0) release(run);
  });
}).listen(Number(control), '127.0.0.1');

function runOf(id: string, threads: number): Run {
  const known = runs.find((run) => run.id === id);
  if (known !== undefined) return known;
  const run = { id, threads, sockets: new Set<Socket>(), ready: new Set<Socket>() };
  runs.push(run);
  return run;
}

function freeze(run: Run): void {
  etcd.pause();
  for (const socket of run.sockets) socket.write('frozen\n');
}

function release(run: Run): void {
  etcd.resume();
  runs.splice(runs.indexOf(run), 1);
  for (const socket of runs[0]?.sockets ?? []) socket.write('held\n');
}

void etcd.exited.then(async ({ code }) => {
  await etcd.stop();
  process.exit(code ?? 1);
});
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => void etcd.stop());
