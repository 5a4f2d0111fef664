import { createSocket, type Socket } from 'node:dgram';
import { promises as dns } from 'node:dns';
import { decode, encode } from 'dns-packet';

/** The content of an SRV record. */
export interface Target {
  readonly name: string;
  readonly port: number;
  readonly priority?: number;
}

/** A DNS server on loopback that has only these SRV records, and no addresses. */
export async function startDns(records: Readonly<Record<string, readonly Target[]>>): Promise<{
  /** Its address, for `setServers()` of a resolver. */
  readonly address: string;
  readonly resolver: dns.Resolver;
  close(): void;
}> {
  const socket: Socket = createSocket('udp4');
  socket.on('message', (message, from) => {
    const { id, questions = [] } = decode(message);
    const name = questions[0]?.name ?? '';
    const found = records[name];
    const answer = encode({
      type: 'response',
      id: id ?? 0,
      flags: found === undefined ? 3 : 0,
      questions,
      answers: (found ?? []).map(({ name: target, port, priority = 0 }) => ({
        type: 'SRV' as const,
        name,
        ttl: 1,
        data: { target, port, priority, weight: 0 },
      })),
    });
    socket.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const resolver = new dns.Resolver({ timeout: 2_000, tries: 2 });
  const address = `127.0.0.1:${socket.address().port}`;
  resolver.setServers([address]);
  return { address, resolver, close: () => socket.close() };
}
