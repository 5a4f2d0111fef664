// Breaches of HTTP/2 by a server, for which Node's client ends the request at once with an error. Deno 2.9.6 and Bun
// 1.4.4 accept some of them, or wait forever.
//
//   node scenarios/host-bugs/http2-breaches.mjs
//
// Fails (1) when one of them is tolerated, and names it.
import { connect } from 'node:http2';
import { createServer } from 'node:net';

const MS = 1_000;

function frame(type, flags, stream, payload) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const none = Buffer.alloc(0);
const settings = frame(4, 0, 0, none);
/** `content-type: text/plain`, in HPACK, neither compressed nor indexed. */
const field = Buffer.concat([
  Buffer.of(0, 12),
  Buffer.from('content-type'),
  Buffer.of(10),
  Buffer.from('text/plain'),
]);

const breaches = {
  'a PING of 4 bytes': frame(6, 0, 0, Buffer.alloc(4)),
  'a frame that is longer than was allowed': frame(0, 0, 1, Buffer.alloc(20_000)),
  'a response without :status': frame(1, 5, 1, field),
  'DATA before HEADERS': frame(0, 1, 1, Buffer.from('data')),
  'DATA of a stream that was never opened': frame(0, 0, 9, Buffer.from('data')),
};

/** Whether the request has ended with an error in time. */
async function isJudged(breach) {
  const sockets = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => {}));
    socket.write(settings);
    let asked = 0;
    socket.on('data', (data) => {
      // The preface and SETTINGS may come before the request.
      asked += data.length;
      if (asked > 60) socket.write(breach);
    });
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const session = connect(`http://127.0.0.1:${server.address().port}`);
  const judged = await new Promise((resolve) => {
    setTimeout(resolve, MS, false);
    session.on('error', () => resolve(true));
    const request = session.request({ ':path': '/some/long/path/that/fills/the/first/bytes/of/it' });
    request.on('error', () => resolve(true));
    request.on('response', () => resolve(false));
  });
  session.destroy();
  for (const socket of sockets) socket.destroy();
  server.close();
  return judged;
}

const tolerated = [];
for (const [name, breach] of Object.entries(breaches)) if (!(await isJudged(breach))) tolerated.push(name);
for (const name of tolerated) console.log(`tolerated: ${name}`);
process.exit(tolerated.length > 0 ? 1 : 0);
