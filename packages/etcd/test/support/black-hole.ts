import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP proxy on loopback some of whose connections lead nowhere. */
export interface BlackHole extends AsyncDisposable {
  readonly port: number;
  /** The client connections that are open now. */
  readonly connections: number;
  /** Connections that are made from now on are accepted, and nothing more happens on them. */
  swallowNew(swallow: boolean): void;
  /** From now on, no byte passes on the existing connections. They stay open. */
  swallowOpen(): void;
  /** Resets each connection, and also ends those that lead nowhere. */
  reset(): void;
  /** This many connections are reset as soon as the client has sent something, which is during the TLS handshake. */
  resetNext(count: number): void;
}

/** Starts a proxy in front of a port of this host. */
export async function startBlackHole(target: number): Promise<BlackHole> {
  const clients = new Map<Socket, Socket | undefined>();
  let swallow = false;
  let toReset = 0;
  const server = createServer({ noDelay: true }, (client) => {
    client.on('error', () => {});
    clients.set(client, undefined);
    client.once('close', () => {
      clients.get(client)?.destroy();
      clients.delete(client);
    });
    if (swallow) {
      // Read, so that its end is noticed.
      client.resume();
      return;
    }
    if (toReset > 0) {
      toReset -= 1;
      client.once('data', () => client.resetAndDestroy());
      return;
    }
    const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true });
    clients.set(client, upstream);
    upstream.on('error', () => client.destroy());
    upstream.once('close', () => client.destroy());
    client.pipe(upstream);
    upstream.pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return clients.size;
    },
    swallowNew(value) {
      swallow = value;
    },
    swallowOpen() {
      for (const [client, upstream] of clients) {
        client.unpipe();
        upstream?.unpipe();
        client.pause();
        upstream?.pause();
      }
    },
    reset() {
      for (const client of clients.keys()) client.resetAndDestroy();
    },
    resetNext(count) {
      toReset = count;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const [client, upstream] of clients) {
        client.destroy();
        upstream?.destroy();
      }
      await once(server, 'close');
    },
  };
}
