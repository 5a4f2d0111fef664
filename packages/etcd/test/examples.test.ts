// The guide's examples: each runs against a real etcd, prints what the guide says, and is quoted there as it is.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type EtcdServer, etcdBinary, startEtcd } from '@quiesce/test-services';
import { withServer } from './support/clients.js';
import { startDns } from './support/dns.js';

const here = dirname(fileURLToPath(import.meta.url));
const etcdPackage = join(here, '..', '..');
const guide = join(etcdPackage, '..', '..', 'docs', 'guide');

interface Quote {
  readonly page: string;
  readonly code: string;
  readonly output: string;
}

/** By the name of the example. */
const quotes = new Map<string, Quote>();
for (const page of readdirSync(guide).filter((name) => name.endsWith('.md'))) {
  const text = readFileSync(join(guide, page), 'utf8');
  const pattern = /<!-- example: (\S+) -->\n```ts\n([\s\S]*?)```(?:\n\n```text\n([\s\S]*?)```)?/g;
  for (const [, name = '', code = '', output = ''] of text.matchAll(pattern)) {
    quotes.set(name, { page, code, output });
  }
}
const examples = readdirSync(join(etcdPackage, 'examples'));

let server: EtcdServer;
withServer((started) => {
  server = started;
});

/** What an example is started with, and what is stopped after it. */
interface Surroundings extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>;
}

/** Surroundings of those that need more than an etcd, or would spoil it for others. */
const special: Readonly<Record<string, () => Promise<Surroundings>>> = {
  async 'login.ts'() {
    const own = await startEtcd({ extraArgs: ['--bcrypt-cost=4'] });
    return { env: { ETCD_ENDPOINTS: own.endpoint }, [Symbol.asyncDispose]: own.stop };
  },
  async 'testing.ts'() {
    return { env: { ETCD_BIN: etcdBinary() }, [Symbol.asyncDispose]: async () => {} };
  },
  async 'tls.ts'() {
    const own = await startEtcd({ tls: { requireClientCert: true } });
    const { ca = '', clientCert = '', clientKey = '' } = own.certificates ?? {};
    for (const [name, pem] of Object.entries({ ca, client: clientCert, 'client-key': clientKey })) {
      writeFileSync(join(own.dir, `${name}.pem`), pem);
    }
    return { env: { ETCD_ENDPOINTS: own.endpoint, CERTIFICATES: own.dir }, [Symbol.asyncDispose]: own.stop };
  },
  async 'discovery.ts'() {
    const { address, close } = await startDns({
      '_etcd-client._tcp.example.com': [{ name: 'localhost', port: server.port }],
    });
    return { env: { DNS_SERVER: address }, [Symbol.asyncDispose]: async () => close() };
  },
};

test('the guide quotes each example, and no other', () => {
  assert.ok(examples.length > 0);
  assert.deepEqual([...quotes.keys()].sort(), [...examples].sort());
});

for (const name of examples) {
  test(`example ${name}`, async () => {
    const quote = quotes.get(name);
    assert.ok(quote, `the guide has no <!-- example: ${name} -->`);
    assert.equal(
      quote.code,
      readFileSync(join(etcdPackage, 'examples', name), 'utf8'),
      `${quote.page} is out of date: run node docs/guide/quote.mjs`,
    );
    await using surroundings = await special[name]?.();
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [join(here, '..', 'examples', name.replace(/\.ts$/, '.js'))],
      {
        env: { ...process.env, ETCD_ENDPOINTS: server.endpoint, ...surroundings?.env },
        timeout: 240_000,
        killSignal: 'SIGKILL',
      },
    );
    assert.equal(stderr, '');
    assert.equal(unstyled(stdout), unstyled(quote.output));
  });
}

/** Bun and Deno print arrays, objects and maps in a style of their own; what they hold is the same. */
function unstyled(output: string): string {
  const { bun, deno } = process.versions;
  return bun || deno
    ? output
        .replace(/['"]|,(?=\s*[}\]])/g, '')
        .replace(/ => |: /g, ' ')
        .replace(/\s+/g, ' ')
    : output;
}
