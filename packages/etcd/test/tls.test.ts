// What Go's TLS takes is taken, or refused with the reason: certificates of each kind, of a real etcd, over both transports.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type EtcdServer, startEtcd } from '@quiesce/test-services';
import {
  type CallTrace,
  type ConnectOptions,
  channelNames,
  connect as connectTo,
  EtcdError,
  InvalidArgumentError,
  UnauthenticatedError,
  UnavailableError,
} from '../src/index.js';
import { type Connect, overEachTransport } from './support/clients.js';
import { temporaryDirectory } from './support/temporary-directory.js';
import { transports } from './support/transports.js';

const dir = temporaryDirectory();
const path = (name: string): string => join(dir, name);
const pem = (name: string): string => readFileSync(path(name), 'utf8');

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'], timeout: 240_000 });
}

const p256 = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
const p521 = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-521'];
const rsa = (bits: number): string[] => ['rsa', '-pkeyopt', `rsa_keygen_bits:${bits}`];

const authority = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,digitalSignature'];
const NAMES = 'subjectAltName=DNS:localhost,IP:127.0.0.1';
const server = ['basicConstraints=critical,CA:FALSE', NAMES, 'extendedKeyUsage=serverAuth,clientAuth'];
const client = ['basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=clientAuth'];

/** Makes a key and a certificate, signed by another one or by itself. */
function issue(
  name: string,
  key: readonly string[],
  extensions: readonly string[],
  {
    by,
    digest = 'sha256',
    v1 = false,
    days = 30,
  }: { by?: string; digest?: string; v1?: boolean; days?: number } = {},
): void {
  openssl('genpkey', '-algorithm', ...key, '-out', `${name}.key`);
  openssl('req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
  writeFileSync(path(`${name}.ext`), `${extensions.join('\n')}\n`);
  const signer =
    by === undefined
      ? ['-signkey', `${name}.key`]
      : ['-CA', `${by}.crt`, '-CAkey', `${by}.key`, '-CAcreateserial'];
  const version = v1 ? [] : ['-extfile', `${name}.ext`];
  openssl(
    'x509',
    '-req',
    '-in',
    `${name}.csr`,
    ...signer,
    ...version,
    '-days',
    String(days),
    `-${digest}`,
    '-out',
    `${name}.crt`,
  );
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

interface Secured extends AsyncDisposable {
  readonly server: EtcdServer;
  readonly port: number;
}

/** An etcd with the flags of TLS that are given. */
async function startSecured(...flags: string[]): Promise<Secured> {
  const port = await freePort();
  const url = `https://127.0.0.1:${port}`;
  const started = await startEtcd({
    extraArgs: [`--listen-client-urls=${url}`, `--advertise-client-urls=${url}`, ...flags],
  });
  return { server: started, port, [Symbol.asyncDispose]: async () => void (await started.stop()) };
}

const withCertificate = (name: string): string[] => [
  `--cert-file=${path(`${name}.crt`)}`,
  `--key-file=${path(`${name}.key`)}`,
];

before(() => {
  issue('ca', p256, authority);
  issue('ca521', p521, authority);
  issue('ca1024', rsa(1024), authority);
  issue('middle', p256, authority, { by: 'ca' });
  issue('good', p256, server, { by: 'ca' });
  issue('selfsigned-ca', p256, [...authority, NAMES]);
  issue('p521', p521, server, { by: 'ca521' });
  issue('p521-512', p521, server, { by: 'ca521', digest: 'sha512' });
  issue('p521-384', p521, server, { by: 'ca521', digest: 'sha384' });
  issue('rsa1024', rsa(1024), server, { by: 'ca' });
  issue('by-rsa1024', p256, server, { by: 'ca1024' });
  issue('by-middle', p256, server, { by: 'middle' });
  issue('expired', p256, server, { by: 'ca', days: -1 });
  issue('elsewhere', p256, server.toSpliced(1, 1, 'subjectAltName=DNS:elsewhere.example'), { by: 'ca' });
  issue('authority-signed', p256, [...authority, NAMES], { by: 'ca' });
  issue('v1-client', p256, [], { by: 'ca', v1: true });
  issue('p521-client', p521, client, { by: 'ca' });
  issue('client', p256, client, { by: 'ca' });
  issue('stranger', p256, client, { by: 'ca521' });
  issue('rsa1024-client', rsa(1024), client, { by: 'ca' });
  issue('for-clients', p256, [...client, NAMES], { by: 'ca' });
});

async function works(connect: Connect, options: ConnectOptions): Promise<void> {
  await using etcd = await connect({ connectTimeoutMs: 20_000, ...options });
  await etcd.put('tls', 'works');
}

overEachTransport('TLS as Go has it:', (connect) => {
  describe("a server's certificate", () => {
    const taken: [string, string, string][] = [
      ['of an authority that is trusted', 'good', 'ca.crt'],
      ["that is an authority's, signed by itself, and named", 'selfsigned-ca', 'selfsigned-ca.crt'],
      ['named itself, whoever has signed it', 'good', 'good.crt'],
      ['with a key on P-521, signed with SHA-256', 'p521', 'ca521.crt'],
      ['signed with SHA-384 on P-521', 'p521-384', 'ca521.crt'],
      ['signed with SHA-512 on P-521', 'p521-512', 'ca521.crt'],
      ['of an intermediate authority that is named alone', 'by-middle', 'middle.crt'],
    ];
    for (const [title, certificate, ca] of taken) {
      test(`${title} is taken`, async () => {
        await using secured = await startSecured(...withCertificate(certificate));
        await works(connect, { endpoints: `https://127.0.0.1:${secured.port}`, tls: { ca: pem(ca) } });
      });
    }

    const eitherWay: [string, string, string, RegExp][] = [
      ['of RSA with 1024 bits', 'rsa1024', 'ca.crt', /an RSA key or a digest that is too weak \(give it one/],
      ['signed by RSA with 1024 bits', 'by-rsa1024', 'ca1024.crt', /an RSA key or a digest that is too weak/],
      [
        "that is an authority's, and signed by another",
        'authority-signed',
        'ca.crt',
        /certificate is a CA certificate \(/,
      ],
      ['for clients alone', 'for-clients', 'ca.crt', /certificate is not for servers \(give it one/],
    ];
    for (const [title, certificate, ca, reason] of eitherWay) {
      test(`${title} is taken, or refused with the reason`, async () => {
        await using secured = await startSecured(...withCertificate(certificate));
        const options = { endpoints: `https://127.0.0.1:${secured.port}`, tls: { ca: pem(ca) } };
        const refusal = await works(connect, options).catch((error: unknown) => error);
        if (refusal === undefined) return;
        assert.ok(refusal instanceof UnavailableError, String(refusal));
        assert.match(refusal.message, reason);
      });
    }

    test('that has expired is refused', async () => {
      await using secured = await startSecured(...withCertificate('expired'));
      const options = { endpoints: `https://127.0.0.1:${secured.port}`, tls: { ca: pem('ca.crt') } };
      await assert.rejects(works(connect, options), /certificate is not valid today \(renew it/);
    });

    test('for another name is refused, also where it is named itself', async () => {
      await using secured = await startSecured(...withCertificate('elsewhere'));
      for (const ca of ['ca.crt', 'elsewhere.crt']) {
        const options = { endpoints: `https://127.0.0.1:${secured.port}`, tls: { ca: pem(ca) } };
        await assert.rejects(works(connect, options), /certificate is for another name/);
      }
    });

    test('of etcd --auto-tls is accepted if tls.ca has it, or without verification', async () => {
      await using secured = await startSecured('--auto-tls');
      const endpoints = `https://127.0.0.1:${secured.port}`;
      const ca = fetchCertificate(secured.port);
      await works(connect, { endpoints, tls: { ca } });
      await works(connect, { endpoints, tls: { dangerouslySkipVerification: true } });
      await assert.rejects(works(connect, { endpoints, tls: { ca: pem('ca.crt') } }), (error) => {
        assert.ok(error instanceof UnavailableError, String(error));
        return /isn't trusted \(give|is a CA certificate \(put that certificate itself/.test(error.message);
      });
    });

    test('is for a name with a final dot, too', async () => {
      await using secured = await startSecured(...withCertificate('good'));
      const tls = { ca: pem('ca.crt') };
      await works(connect, {
        endpoints: `https://127.0.0.1:${secured.port}`,
        tls: { ...tls, serverName: 'localhost.' },
      });
    });
  });

  describe("a client's certificate", () => {
    let secured: Secured;
    const ca = () => pem('ca.crt');
    before(async () => {
      const flags = ['--client-cert-auth', `--trusted-ca-file=${path('ca.crt')}`];
      secured = await startSecured(...withCertificate('good'), ...flags);
    });
    after(() => secured[Symbol.asyncDispose]());
    const options = (name: string) => ({
      endpoints: `https://127.0.0.1:${secured.port}`,
      tls: { ca: ca(), cert: pem(`${name}.crt`), key: pem(`${name}.key`) },
    });

    for (const name of ['client', 'v1-client', 'p521-client']) {
      test(`${name} is shown, and taken`, () => works(connect, options(name)));
    }

    test('of a stranger is refused, and the reason is said', async () => {
      await assert.rejects(works(connect, { connectTimeoutMs: 2_000, ...options('stranger') }), (error) => {
        assert.ok(error instanceof EtcdError, String(error));
        return /the server refuses the client certificate/.test(error.message);
      });
    });

    test('with a key of RSA with 1024 bits is shown, or refused with the reason', async () => {
      const refusal = await works(connect, options('rsa1024-client')).catch((error: unknown) => error);
      if (refusal === undefined) return;
      assert.ok(refusal instanceof EtcdError, String(refusal));
      assert.match(refusal.message, /client key: it is none of RSA with 2048 to 4096 bits|key too small/);
    });

    test('in DER is refused before, and so is an authority', async () => {
      const der = (name: string) =>
        Buffer.from(
          pem(name)
            .toString()
            .replace(/-----[^-]*-----|\s/g, ''),
          'base64',
        );
      const { cert, key } = options('client').tls;
      for (const [field, tls] of [
        ['ca', { ca: der('ca.crt') }],
        ['cert', { ca: ca(), cert: der('client.crt'), key }],
        ['key', { ca: ca(), cert, key: der('client.key') }],
      ] as const) {
        await assert.rejects(works(connect, { ...options('client'), tls }), (error) => {
          assert.ok(error instanceof InvalidArgumentError, String(error));
          return error.message.startsWith(`tls.${field} is not a PEM `);
        });
      }
    });

    test('with the key of another is refused before', async () => {
      const tls = { ca: ca(), cert: pem('client.crt'), key: pem('p521-client.key') };
      await assert.rejects(
        works(connect, { ...options('client'), tls }),
        (error) =>
          error instanceof InvalidArgumentError && /does not belong to tls\.cert/.test(error.message),
      );
    });

    test('is requested before each new connection, if a function returns it', async () => {
      let name = 'client';
      let asked = 0;
      const tls = async () => {
        asked += 1;
        if (name === 'none') throw new Error('the vault is sealed');
        return options(name).tls;
      };
      await using etcd = await connect({ ...options('client'), tls });
      assert.equal(asked, 1);
      for (let i = 0; i < 20; i++) await etcd.put('renewed', `${i}`);
      assert.equal(asked, 1);
      name = 'p521-client';
      await secured.server.kill();
      await secured.server.exited;
      await secured.server.restart();
      await etcd.get('renewed', { timeoutMs: 30_000 });
      assert.ok(asked > 1);
      await using watch = etcd.watch('renewed');
      await watch.ready;
      name = 'none';
      await secured.server.kill();
      await secured.server.exited;
      await secured.server.restart();
      await assert.rejects(etcd.get('renewed', { timeoutMs: 1_000 }), /the vault is sealed/);
      name = 'client';
      assert.equal((await etcd.get('renewed', { timeoutMs: 30_000 }))?.text(), '19');
    });
  });

  test('tokens are given directly, or by a function that returns a new one after a refusal', async () => {
    await using plain = await startEtcd();
    await using root = await connect(plain.endpoint);
    await root.auth.userAdd('root', { password: 'secret' });
    await root.auth.roleAdd('root');
    await root.auth.userGrantRole('root', 'root');
    await root.auth.enable();
    await assert.rejects(
      (async () => {
        await using etcd = await connect({ endpoints: plain.endpoint, auth: { token: 'nonsense' } });
        let sent = 0;
        const count = (message: unknown): void => {
          sent += (message as CallTrace).attempts;
        };
        subscribe(channelNames.callEnd, count);
        try {
          await assert.rejects(etcd.watch('k').ready, UnauthenticatedError);
          await etcd.get('k');
        } finally {
          unsubscribe(channelNames.callEnd, count);
          assert.equal(sent, 2, 'another one can’t come: the stream and the call are made once each');
        }
      })(),
      (error) => error instanceof UnauthenticatedError && error.details === 'etcdserver: invalid auth token',
    );
    let asked = 0;
    await using etcd = await connect({
      endpoints: plain.endpoint,
      auth: async () => {
        asked += 1;
        return asked < 3 ? { token: `nonsense-${asked}` } : { username: 'root', password: 'secret' };
      },
    });
    await etcd.put('k', 'v');
    assert.equal(asked, 3);
    await etcd.put('k', 'v');
    assert.equal(asked, 3);
    await assert.rejects(
      connect({
        endpoints: plain.endpoint,
        auth: () => {
          throw new Error('the vault is sealed');
        },
      }),
      (error) =>
        error instanceof UnauthenticatedError &&
        /the auth function failed: the vault is sealed/.test(error.message),
    );
    await assert.rejects(
      connect({ endpoints: plain.endpoint, auth: { token: '' } }),
      (error) => error instanceof InvalidArgumentError && /auth\.token/.test(error.message),
    );
  });
});

describe('a connection that TLS fails has the same error on both transports:', {
  skip: transports.find(({ skip }) => skip !== false)?.skip ?? false,
}, () => {
  let plain: EtcdServer;
  let good: Secured;
  let mutual: Secured;
  before(async () => {
    plain = await startEtcd();
    good = await startSecured(...withCertificate('good'));
    mutual = await startSecured(
      ...withCertificate('good'),
      '--client-cert-auth',
      `--trusted-ca-file=${path('ca.crt')}`,
    );
  });
  after(async () => {
    await plain?.stop();
    await good?.[Symbol.asyncDispose]();
    await mutual?.[Symbol.asyncDispose]();
  });
  const at = ({ port }: { port: number }): string => `https://127.0.0.1:${port}`;
  const failures: [string, () => ConnectOptions, RegExp][] = [
    [
      'an authority that is not trusted',
      () => ({ endpoints: at(good), tls: { ca: pem('ca521.crt') } }),
      /from an authority that isn't trusted \(give/,
    ],
    [
      'no authority is given',
      () => ({ endpoints: at(good), tls: {} }),
      /from an authority that isn't trusted \(give/,
    ],
    [
      'another name',
      () => ({ endpoints: at(good), tls: { ca: pem('ca.crt'), serverName: 'elsewhere.example' } }),
      /certificate is for another name/,
    ],
    [
      'a server without TLS',
      () => ({ endpoints: plain.endpoint.replace('http:', 'https:'), tls: { ca: pem('ca.crt') } }),
      /the server doesn't speak TLS/,
    ],
    [
      'no certificate for a server that wants one',
      () => ({ endpoints: at(mutual), tls: { ca: pem('ca.crt') } }),
      /the server wants a client certificate/,
    ],
    [
      'a certificate of a stranger for a server that wants one',
      () => ({
        endpoints: at(mutual),
        tls: { ca: pem('ca.crt'), cert: pem('stranger.crt'), key: pem('stranger.key') },
      }),
      /the server refuses the client certificate/,
    ],
    [
      'a tls function that throws',
      () => ({
        endpoints: at(good),
        tls: () => {
          throw new Error('the vault is sealed');
        },
      }),
      /^no etcd answers at \S+: the tls function failed: the vault is sealed$/,
    ],
    [
      'a tls function that returns nothing',
      () => ({ endpoints: at(good), tls: () => new Promise(() => {}), connectTimeoutMs: 500 }),
      /^no etcd answers at \S+: the tls function returned nothing within 500 ms$/,
    ],
    [
      'a server with TLS, without it',
      () => ({ endpoints: at(good).replace('https:', 'http:') }),
      /the server closed the connection/,
    ],
  ];
  for (const [title, options, reason] of failures) {
    test(title, async () => {
      // Several times: what the server says, and its end of the connection, are a race.
      const tries = [...transports, ...Array.from({ length: 10 }, () => ({ name: 'native' as const }))];
      const messages = await Promise.all(
        tries.map(async ({ name }) => {
          const error = await connectTo({ ...options(), transport: name }).catch(
            (failure: unknown) => failure,
          );
          assert.ok(error instanceof UnavailableError, `${name}: ${String(error)}`);
          assert.match(error.message, reason, name);
          return error.message;
        }),
      );
      assert.equal(new Set(messages).size, 1, messages.join('\n'));
    });
  }
});

/** The certificate that a server shows. */
function fetchCertificate(port: number): string {
  const shown = execFileSync('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-showcerts'], {
    input: '',
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
    timeout: 240_000,
  });
  return shown.slice(shown.indexOf('-----BEGIN'), shown.lastIndexOf('-----END CERTIFICATE-----') + 25);
}
