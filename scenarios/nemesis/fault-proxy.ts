import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What a proxy passes: both directions, neither, or only requests. */
export type Flow = 'both' | 'none' | 'requests';

/**
 * A TCP proxy with faults. Bytes never overtake each other. What is held back stays in the sockets, and continues where
 * it stopped.
 */
export class FaultProxy {
  readonly #target: number;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #server: Server | undefined;
  #flow: Flow = 'both';
  #port = 0;

  private constructor(target: number) {
    this.#target = target;
  }

  /** Starts a proxy before a port of this machine. */
  static async start(target: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    await proxy.listen();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** Ends {@link refuse}. */
  async listen(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** From here on, only this much passes, on old and new connections. */
  set flow(flow: Flow) {
    this.#flow = flow;
    for (const pair of this.#pairs) this.#apply(pair);
  }

  /** Resets all connections. */
  cut(): void {
    for (const pair of this.#pairs) reset(pair);
  }

  /** Resets all connections, and refuses new ones. */
  refuse(): void {
    this.#server?.close();
    this.#server = undefined;
    this.cut();
  }

  #accept(client: Socket): void {
    const server = connect({ host: '127.0.0.1', port: this.#target, allowHalfOpen: true, noDelay: true });
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    for (const socket of pair) {
      socket.on('error', () => reset(pair));
      socket.on('close', () => {
        if (client.destroyed && server.destroyed) this.#pairs.delete(pair);
      });
    }
    this.#apply(pair);
  }

  #apply([client, server]: readonly [Socket, Socket]): void {
    client.unpipe(server);
    server.unpipe(client);
    if (this.#flow !== 'none') client.pipe(server);
    if (this.#flow === 'both') server.pipe(client);
  }
}

function reset(pair: readonly [Socket, Socket]): void {
  for (const socket of pair) {
    if (socket.destroyed) continue;
    // libuv refuses to reset a socket that is shutting down, and Node then spins forever when the process ends.
    if (socket.writableEnded) socket.destroy();
    else socket.resetAndDestroy();
  }
}
