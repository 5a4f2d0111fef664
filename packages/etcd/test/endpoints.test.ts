// Where endpoints come from: sockets, and DNS.
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { promises as dns } from 'node:dns';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type EtcdServer, startEtcd } from '@quiesce/test-services';
import { decode, encode } from 'dns-packet';
import { connect as connectPlain, InvalidArgumentError, UnavailableError } from '../src/index.js';
import { overEachTransport } from './support/clients.js';

overEachTransport('unix:// endpoints', (connect) => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'quiesce-unix-'));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  test('carry calls and watches', async () => {
    const socket = join(dir, 'plain.sock');
    await using _server = await startEtcd({ extraArgs: listen(`unix://${socket}`) });
    await using etcd = await connect(`unix://${socket}`);
    const watch = etcd.watch('k');
    await watch.ready;
    await etcd.put('k', 'v');
    for await (const event of watch) {
      assert.equal(event.kv.text(), 'v');
      break;
    }
    await assert.rejects(
      connect({ endpoints: `unix://${socket}`, tls: {} }),
      (error) => error instanceof InvalidArgumentError && /unixs:\/\//.test(error.message),
    );
  });

  test('take TLS, with a certificate for localhost, as unixs://', async () => {
    const socket = join(dir, 'tls.sock');
    await using server = await startEtcd({ tls: {}, extraArgs: listen(`unixs://${socket}`) });
    const { ca = '' } = server.certificates ?? {};
    await using etcd = await connect({ endpoints: `unixs://${socket}`, tls: { ca } });
    await etcd.put('k', 'v');
    assert.equal((await etcd.get('k'))?.text(), 'v');
  });

  test('tell that there is no such socket', async () => {
    await assert.rejects(connect(`unix://${join(dir, 'nowhere.sock')}`), (error) => {
      assert.ok(error instanceof UnavailableError, String(error));
      assert.match(error.message, /nowhere\.sock: .*(no such file|ENOENT)/i);
      return true;
    });
  });
});

/** Flags by which etcd listens there, and nowhere else, for clients. */
function listen(url: string): string[] {
  return [`--listen-client-urls=${url}`];
}

interface Target {
  readonly name: string;
  readonly port: number;
  readonly priority?: number;
}

/** A DNS server on loopback that knows these SRV records, and addresses nothing else. */
async function startDns(records: Readonly<Record<string, readonly Target[]>>): Promise<{
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
  resolver.setServers([`127.0.0.1:${socket.address().port}`]);
  return { resolver, close: () => socket.close() };
}

overEachTransport('DNS SRV discovery', (connect) => {
  let server: EtcdServer;
  before(async () => {
    server = await startEtcd();
  });
  after(() => server.stop());

  test('finds the endpoints of a domain, by priority, and of a named cluster in it', async () => {
    const target = { name: 'localhost', port: server.port };
    const { resolver, close } = await startDns({
      '_etcd-client._tcp.example.test': [
        { name: 'localhost', port: 1, priority: 9 },
        { ...target, priority: 1 },
      ],
      '_etcd-client-blue._tcp.example.test': [target],
    });
    try {
      await using etcd = await connect({ srv: { domain: 'example.test', resolver } });
      await etcd.put('k', 'v');
      assert.deepEqual(
        etcd.endpoints.map(({ endpoint }) => endpoint),
        [`http://localhost:${server.port}`, 'http://localhost:1'],
      );
      await using blue = await connect({ srv: { domain: 'example.test', name: 'blue', resolver } });
      assert.equal((await blue.get('k'))?.text(), 'v');
      await assert.rejects(connect({ srv: { domain: 'other.test', resolver } }), (error) => {
        assert.ok(error instanceof UnavailableError, String(error));
        assert.match(error.message, /no endpoint under _etcd-client-ssl\._tcp\.other\.test or .*ENOTFOUND/);
        return true;
      });
    } finally {
      close();
    }
  });

  test('takes only the records for TLS where there are certificates', async () => {
    await using secure = await startEtcd({ tls: {} });
    const { ca = '' } = secure.certificates ?? {};
    const { resolver, close } = await startDns({
      '_etcd-client-ssl._tcp.example.test': [{ name: 'localhost', port: secure.port }],
      '_etcd-client._tcp.example.test': [{ name: 'localhost', port: server.port }],
    });
    try {
      await using etcd = await connect({ srv: { domain: 'example.test', resolver }, tls: { ca } });
      assert.deepEqual(
        etcd.endpoints.map(({ endpoint }) => endpoint),
        [`https://localhost:${secure.port}`],
      );
    } finally {
      close();
    }
  });
});

test('srv that can not work is refused at once', async () => {
  for (const [options, message] of [
    [{ srv: 'a b' }, /srv domain "a b" is malformed/],
    [{ srv: 'example.test', endpoints: 'http://x:1' }, /endpoints and srv exclude each other/],
    [{ srv: { domain: 'example.test', port: 1 } }, /no option srv\.port/],
  ] as const) {
    await assert.rejects(connectPlain(options as never), (error) => {
      assert.ok(error instanceof InvalidArgumentError, String(error));
      assert.match(error.message, message);
      return true;
    });
  }
});
