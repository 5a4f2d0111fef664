import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** The headers of an HTTP request must end within this many bytes. */
const HEAD_BYTES = 16 * 1024;

interface PeerConnection {
  /** The member id in its first request, in hexadecimal; empty for a request without one, `undefined` before it. */
  from: string | undefined;
  /** Index of the member that it leads to. */
  readonly to: number;
  readonly client: Socket;
  readonly upstream: Socket;
  flowing: boolean;
}

/**
 * The network between the members of a cluster: a proxy before each member's peer port. The `X-Server-From` header of
 * etcd's raft requests shows which member a connection comes from. So the network can split the members into groups
 * that don't hear from each other, in either direction, while connections stay open.
 */
export interface PeerNetwork extends AsyncDisposable {
  /** Port to advertise for each member, on 127.0.0.1. */
  readonly ports: readonly number[];
  /** From here on, no byte passes between these members and the others. */
  isolate(members: ReadonlySet<number>): void;
  /** Ends `isolate`. The bytes that were held back are passed on. */
  heal(): void;
  /** Closes everything. Idempotent. */
  close(): Promise<void>;
}

/**
 * @param targets the ports that the members listen on for their peers.
 * @param memberIndex the index of the member with this id (hexadecimal), once it is known.
 */
export async function startPeerNetwork(
  targets: readonly number[],
  memberIndex: (id: string) => number | undefined,
): Promise<PeerNetwork> {
  const connections = new Set<PeerConnection>();
  let isolated: ReadonlySet<number> = new Set();

  const passes = ({ from, to }: PeerConnection): boolean => {
    if (from === undefined) return false;
    // Ids are known only after the first connections were made. They don't matter before that.
    const source = from === '' ? undefined : memberIndex(from);
    return source === undefined ? !isolated.has(to) : isolated.has(source) === isolated.has(to);
  };
  const apply = (connection: PeerConnection): void => {
    const flow = passes(connection);
    if (flow === connection.flowing) return;
    connection.flowing = flow;
    const { client, upstream } = connection;
    if (flow) {
      client.pipe(upstream);
      upstream.pipe(client);
    } else {
      client.unpipe(upstream);
      upstream.unpipe(client);
    }
  };

  const accept = (client: Socket, to: number): void => {
    const upstream = connect({
      host: '127.0.0.1',
      port: targets[to] as number,
      allowHalfOpen: true,
      noDelay: true,
    });
    const connection: PeerConnection = { from: undefined, to, client, upstream, flowing: false };
    connections.add(connection);
    for (const socket of [client, upstream]) {
      socket.on('error', () => destroy(connection));
      socket.on('close', () => {
        if (client.destroyed && upstream.destroyed) connections.delete(connection);
      });
    }
    let head = Buffer.alloc(0);
    const readHead = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const text = head.toString('latin1');
      if (!text.includes('\r\n\r\n') && head.length < HEAD_BYTES) return;
      client.off('data', readHead);
      client.pause();
      client.unshift(head);
      connection.from = /^x-server-from: *([\da-f]+)/im.exec(text)?.[1] ?? '';
      apply(connection);
    };
    client.on('data', readHead);
    client.once('end', () => {
      if (!connection.flowing) upstream.end();
    });
  };

  const servers = await Promise.all(
    targets.map(async (_target, to): Promise<Server> => {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => accept(client, to));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      // A process that forgets to close the server can still end.
      server.unref();
      return server;
    }),
  );
  const isolate = (members: ReadonlySet<number>): void => {
    isolated = members;
    for (const connection of connections) apply(connection);
  };
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= Promise.all(
      servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    ).then(() => {});
    for (const connection of connections) destroy(connection);
    return closing;
  };
  return {
    ports: servers.map((server) => (server.address() as AddressInfo).port),
    isolate: (members) => isolate(new Set(members)),
    heal: () => isolate(new Set()),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function destroy({ client, upstream }: PeerConnection): void {
  client.destroy();
  upstream.destroy();
}
