// An HTTP service with one connection to its store. It serves a request, and is then asked to stop by SIGTERM, as an
// orchestrator does. With --forget it leaves the connection to the store open.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';

const store = connect(Number(process.env.STORE_PORT), '127.0.0.1');
await once(store, 'connect');

const server = createServer(async (_request, response) => {
  store.write('a value\n');
  const [answer] = await once(store, 'data');
  response.end(answer);
});
process.once('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
  if (!process.argv.includes('--forget')) store.end();
});
await once(server.listen(0, '127.0.0.1'), 'listening');

const response = await fetch(`http://127.0.0.1:${server.address().port}`);
console.log((await response.text()).trim());
process.kill(process.pid, 'SIGTERM');
