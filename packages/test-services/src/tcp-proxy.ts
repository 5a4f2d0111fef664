import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP proxy on loopback, for breaking connections. */
export interface TcpProxy extends AsyncDisposable {
  /** Where clients connect, on 127.0.0.1. */
  readonly port: number;
  /** The number of connections open now. */
  readonly connections: number;
  /** The number of connections accepted since the start. */
  readonly accepted: number;
  /** Resets all connections that are open now. New ones are accepted as before. */
  cut(): void;
  /** From here on, no byte passes in either direction, while connections stay open and new ones are accepted. */
  pause(): void;
  /** Passes on what `pause()` held back, and everything after that. */
  resume(): void;
  /** Cuts all connections and stops listening, so that connecting is refused. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts a proxy to `target`, by default on 127.0.0.1. The target need not exist yet.
 *
 * @param port where clients connect, such as the port of a closed proxy that comes back; 0 for a free one.
 */
export async function startTcpProxy(
  target: { readonly host?: string; readonly port: number },
  port = 0,
): Promise<TcpProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let paused = false;
  let accepted = 0;

  // Half-open sockets, so that an end of one direction is passed on without ending the other.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    accepted++;
    const upstream = connect({ host: '127.0.0.1', ...target, allowHalfOpen: true, noDelay: true });
    const pair = [client, upstream] as const;
    pairs.add(pair);
    for (const socket of pair) {
      socket.on('error', () => reset(pair));
      socket.on('close', () => {
        if (client.destroyed && upstream.destroyed) pairs.delete(pair);
      });
    }
    if (!paused) join(pair);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');

  const cut = (): void => {
    for (const pair of pairs) reset(pair);
  };
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= new Promise((resolve) => {
      server.close(() => resolve());
      cut();
    });
    return closing;
  };
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return pairs.size;
    },
    get accepted() {
      return accepted;
    },
    cut,
    pause() {
      paused = true;
      for (const [client, upstream] of pairs) {
        client.unpipe(upstream);
        upstream.unpipe(client);
      }
    },
    resume() {
      if (paused) for (const pair of pairs) join(pair);
      paused = false;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function join([client, upstream]: readonly [Socket, Socket]): void {
  client.pipe(upstream);
  upstream.pipe(client);
}

function reset(pair: readonly [Socket, Socket]): void {
  for (const socket of pair) {
    // libuv refuses to reset a socket that is shutting down, and Node then spins forever when the process ends.
    if (socket.writableEnded) socket.destroy();
    else socket.resetAndDestroy();
  }
}
