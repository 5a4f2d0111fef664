// Connecting, and what a client does at the edges: bad options, unreachable and dying servers, deadlines, close.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type EtcdServer, startEtcd, startTcpProxy } from '@quiesce/test-services';
import {
  ClosedError,
  type ConnectOptions,
  connect,
  DeadlineExceededError,
  type EtcdClient,
  EtcdError,
  InvalidArgumentError,
  RequestTooLargeError,
  StatusCode,
  UnavailableError,
  UnimplementedError,
} from '../src/index.js';
import { overEachTransport, withClient, withServer } from './support/clients.js';
import { OwnTime } from './support/own-time.js';
import { program } from './support/program.js';
import { startScriptedServer } from './support/scripted-server.js';

let server: EtcdServer;
withServer((started) => {
  server = started;
});

/** Asserts that a message fits on one line and matches. */
function oneLine(error: unknown, pattern: RegExp): true {
  assert.ok(error instanceof Error);
  assert.match(error.message, pattern);
  assert.doesNotMatch(error.message, /\n/);
  return true;
}

const encryptedKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
  cipher: 'aes-256-cbc',
  passphrase: 'x',
});

/** A loopback port that nothing listens on. */
async function unusedPort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

describe('connect() refuses at once, in one line,', () => {
  const cases: [string, unknown, RegExp][] = [
    [
      'an unknown option',
      { endpoint: 'http://127.0.0.1:1' },
      /connect\(\) has no option endpoint; did you mean endpoints\? \(it takes endpoints, srv/,
    ],
    ['an endpoint that is none', 'http://', /endpoint/],
    ['a scheme it does not know', 'ftp://127.0.0.1:2379', /endpoint/],
    ['a port out of range', 'http://127.0.0.1:99999', /port|endpoint/],
    ['no endpoint', { endpoints: [] }, /endpoint/],
    ['a timeout that is none', { timeoutMs: 0 }, /timeoutMs is 0; it must be a number of ms above 0/],
    [
      'a connect timeout that is none',
      { connectTimeoutMs: 'soon' },
      /connectTimeoutMs is 'soon'; it must be a number of ms/,
    ],
    ['an unknown transport', { transport: 'carrier-pigeon' }, /'auto', 'native' or 'grpc-js'/],
    ['an unknown TLS option', { tls: { passphrase: 'x' } }, /no option tls\.passphrase/],
    ['a file name for a certificate', { tls: { ca: '/etc/ssl/ca.pem' } }, /tls\.ca is not a PEM certificate/],
    [
      'a key with a passphrase',
      { tls: { key: encryptedKey } },
      /tls\.key is encrypted; give it without a passphrase/,
    ],
    ['a certificate without its key', () => ({ tls: { cert: server.log() } }), /tls\.cert/],
  ];
  for (const [title, options, message] of cases) {
    test(title, async () => {
      const given = (typeof options === 'function' ? options() : options) as ConnectOptions;
      await assert.rejects(connect(given), (error) => {
        assert.ok(error instanceof InvalidArgumentError, String(error));
        assert.equal(error.sent, false);
        return oneLine(error, message);
      });
    });
  }

  test('an aborted signal, with its reason', async () => {
    const reason = new Error('never mind');
    await assert.rejects(
      connect({ endpoints: server.endpoint, signal: AbortSignal.abort(reason) }),
      (error) => error === reason,
    );
  });
});

overEachTransport('connect()', (connect) => {
  test('resolves when an endpoint has answered', async () => {
    await using etcd = await connect(server.endpoint);
    assert.equal(etcd.closed, false);
    assert.ok((await etcd.put('connect/first', '1')).revision > 0n);
  });

  test('uses the first endpoint that works, and reports nothing about the others', async () => {
    const dead = `http://127.0.0.1:${await unusedPort()}`;
    await using etcd = await connect({ endpoints: [dead, server.endpoint] });
    await etcd.put('connect/second', '1');
  });

  test('says that nothing listens there', async () => {
    const endpoint = `http://127.0.0.1:${await unusedPort()}`;
    await assert.rejects(connect(endpoint), (error) => {
      assert.ok(error instanceof UnavailableError, String(error));
      assert.equal(error.code, StatusCode.UNAVAILABLE);
      return oneLine(
        error,
        new RegExp(`no etcd answers at ${endpoint}: connection refused \\(is etcd running`),
      );
    });
  });

  test('says that a host has no address', async () => {
    await assert.rejects(
      connect({ endpoints: 'http://nowhere.invalid:2379', connectTimeoutMs: 3_000 }),
      (error) => oneLine(error, /nowhere\.invalid:2379: (the host name can't be resolved|no answer within)/),
    );
  });

  test('gives up on a server that accepts and never answers', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    try {
      using time = new OwnTime();
      await assert.rejects(
        connect({ endpoints: `http://127.0.0.1:${port}`, connectTimeoutMs: 300 }),
        (error) => {
          assert.ok(error instanceof UnavailableError, String(error));
          return oneLine(error, /no answer within 300 ms/);
        },
      );
      assert.ok(time.ms < 5_000, `${time.ms} ms`);
    } finally {
      silent.close();
    }
  });

  test('says that what answers speaks no gRPC', async () => {
    const web = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'));
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
    const { port } = web.address() as { port: number };
    try {
      await assert.rejects(
        connect({ endpoints: `http://127.0.0.1:${port}`, connectTimeoutMs: 2_000 }),
        (error) => {
          assert.ok(error instanceof EtcdError, String(error));
          return oneLine(error, /no etcd answers at/);
        },
      );
    } finally {
      web.close();
    }
  });

  for (const status of [401, 403, 404, 500, 502]) {
    test(`does not take a proxy that answers ${status} for an etcd`, async () => {
      const proxy = createHttp2Server((_request, response) => {
        response.writeHead(status, { 'content-type': 'text/html' }).end('no');
      });
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
      const { port } = proxy.address() as { port: number };
      try {
        await assert.rejects(connect(`http://127.0.0.1:${port}`), (error) => {
          assert.ok(error instanceof UnavailableError, String(error));
          return oneLine(error, new RegExp(`doesn't speak gRPC, and answered with HTTP status ${status} `));
        });
      } finally {
        proxy.close();
      }
    });
  }

  test('names a status that comes without a message', async () => {
    const server = createHttp2Server((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/grpc', 'grpc-status': '99' }).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    try {
      await assert.rejects(connect(`http://127.0.0.1:${port}`), (error) => {
        assert.ok(error instanceof EtcdError, String(error));
        return oneLine(error, /gRPC status/);
      });
    } finally {
      server.close();
    }
  });

  test('says that a gRPC server is not etcd', async () => {
    await using other = await startScriptedServer({
      unary: { echo: (call, answer) => answer(null, call.request) },
    });
    await assert.rejects(connect(other.endpoint), (error) => {
      assert.ok(error instanceof UnimplementedError, String(error));
      return oneLine(error, /a gRPC server answers, but it isn't etcd v3/);
    });
  });

  test('is ended by its signal', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    try {
      const abort = new AbortController();
      const connecting = connect({ endpoints: `http://127.0.0.1:${port}`, signal: abort.signal });
      const reason = new Error('changed my mind');
      setTimeout(() => abort.abort(reason), 50);
      await assert.rejects(connecting, (error) => error === reason);
    } finally {
      silent.close();
    }
  });
});

overEachTransport('TLS', (connect) => {
  let tls: EtcdServer;
  let mutual: EtcdServer;
  before(async () => {
    [tls, mutual] = await Promise.all([
      startEtcd({ tls: {} }),
      startEtcd({ tls: { requireClientCert: true } }),
    ]);
  });
  after(() => Promise.all([tls.stop(), mutual.stop()]));

  test('works with the authority of the server', async () => {
    await using etcd = await connect({ endpoints: tls.endpoint, tls: { ca: tls.certificates?.ca ?? '' } });
    await etcd.put('tls', '1');
    assert.equal((await etcd.get('tls'))?.text(), '1');
  });

  test('works with texts that begin with a byte-order mark', async () => {
    const certificates = mutual.certificates;
    assert.ok(certificates);
    const { ca, clientCert: cert, clientKey: key } = certificates;
    const marked = (pem: string): string => `\ufeff${pem}`;
    await using etcd = await connect({
      ...{ endpoints: mutual.endpoint, tls: { ca: marked(ca), cert: marked(cert), key: marked(key) } },
    });
    assert.equal(await etcd.get('no such key'), undefined);
  });

  test('names a tls.serverName that is no name', async () => {
    for (const serverName of ['', ' 3 ', '3', 'a b', 'http://a', 'a..b', '-a']) {
      await assert.rejects(connect({ endpoints: tls.endpoint, tls: { serverName } }), (error) => {
        assert.ok(error instanceof InvalidArgumentError, String(error));
        return oneLine(error, /^tls\.serverName is '.*'; it must be a host name or an IP address/);
      });
    }
  });

  test('works with a client certificate where the server wants one', async () => {
    const { ca = '', clientCert: cert = '', clientKey: key = '' } = mutual.certificates ?? {};
    await using etcd = await connect({ endpoints: mutual.endpoint, tls: { ca, cert, key } });
    await etcd.put('mtls', '1');
    assert.equal((await etcd.get('mtls'))?.text(), '1');
  });

  const failures: [string, () => ConnectOptions, RegExp][] = [
    ['an authority that is not trusted', () => ({ endpoints: tls.endpoint }), /isn't trusted \(give/],
    [
      'a client certificate that is missing',
      () => ({ endpoints: mutual.endpoint, tls: { ca: mutual.certificates?.ca ?? '' } }),
      /wants a client certificate|closed the connection/,
    ],
    [
      'http:// to a server with TLS',
      () => ({ endpoints: tls.endpoint.replace('https', 'http') }),
      /closed the connection \(if it uses TLS, write https/,
    ],
    [
      'https:// to a server without',
      () => ({ endpoints: server.endpoint.replace('http', 'https') }),
      /doesn't speak TLS \(write http/,
    ],
    [
      'another name in the certificate',
      () => ({
        endpoints: tls.endpoint,
        tls: { ca: tls.certificates?.ca ?? '', serverName: 'elsewhere.example' },
      }),
      /for another name/,
    ],
  ];
  for (const [title, options, message] of failures) {
    test(`tells ${title}`, async () => {
      await assert.rejects(connect({ connectTimeoutMs: 2_000, ...options() }), (error) => {
        assert.ok(error instanceof EtcdError, String(error));
        return oneLine(error, message);
      });
    });
  }
});

overEachTransport('calls', (connect) => {
  let etcd: EtcdClient;
  withClient(
    () => connect(server.endpoint),
    (made) => {
      etcd = made;
    },
  );

  test('with a key or value that is too large fail in the client, with a hint, and leave nothing behind', async () => {
    const large = new Uint8Array(3 * 1024 * 1024);
    for (const call of [etcd.put('large', large), etcd.put(large, 'value'), etcd.get(large)]) {
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof RequestTooLargeError, String(error));
        assert.equal(error.sent, false);
        return oneLine(error, /maxRequestBytes is 2097152; make the key and value smaller/);
      });
    }
    assert.equal(await etcd.get('large'), undefined);
  });

  test('that the server finds too large say so, too', async () => {
    await assert.rejects(etcd.put('large', new Uint8Array(1.7 * 1024 * 1024)), (error) => {
      assert.ok(error instanceof RequestTooLargeError, String(error));
      return oneLine(error, /request is too large; .*--max-request-bytes/);
    });
    assert.equal(await etcd.get('large'), undefined);
  });

  test('that are above any limit of the server say the same, whatever the client would send', async () => {
    await using small = await startEtcd({ extraArgs: ['--max-request-bytes=10000'] });
    for (const [endpoints, sizes] of [
      [server.endpoint, [1.6, 2.2, 20].map((mib) => mib * 1024 * 1024)],
      [small.endpoint, [10_001, 600_000, 3_000_000]],
    ] as const) {
      await using client = await connect({ endpoints, maxRequestBytes: 64 * 1024 * 1024 });
      for (const size of sizes) {
        await assert.rejects(client.put('larger', new Uint8Array(size)), (error) => {
          assert.ok(error instanceof RequestTooLargeError, `${size}: ${error}`);
          assert.equal(error.mayBeApplied, false);
          return oneLine(error, /raise the server's --max-request-bytes/);
        });
      }
      await client.put('larger', 'fits');
      await assert.rejects(client.watch(new Uint8Array(4_000_000)).ready, RequestTooLargeError);
    }
  });

  test('with wrong arguments reject, and send nothing', async () => {
    const wrong: [Promise<unknown>, RegExp][] = [
      [etcd.get(''), /the key is empty/],
      [etcd.put('', 'value'), /the key is empty/],
      [etcd.put('key', 5 as unknown as string), /strings or Uint8Arrays, not number/],
      [etcd.put('key', null as unknown as string), /not null/],
      [etcd.get('key', { revision: -1 }), /revision is -1/],
      [etcd.range('key', { limit: 1.5 }), /limit is 1\.5/],
      [etcd.get('key', { timeoutMs: -5 }), /timeoutMs is -5/],
    ];
    for (const [call, message] of wrong) {
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof InvalidArgumentError, String(error));
        return oneLine(error, message);
      });
    }
  });

  test('to a frozen server end at their deadline, and are answered again once it goes on', async () => {
    await using frozen = await startEtcd();
    await using client = await connect({ endpoints: frozen.endpoint, timeoutMs: 300 });
    await client.put('frozen', 'before', { timeoutMs: 60_000 });
    frozen.pause();
    await assert.rejects(client.get('frozen'), (error) => {
      assert.ok(error instanceof DeadlineExceededError, String(error));
      return oneLine(error, /300 ms|deadline/i);
    });
    const abort = new AbortController();
    const reason = new Error('enough');
    const waiting = client.get('frozen', { timeoutMs: 60_000, signal: abort.signal });
    setTimeout(() => abort.abort(reason), 50);
    await assert.rejects(waiting, (error) => error === reason);
    frozen.resume();
    assert.equal((await client.get('frozen', { timeoutMs: 60_000 }))?.text(), 'before');
  });

  test('whose retry meets the deadline fail with the whole of their time, and with what failed before', async () => {
    await using proxy = await startTcpProxy({ port: server.port });
    await using client = await connect(`http://127.0.0.1:${proxy.port}`);
    await client.get('a');
    proxy.pause();
    const reading = client.get('a', { timeoutMs: 3_000 });
    // It is on its way, then its connection breaks, and the next one is never answered.
    setTimeout(() => proxy.cut(), 100);
    await assert.rejects(reading, (error) => {
      assert.ok(error instanceof DeadlineExceededError, String(error));
      assert.ok(error.cause instanceof UnavailableError, String(error.cause));
      return oneLine(error, /no answer within 3000 ms, in \d+ attempts; .* UNAVAILABLE: /);
    });
  });

  test('under which the server dies fail, one and all, and later ones work once it is back', async () => {
    await using mortal = await startEtcd();
    await using proxy = await startTcpProxy({ port: mortal.port });
    await using client = await connect({ endpoints: `http://127.0.0.1:${proxy.port}`, timeoutMs: 5_000 });
    await client.put('mortal', '0');
    proxy.pause();
    const calls = Array.from({ length: 20 }, (_, i) => client.put('mortal', `${i}`, { timeoutMs: 20_000 }));
    const settled = Promise.allSettled(calls);
    await new Promise(setImmediate);
    mortal.kill();
    proxy.cut();
    for (const result of await settled) {
      assert.equal(result.status, 'rejected');
      assert.ok(result.reason instanceof UnavailableError, String(result.reason));
    }
    proxy.resume();
    await mortal.restart();
    let kv: Awaited<ReturnType<EtcdClient['get']>>;
    for (let attempt = 0; kv === undefined && attempt < 100; attempt++) {
      kv = await client.get('mortal').catch(() => undefined);
      if (kv === undefined) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.ok(kv !== undefined);
  });
});

overEachTransport('close()', (connect) => {
  test('rejects calls in flight and later calls, and can be called again', async () => {
    await using frozen = await startEtcd();
    const etcd = await connect(frozen.endpoint);
    frozen.pause();
    const calls = [etcd.get('a'), etcd.put('b', 'c'), etcd.watch('d').ready];
    const settled = Promise.allSettled(calls);
    await new Promise(setImmediate);
    await etcd.close();
    await etcd.close();
    for (const result of await settled) {
      assert.equal(result.status, 'rejected');
      assert.ok(result.reason instanceof ClosedError, String(result.reason));
    }
    assert.equal(etcd.closed, true);
    await assert.rejects(etcd.get('a'), ClosedError);
    assert.throws(() => etcd.watch('a'), ClosedError);
    frozen.resume();
  });

  test('does not end another client', async () => {
    const [one, other] = await Promise.all([connect(server.endpoint), connect(server.endpoint)]);
    await one.close();
    await other.put('other', 'works');
    await other.close();
  });
});

describe('with a native addon of another version', () => {
  const code = `
    const { connect } = await import(${JSON.stringify(new URL('../src/index.js', import.meta.url))});
    try {
      const etcd = await connect({ endpoints: process.argv[2], transport: process.argv[3] });
      await etcd.put('old-addon', 'works');
      console.log(etcd.transport);
      await etcd.close();
    } catch (error) {
      console.log(error.name, error.message);
    }`;
  const run = (transport: string): { stdout: string; stderr: string; status: number | null } => {
    const old = `${program('')}.cjs`;
    writeFileSync(old, 'exports.NativeTransport = class { submit() {} drain() {} close() {} };');
    return spawnSync(process.execPath, [program(code), server.endpoint, transport], {
      encoding: 'utf8',
      timeout: 240_000,
      env: { ...process.env, QUIESCE_ETCD_NATIVE: old },
    });
  };
  const told =
    /has a different version from @quiesce\/etcd, and lacks giveLong, takeLong, setReferenced, renew, setTls, isConnected: /;

  test('connect() refuses it where it was asked for', () => {
    const { stdout, status, stderr } = run('native');
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^InvalidArgumentError /);
    assert.match(stdout, told);
  });

  test('the client uses the fallback else, and says why', () => {
    const { stdout, status, stderr } = run('auto');
    assert.equal(status, 0, stderr);
    assert.equal(stdout, 'grpc-js\n');
    assert.match(stderr, told);
  });
});

describe('without the native addon', () => {
  test('the client says once that it uses the fallback, and works', () => {
    const code = `
      Object.defineProperty(process, 'arch', { value: 'pdp11' });
      const { connect } = await import(${JSON.stringify(new URL('../src/index.js', import.meta.url))});
      for (let i = 0; i < 2; i++) {
        const etcd = await connect(process.argv[2]);
        await etcd.put('fallback', 'works');
        console.log(etcd.transport);
        await etcd.close();
      }`;
    const { stdout, stderr, status } = spawnSync(process.execPath, [program(code), server.endpoint], {
      encoding: 'utf8',
      timeout: 240_000,
      // Without an addon that the environment names.
      env: { ...process.env, QUIESCE_ETCD_NATIVE: '' },
    });
    assert.equal(status, 0, stderr);
    assert.equal(stdout, 'grpc-js\ngrpc-js\n');
    assert.equal(stderr.match(/QuiesceEtcdWarning/g)?.length, 1, stderr);
  });
});
