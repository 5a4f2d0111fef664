import { type AddressInfo, createServer, type Server } from 'node:net';
import { EtcdStartError } from './start-error.js';

/** Different loopback ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  // All ports are held until the last one is known.
  const servers = await Promise.all(Array.from({ length: count }, listen));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

function listen(): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => reject(new EtcdStartError(`there is no free port: ${error.message}`)));
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}
