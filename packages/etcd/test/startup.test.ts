// Failures at the start that can pass: of the right class, and forgotten.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { EtcdServer } from '@quiesce/test-services';
import { withServer } from './support/clients.js';
import { program } from './support/program.js';
import { transports } from './support/transports.js';

let server: EtcdServer;
withServer((started) => {
  server = started;
});

/** Runs a program with few descriptors, in which `exhaust()` takes all that are left and `free()` gives them back. */
async function withFewDescriptors(body: string): Promise<string[]> {
  const code = `
    import { closeSync, openSync } from 'node:fs';
    import { connect } from ${JSON.stringify(new URL('../src/index.js', import.meta.url).href)};
    const taken = [];
    const exhaust = () => {
      try {
        for (;;) taken.push(openSync('/dev/null'));
      } catch {}
    };
    // A closed client's socket goes behind it.
    const gone = () => new Promise((resolve) => setTimeout(resolve, 500));
    const free = () => taken.splice(0).forEach((fd) => closeSync(fd));
    const [, , endpoints, transport] = process.argv;
    const use = async (options = {}) => {
      try {
        const etcd = await connect({ endpoints, transport, ...options });
        await etcd.put('startup', 'works');
        await etcd.close();
        console.log('works');
      } catch (error) {
        console.log(error.name, error.code, error.sent, error.message);
      }
    };
    ${body}`;
  const path = program(code);
  const args = ['--nofile=256:256', process.execPath, path, server.endpoint];
  const { stdout } = await promisify(execFile)('prlimit', args, { timeout: 240_000 });
  return stdout.trimEnd().split('\n');
}

const native = transports.find(({ name }) => name === 'native');

test('a program that gets a key loads no more of Node than it needs, and the key cannot be taken away', {
  skip:
    'bun' in process.versions || 'deno' in process.versions
      ? 'only Node lists what it has loaded'
      : (native?.skip ?? false),
}, async () => {
  const path = program(`
    import { connect } from ${JSON.stringify(new URL('../src/index.js', import.meta.url).href)};
    const etcd = await connect(process.argv[2]);
    await etcd.put('startup', 'kept');
    const kv = await etcd.get('startup');
    await etcd.close();
    const lazy = 
      /^NativeModule (worker_threads|crypto|dns|http2|tls|net|stream|perf_hooks|internal.(fs.streams|mime|util.parse_args.parse_args))$/;
    const loaded = process.moduleLoadList.filter((name) => lazy.test(name));
    try {
      structuredClone(kv.key, { transfer: [kv.key.buffer] });
    } catch {}
    console.log(JSON.stringify([loaded, kv.text()]));`);
  const { stdout } = await promisify(execFile)(process.execPath, [path, server.endpoint]);
  assert.deepEqual(JSON.parse(stdout), [[], 'kept']);
});

test('the addon loads once there are descriptors for it again', { skip: native?.skip ?? false }, async () => {
  const [first = '', ...rest] = await withFewDescriptors('exhaust(); await use(); free(); await use();');
  assert.match(
    first,
    /^UnavailableError 14 false no native transport .*: .*Too many open files; this process has no/,
  );
  assert.deepEqual(rest, ['works']);
});

test('the native runtime starts once there are descriptors for it again', {
  skip: native?.skip ?? false,
}, async () => {
  const [first, second = '', ...rest] = await withFewDescriptors(
    'await use(); exhaust(); await use(); free(); await use();',
  );
  assert.equal(first, 'works');
  assert.match(
    second,
    /^UnavailableError 14 false the native transport can't start: .*; this process has no/,
  );
  assert.deepEqual(rest, ['works']);
});

test('so does grpc-js', async () => {
  const choice = "{ transport: 'grpc-js' }";
  const [first = '', second = '', ...rest] = await withFewDescriptors(
    `exhaust(); await use(${choice}); free(); await use(${choice}); await gone(); exhaust(); await use(${choice}); free(); await use(${choice});`,
  );
  assert.match(
    first,
    /^UnavailableError 14 false the transport on @grpc\/grpc-js can't be loaded: .*; this process has no/,
  );
  assert.equal(second, 'works');
  assert.match(
    rest[0] ?? '',
    /^UnavailableError 14 false no etcd answers at .*: this process has no file descriptor left/,
  );
  assert.equal(rest[1], 'works');
});

for (const { name, skip } of transports) {
  test(`a want of descriptors is no failure of a host name, ${name}`, { skip }, async () => {
    const lines = await withFewDescriptors(
      `const options = { transport: '${name}', endpoints: endpoints.replace('127.0.0.1', 'localhost') };
       await use(options); await gone(); exhaust(); await use(options); free(); await use(options);`,
    );
    assert.equal(lines[0], 'works');
    assert.match(
      lines[1] ?? '',
      /^UnavailableError 14 false (no etcd answers at http:.*localhost:\d+: this process has no file descriptor left|the native transport can't start: .*this process has no descriptor)/,
    );
    assert.equal(lines[2], 'works');
  });
}
