// Where endpoints come from: sockets, and DNS.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { type EtcdServer, startEtcd } from '@quiesce/test-services';
import { connect as connectPlain, InvalidArgumentError, StatusCode, UnavailableError } from '../src/index.js';
import { Balancer } from '../src/rpc/balancer.js';
import type { Transport } from '../src/transport/transport.js';
import { overEachTransport, withServer } from './support/clients.js';
import { startDns } from './support/dns.js';
import { temporaryDirectory } from './support/temporary-directory.js';

test('endpoints are replaced all or none, and what was made for nothing is closed', async () => {
  const open = new Set<string>();
  const balancer = new Balancer({
    endpoints: ['a'],
    probeTimeoutMs: 1_000,
    makeTransport: (endpoint) => {
      if (endpoint === 'bad')
        throw new InvalidArgumentError('no', { code: StatusCode.INVALID_ARGUMENT, sent: false });
      open.add(endpoint);
      return { close: async () => void open.delete(endpoint) } as unknown as Transport;
    },
  });
  assert.throws(() => balancer.setEndpoints(['b', 'a', 'c', 'bad']), InvalidArgumentError);
  assert.deepEqual([...open], ['a']);
  assert.deepEqual(
    balancer.status.map(({ endpoint }) => endpoint),
    ['a'],
  );
  balancer.setEndpoints(['b']);
  await balancer.close();
  assert.deepEqual([...open], []);
});

test('a password in a URL is in no message, and the message says where it belongs', async () => {
  await using server = await startEtcd();
  await using etcd = await connectPlain(server.endpoint);
  const urls = [
    'http://root:S3cret@127.0.0.1:2379',
    'https://root:S3cret@127.0.0.1:2379',
    'etcd://root:S3cret@127.0.0.1',
    'root:S3cret@127.0.0.1:2379',
    ' http://:S3cret@[::1]:2379/x',
    'http://root:a,S3cret@127.0.0.1:2379',
    'http://root:a/S3cret@b@127.0.0.1:2379',
    'http://127.0.0.1:1,http://root:S3cret@127.0.0.1:2379',
    'http://root:S3cret@127.0.0.1:2379?a=b',
    'unix:///tmp/a.sock,http://root:S3cret@127.0.0.1:2379',
  ];
  for (const url of urls) {
    for (const refused of [
      () => connectPlain(url),
      () => connectPlain({ endpoints: [url] }),
      () => connectPlain({ endpoints: ['http://127.0.0.1:1', url] }),
      async () => etcd.setEndpoints(url),
      () => etcd.maintenance.status(url),
    ]) {
      await assert.rejects(refused, (error) => {
        assert.ok(error instanceof InvalidArgumentError, String(error));
        assert.doesNotMatch(inspect(error), /S3cret/);
        assert.match(error.message, /contains a user name or a password; give them as auth/);
        return true;
      });
    }
  }
  for (const options of [
    { srv: 'http://root:S3cret@example.com' },
    { srv: { domain: 'root:S3cret@example.com' } },
    { endpoints: 'http://127.0.0.1:2379?password=S3cret' },
  ]) {
    await assert.rejects(connectPlain(options), (error) => {
      assert.ok(error instanceof InvalidArgumentError, String(error));
      assert.doesNotMatch(inspect(error), /S3cret/);
      return true;
    });
  }
});

test('an endpoint as programs write it by mistake works, or is refused with what to write', async () => {
  await using server = await startEtcd();
  const { endpoint } = server;
  for (const endpoints of [`${endpoint}/`, [`${endpoint}/`, endpoint], new URL(endpoint).href]) {
    await using etcd = await connectPlain({ endpoints });
    assert.deepEqual(
      etcd.endpoints.map((each) => each.endpoint),
      [endpoint],
    );
  }
  const cases: readonly [endpoints: unknown, message: RegExp][] = [
    [new URL(endpoint), /endpoints is a URL; .*: give its text, url\.href/],
    [[new URL(endpoint)], /endpoints\[0\] is a URL; it must be a string .*: give its text, url\.href/],
    [[endpoint, 2379], /endpoints\[1\] is 2379; it must be a string such as/],
    [`${endpoint}/v3`, /endpoint "http:.*\/v3" has a path, and etcd has none; write http:\/\/host:port/],
    [[`${endpoint},${endpoint}`], /has a comma, which separates endpoints only outside of arrays; write/],
    [['127.0.0.1:1,127.0.0.1:2'], /has a comma/],
    ['ftp://a:1', /endpoint "ftp:\/\/a:1" is malformed; write http:/],
    [[], /endpoints is empty; give at least one/],
  ];
  await using etcd = await connectPlain(endpoint);
  for (const [endpoints, message] of cases) {
    const refused = (error: unknown): boolean =>
      error instanceof InvalidArgumentError && message.test(error.message);
    await assert.rejects(connectPlain({ endpoints: endpoints as string }), refused, String(message));
    assert.throws(() => etcd.setEndpoints(endpoints as string), refused, String(message));
  }
  await using mixed = await connectPlain({ endpoints: [endpoint, 'https://127.0.0.1:1'] });
  await mixed.get('k');
  await assert.rejects(
    connectPlain({ endpoints: ['https://127.0.0.1:1', endpoint], tls: {} }),
    /would ignore the tls option and send everything in the clear; write https:/,
  );
});

overEachTransport('unix:// endpoints', (connect) => {
  const dir = temporaryDirectory();

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
      assert.match(error.message, /nowhere\.sock: there is no such socket \(is etcd running there\?/);
      return true;
    });
  });
});

/** Flags by which etcd listens there, and nowhere else, for clients. */
function listen(url: string): string[] {
  return [`--listen-client-urls=${url}`];
}

overEachTransport('DNS SRV discovery', (connect) => {
  let server: EtcdServer;
  withServer((started) => {
    server = started;
  });

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
    [{ srv: 'example.test', endpoints: 'http://x:1' }, /endpoints and srv can't be combined/],
    [{ srv: { domain: 'example.test', port: 1 } }, /no option srv\.port/],
  ] as const) {
    await assert.rejects(connectPlain(options as never), (error) => {
      assert.ok(error instanceof InvalidArgumentError, String(error));
      assert.match(error.message, message);
      return true;
    });
  }
});
