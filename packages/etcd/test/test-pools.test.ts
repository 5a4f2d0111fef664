// Pools of workers and processes that a test runner has. Runs on each of Node, Bun and Deno (npm run runtimes).
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { EtcdServer } from '@quiesce/test-services';
import { connect, type EtcdClient, prefix } from '../src/index.js';
import { busy } from './support/busy.js';
import { withEtcd } from './support/clients.js';
import { programFolder } from './support/program.js';

const library = JSON.stringify(new URL('../src/index.js', import.meta.url).href);
const exec = promisify(execFile);

describe('pools of vitest', () => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => ({ server, etcd } = given));

  for (const pool of ['threads', 'forks'] as const) {
    test(`tests in vitest's pool of ${pool} leave their clients open, and the run ends with code 0`, {
      timeout: 240_000,
    }, async () => {
      const dir = join(programFolder(), `vitest-${pool}`);
      mkdirSync(dir, { recursive: true });
      writeFileSync(join(dir, 'package.json'), '{ "type": "module" }');
      for (const name of ['a', 'b', 'c']) {
        writeFileSync(
          join(dir, `${name}.test.mjs`),
          `import { expect, test } from 'vitest';
          import { connect } from ${library};
          ${busy}
          test('${name}', async () => {
            const etcd = await connect('${server.endpoint}');
            await etcd.put('vitest/${pool}/${name}', '1');
            expect((await etcd.get('vitest/${pool}/${name}')).text()).toBe('1');
            expect(etcd.transport).toBe('${etcd.transport}');
            await keepBusy(connect, '${server.endpoint}', 'vitest-${name}', 1);
          });`,
        );
      }
      const vitest = join(
        dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
        'vitest.mjs',
      );
      const args = [vitest, 'run', '--root', dir, '--pool', pool, '--maxWorkers', '2', '--no-color'];
      const { stdout, stderr } = await exec(process.execPath, args, {
        timeout: 240_000,
        killSignal: 'SIGKILL',
      });
      assert.match(stdout, /Tests\s+3 passed \(3\)/);
      assert.equal(stderr, '');
      assert.equal((await etcd.range(prefix(`vitest/${pool}/`))).kvs.length, 3);
    });
  }
});
