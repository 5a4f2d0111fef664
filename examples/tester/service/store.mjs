// The store that the service needs: it answers each line with the same line.
import { createServer } from 'node:net';

const server = createServer((socket) => socket.on('error', () => {}).pipe(socket));
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'));
