// src/rpc/generated is what `npm run generate` makes of the .proto files.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as services from '../src/rpc/generated/etcdserverpb/methods.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

function filesIn(dir: string): Map<string, string> {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
  return new Map(
    files
      .map(({ parentPath, name }) => join(parentPath, name))
      .sort()
      .map((file) => [file.slice(dir.length), readFileSync(file, 'utf8')]),
  );
}

test('the generated code is that of the .proto files', { timeout: 240_000 }, async () => {
  const dir = temporaryDirectory();
  // As npm runs its scripts, but into another directory.
  const binaries = join(
    dirname(createRequire(import.meta.url).resolve('ts-proto/package.json')),
    '..',
    '.bin',
  );
  const command = scripts.generate.replaceAll('buf generate', `buf generate --output '${dir}'`);
  await promisify(execFile)('sh', ['-c', command], {
    cwd: root,
    env: { ...process.env, PATH: `${binaries}${delimiter}${process.env.PATH}` },
    timeout: 240_000,
  });
  const made = filesIn(join(dir, 'src', 'rpc', 'generated'));
  const committed = filesIn(join(root, 'src', 'rpc', 'generated'));
  assert.deepEqual([...committed.keys()], [...made.keys()]);
  for (const [file, text] of made) {
    assert.ok(committed.get(file) === text, `${file} is stale: npm run generate --workspace @quiesce/etcd`);
  }
});

test('a method is there for each RPC of etcd, under its own path', () => {
  const proto = readFileSync(join(root, 'proto', 'etcdserverpb', 'rpc.proto'), 'utf8');
  const methods = Object.values(services).flatMap((service) => Object.values(service));
  const paths = new Set(methods.map(({ path }) => path));
  assert.equal(paths.size, proto.match(/^ {2}rpc /gm)?.length);
  assert.ok(paths.has('/etcdserverpb.KV/Range'));
  const streams = methods
    .filter(({ kind }) => kind !== 'unary')
    .map(({ path, kind }) => `${kind} ${path}`)
    .sort();
  assert.deepEqual(streams, [
    'bidi_streaming /etcdserverpb.Lease/LeaseKeepAlive',
    'bidi_streaming /etcdserverpb.Watch/Watch',
    'server_streaming /etcdserverpb.Maintenance/Snapshot',
  ]);
});
