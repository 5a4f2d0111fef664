import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { EtcdStartError } from './start-error.js';

const HOST = '127.0.0.1';

/** Different loopback ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  // All ports are held until the last one is known.
  const servers = await Promise.all(Array.from({ length: count }, listen));
  const ports = servers.map(portOf);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

/**
 * Keeps ports from everybody who asks for any free one, until the returned function is called. So a server that is
 * restarted finds its ports free. There is a connection from each: Linux gives away no such port, and yet a server may
 * listen on it. Does nothing for ports in use, and on other systems.
 */
export async function hold(ports: readonly number[]): Promise<() => void> {
  if (process.platform !== 'linux') return () => {};
  const hub = await listen();
  const ends: Socket[] = [];
  const keep = (end: Socket): void => {
    end.on('error', () => {});
    ends.push(end.unref());
  };
  hub.on('connection', keep);
  const made = await Promise.allSettled(ports.map((port) => connection(portOf(hub), port)));
  const connected = made.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  // A connection that was not accepted would end with the hub.
  while (ends.length < connected.length) await new Promise((turn) => setImmediate(turn));
  hub.close();
  connected.forEach(keep);
  return () => {
    for (const end of ends) end.resetAndDestroy();
  };
}

/** A connection from one port of this host to another. */
function connection(to: number, from: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: HOST, port: to, localAddress: HOST, localPort: from });
    socket.once('connect', () => resolve(socket)).once('error', reject);
  });
}

function listen(): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => reject(new EtcdStartError(`there is no free port: ${error.message}`)));
    server.listen(0, HOST, () => resolve(server));
  });
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;
