// A client's HTTP/2 session is destroyed by its own 'goaway' listener while one more frame is to be read. Deno 2.9.6
// dies from SIGSEGV or an assertion of nghttp2; Node and Bun print "survived".
import * as http2 from 'node:http2';
import { createServer } from 'node:net';

const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const goAway = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
const ping = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);

for (let i = 0; i < 100; i++) {
  const sockets = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.write(settings);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const session = http2.connect(`http://127.0.0.1:${server.address().port}`);
  session.on('error', () => {});
  await new Promise((resolve) => session.once('remoteSettings', resolve));
  const closed = new Promise((resolve) => session.once('close', resolve));
  session.on('goaway', () => session.destroy());
  for (const socket of sockets) socket.write(Buffer.concat([goAway, ping]));
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 100))]);
  for (const socket of sockets) socket.destroy();
  session.destroy();
  server.close();
}
console.log('survived');
process.exit(0);
