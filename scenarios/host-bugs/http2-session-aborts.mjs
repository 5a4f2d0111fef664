// Node's HTTP/2 client aborts its process some time after a stream was closed in the middle of its response's headers:
// "Assertion failed: (current_nghttp2_memory_) == (0)", in ~Http2Session(). The memory that the stream still holds for
// the headers is counted as the session's, and a minor garbage collection may destroy the session's object first.
//
//   node scenarios/host-bugs/http2-session-aborts.mjs [processes]
//
// Fails (1) as soon as a process has aborted, usually within three of them on Node 20. Each runs for 10 s.
import { spawnSync } from 'node:child_process';
import { connect } from 'node:http2';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MS = 10_000;

function frame(type, stream, payload) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header field in HPACK, neither compressed nor indexed. */
function field(name, value) {
  return Buffer.concat([
    Buffer.of(0, name.length),
    Buffer.from(name),
    Buffer.of(value.length),
    Buffer.from(value),
  ]);
}

/** Answers with HEADERS that never end: 200, and 20 fields of 100 bytes. */
async function startServer() {
  const fields = Array.from({ length: 20 }, (_, i) => field(`name-${i}`, 'x'.repeat(100)));
  const unfinished = frame(1, 1, Buffer.concat([Buffer.of(0x88), ...fields]));
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write(frame(4, 0, Buffer.alloc(0)));
    socket.once('data', () => setImmediate(() => socket.write(unfinished)));
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return `http://127.0.0.1:${server.address().port}`;
}

async function useSession(url) {
  const session = connect(url).on('error', () => {});
  const request = session.request({ ':method': 'POST' }).on('error', () => {});
  await sleep(15);
  request.close(8);
  session.close();
  await sleep(5);
  session.destroy();
}

async function useSessions() {
  const url = await startServer();
  let garbage = [];
  for (const end = Date.now() + MS; Date.now() < end; ) {
    await Promise.all(Array.from({ length: 8 }, () => useSession(url)));
    garbage.push(new Array(1000).fill(0));
    if (garbage.length > 200) garbage = [];
  }
  process.exit(0);
}

if (process.argv[2] === 'use') await useSessions();
for (let left = Number(process.argv[2] ?? 20); left > 0; left--) {
  const program = ['--max-semi-space-size=1', fileURLToPath(import.meta.url), 'use'];
  const { signal, stderr } = spawnSync(process.execPath, program, { encoding: 'utf8', timeout: 3 * MS });
  if (signal === 'SIGABRT') {
    console.log(stderr.split('\n').find((line) => line.includes('Assertion')) ?? stderr);
    process.exit(1);
  }
}
