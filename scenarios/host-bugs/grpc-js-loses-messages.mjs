// A stream of @grpc/grpc-js whose messages are followed at once by an error status, in the same packet. On Deno 2.9.6
// the messages are lost; on Node and Bun all three come before the error.
//
//   deno run --allow-all scenarios/host-bugs/grpc-js-loses-messages.mjs
//
// Fails (1) when messages are lost.
import { createServer } from 'node:net';
import { Client, credentials } from '@grpc/grpc-js';

const MESSAGES = 3;
const DATA = 0;
const HEADERS = 1;
const SETTINGS = 4;
const END_STREAM = 1;
const END_HEADERS = 4;

function frame(type, flags, stream, payload) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
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

/** A message of one byte, in gRPC's framing. */
const message = frame(DATA, 0, 1, Buffer.of(0, 0, 0, 0, 1, 7));
const head = Buffer.concat([Buffer.of(0x88), field('content-type', 'application/grpc')]);
const answer = Buffer.concat([
  frame(HEADERS, END_HEADERS, 1, head),
  ...new Array(MESSAGES).fill(message),
  frame(HEADERS, END_HEADERS | END_STREAM, 1, field('grpc-status', '5')),
]);

const server = createServer((socket) => {
  socket.on('error', () => {});
  socket.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
  let answered = false;
  socket.on('data', (data) => {
    if (answered || !isRequest(data)) return;
    answered = true;
    socket.write(answer);
  });
});

/** Whether the data contains a HEADERS frame. */
function isRequest(data) {
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
  let at = data.toString('latin1').startsWith(preface) ? preface.length : 0;
  for (; at + 9 <= data.length; at += 9 + data.readUIntBE(at, 3)) if (data[at + 3] === HEADERS) return true;
  return false;
}

await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const client = new Client(`127.0.0.1:${server.address().port}`, credentials.createInsecure());
const bytes = (value) => value;
const call = client.makeServerStreamRequest('/a/b', bytes, bytes, Buffer.of(1));
let received = 0;
call.on('data', () => received++);
const error = await new Promise((resolve) => call.on('error', resolve));
console.log(`${received} of ${MESSAGES} messages came, then: ${error.message}`);
process.exit(received === MESSAGES ? 0 : 1);
