// What happens to what is open when the client is closed: a deliberate end is quiet, in the process and for listeners.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { EtcdServer } from '@quiesce/test-services';
import { Cache, ClosedError, Election, Mutex, prefix, Session } from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { program } from './support/program.js';

const library = JSON.stringify(new URL('../src/index.js', import.meta.url).href);
const AFTERWARDS = "catch((error) => console.log('loop:', error.name))";

const open: readonly (readonly [title: string, code: string, output: string])[] = [
  ['a watch with listeners', "const w = etcd.watch('k').on('put', () => {}); await w.ready;", ''],
  [
    'a watch with listeners and one for errors',
    "const w = etcd.watch('k').on('put', () => {}).on('error', () => console.log('error')); w.on('close', () => console.log('close')); await w.ready;",
    'close\n',
  ],
  [
    'a loop over a watch',
    `const w = etcd.watch('k'); (async () => { for await (const _ of w); })().${AFTERWARDS}; await w.ready;`,
    'loop: ClosedError\n',
  ],
  ['a watch that nobody reads', "await etcd.watch('k').ready;", ''],
  ['a watch that is not made yet', "etcd.watch('k').on('put', () => {});", ''],
  ['a cache', "await Cache.open(etcd, prefix('k'));", ''],
  [
    'a cache that somebody waits for',
    `const c = await Cache.open(etcd, prefix('k')); c.waitForRevision(1n << 40n).${AFTERWARDS};`,
    'loop: ClosedError\n',
  ],
  [
    'a loop over a mirror',
    `const m = new Mirror(etcd, prefix('k')); const synced = Promise.withResolvers();
     (async () => { for await (const c of m) if (c.type === 'synced') synced.resolve(); })().${AFTERWARDS};
     await synced.promise;`,
    'loop: ClosedError\n',
  ],
  [
    'a session, its lock and one who waits for it',
    `const s = await Session.create(etcd); await new Mutex(s, 'm').lock(); new Mutex(s, 'm').lock().${AFTERWARDS};`,
    'loop: LeaseLostError\n',
  ],
  ['a keepalive', 'await etcd.lease.keepAlive((await etcd.lease.grant(10)).id);', ''],
  [
    'an observed election',
    `(async () => { for await (const _ of new Election(etcd, 'e').observe()); })().${AFTERWARDS};
     await new Promise((r) => setTimeout(r, 100));`,
    'loop: ClosedError\n',
  ],
];

overEachTransport('close()', (connect) => {
  let server: EtcdServer;
  let transport: string;
  withEtcd(connect, (given) => {
    server = given.server;
    transport = given.etcd.transport;
  });

  test('what can no longer be given back fails, and is not called done', async () => {
    const etcd = await connect(server.endpoint);
    const session = await Session.create(etcd, { ttlSeconds: 5 });
    const lock = await new Mutex(session, 'closed-before').lock();
    const leadership = await new Election(etcd, 'closed-before-too').campaign(session, 'me');
    await etcd.close();
    await assert.rejects(lock.unlock(), ClosedError);
    await assert.rejects(leadership.resign(), ClosedError);
    await assert.rejects(session.close(), ClosedError);
  });

  const source = (body: string): string => `
    const { Cache, connect, Election, Mirror, Mutex, prefix, Session } = await import(${library});
    Promise.withResolvers ??= () => { const r = {}; r.promise = new Promise((a, b) => Object.assign(r, { resolve: a, reject: b })); return r; };
    const etcd = await connect({ endpoints: '${server.endpoint}', transport: '${transport}' });
    ${body}`;

  for (const [title, code, output] of open) {
    test(`ends quietly with ${title}`, async () => {
      const file = program(source(`${code}\nawait etcd.close();`));
      const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], { timeout: 240_000 });
      assert.deepEqual([stdout, stderr], [output, '']);
    });
  }

  test('tells the listeners of a watch and of a cache of their end, and of no error', async () => {
    const client = await connect(server.endpoint);
    const errors: string[] = [];
    const watch = client.watch('k').on('put', () => {});
    await watch.ready;
    const cache = await Cache.open(client, prefix('k'));
    const ends = [watch, cache].map((each) => new Promise<void>((resolve) => each.on('close', resolve)));
    watch.on('error', (error) => errors.push(String(error)));
    cache.on('error', (error) => errors.push(String(error)));
    await client.close();
    await Promise.all(ends);
    assert.deepEqual(errors, []);
  });

  test('in the order of the guide ends a service by SIGTERM, a cache included', async () => {
    const body = `
      const { createServer } = await import('node:http');
      const session = await Session.create(etcd);
      await new Mutex(session, 'service').lock();
      const cache = await Cache.open(etcd, prefix('config/'));
      etcd.watch(prefix('config/')).on('put', () => {});
      const server = createServer((_request, response) => response.end(String(cache.size))).listen(0, '127.0.0.1');
      process.once('SIGTERM', async () => {
        await new Promise((done) => server.close(done));
        await session.close({ timeoutMs: 2_000 });
        await etcd.close();
      });
      server.on('listening', () => console.log('up'));`;
    const child = spawn(process.execPath, [program(source(body))], { timeout: 240_000 });
    const ended = once(child, 'exit');
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += String(chunk);
    });
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    assert.deepEqual([await ended, stderr], [[0, null], '']);
  });
});
