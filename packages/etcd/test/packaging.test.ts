// The packages as they are published, installed into an empty project and used as its programs would.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { type EtcdServer, startEtcd } from '@quiesce/test-services';
import { nativeUnavailable } from '../src/transport/native/native.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const root = fileURLToPath(new URL('../../../..', import.meta.url));
const bin = (name: string): string => join(root, 'node_modules', '.bin', name);
const native = nativeUnavailable() === undefined;

/** As the README promises, of the addon on Linux. */
const ADDON_BUDGET_BYTES = 4 * 1000 * 1000;

/** Of an installation of the tester alone, on the disk; a tarball of a release has the native code of one more platform. */
const TESTER_BUDGET_BYTES = 14 * 1000 * 1000;

/** Removes npm's own settings, which the test runner's npm has put into the environment. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));

let dir: string;
let server: EtcdServer;
let tarballs: Record<string, string>;

async function run(command: string, args: readonly string[], more: NodeJS.ProcessEnv = {}, cwd = dir) {
  return promisify(execFile)(command, args, { cwd, env: { ...env, ...more }, timeout: 240_000 });
}

/** Writes a program into the project and runs it. */
async function program(name: string, code: string, more: NodeJS.ProcessEnv = {}) {
  writeFileSync(join(dir, name), code);
  return run(process.execPath, [name, server.endpoint], more);
}

/** Makes a bundle in CommonJS, with each bundler's defaults for Node. ncc is webpack, with its files beside. */
async function bundle(bundler: 'esbuild' | 'ncc' | 'webpack', entry: string, out: string): Promise<void> {
  if (bundler === 'esbuild') {
    await run(bin('esbuild'), [entry, '--bundle', '--platform=node', `--outfile=${out}`]);
  } else if (bundler === 'webpack') {
    const output = { path: dirname(out), filename: basename(out) };
    const options = { mode: 'production', target: 'node', entry: `./${entry}`, output };
    writeFileSync(
      join(dir, 'webpack.cjs'),
      `require('webpack')(${JSON.stringify(options)}, (error, stats) => {
         const failure = error ?? (stats.hasErrors() ? stats.toString('errors-only') : undefined);
         if (failure !== undefined) throw failure;
       });`,
    );
    await run(process.execPath, ['webpack.cjs']);
  } else {
    await run(join(dir, 'node_modules', '.bin', 'ncc'), ['build', entry, '--out', dirname(out)]);
  }
}

const body = `
  const etcd = await connect(process.argv[2]);
  await etcd.put('packaged', 'works');
  const kv = await etcd.get('packaged');
  console.log(etcd.transport, kv.text());
  await etcd.close();`;

const bundlers = ['@vercel/ncc@0.38', 'webpack@5'];
/** What programs of the test need, beside the packages. */
const beside = ['@opentelemetry/api@1', 'typescript@5.7', '@types/node@20'];

before(async () => {
  dir = temporaryDirectory();
  const packing = `
    const { pack } = await import(${JSON.stringify(pathToFileURL(join(root, 'setup/pack/pack.mjs')))});
    console.log(JSON.stringify(await pack(process.argv[1])));`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', packing, join(dir, 'packed')]);
  tarballs = JSON.parse(stdout);
  writeFileSync(join(dir, 'package.json'), '{ "name": "project", "private": true }');
  // The other platforms' packages aren't published yet; npm leaves out optional ones that it can't have.
  const install = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline'];
  await run('npm', [...install, ...Object.values(tarballs), ...bundlers, ...beside]);
  server = await startEtcd();
});
after(() => server?.stop());

const transport = native ? 'native' : 'grpc-js';

describe('installed from its tarball, @quiesce/etcd', () => {
  test('works from an ES module', async () => {
    const { stdout } = await program('esm.mjs', `import { connect } from '@quiesce/etcd';${body}`);
    assert.equal(stdout, `${transport} works\n`);
  });

  test('works from CommonJS, as the same module', async () => {
    const { stdout, stderr } = await program(
      'cjs.cjs',
      `const { connect, EtcdError } = require('@quiesce/etcd');
       (async () => {
         console.log(EtcdError === (await import('@quiesce/etcd')).EtcdError);
         ${body}
       })();`,
    );
    assert.equal(stdout, `true\n${transport} works\n`, stderr);
  });

  test('is read from few files, with the names that its classes have', async () => {
    const folder = join(dir, 'node_modules', '@quiesce', 'etcd', 'dist', 'src');
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    assert.ok(files.filter((file) => file.endsWith('.js')).length <= 10, files.join('\n'));
    // V8 scans all of it at each start, and takes twice as long for a file with one other character.
    assert.doesNotMatch(readFileSync(join(folder, 'index.js'), 'utf8'), /[^\0-\x7f]|\/\*\*/);
    const manifest: { dependencies: object } = JSON.parse(
      readFileSync(join(folder, '..', '..', 'package.json'), 'utf8'),
    );
    assert.deepEqual(Object.keys(manifest.dependencies), ['@grpc/grpc-js']);
    const notices = readFileSync(join(folder, 'THIRD-PARTY-NOTICES.txt'), 'utf8');
    assert.match(notices, /@bufbuild\/protobuf [\s\S]*leven [\s\S]*MIT License/);
    const packed: Record<string, unknown> = await import(pathToFileURL(join(folder, 'index.js')).href);
    const here: Record<string, unknown> = await import('../src/index.js');
    const names = (exports: Record<string, unknown>) =>
      Object.entries(exports).map(([name, value]) => [name, typeof value === 'function' ? value.name : '']);
    assert.deepEqual(names(packed), names(here));
  });

  test('falls back where its platform has no package, and says so once', async () => {
    const { stdout, stderr } = await program(
      'fallback.mjs',
      `Object.defineProperty(process, 'arch', { value: 'pdp11' });
       const { connect } = await import('@quiesce/etcd');${body}`,
    );
    assert.equal(stdout, 'grpc-js works\n');
    assert.match(stderr, /no native transport for \w+-pdp11: its package is not installed; using the slower/);
    assert.equal(stderr.match(/QUIESCE_ETCD_FALLBACK/g)?.length, 1, stderr);
  });

  test('tells what is wrong with an addon that was named', async () => {
    const { stderr } = await program('named.mjs', `import { connect } from '@quiesce/etcd';${body}`, {
      QUIESCE_ETCD_NATIVE: '/nowhere/etcd-transport.node',
    });
    assert.match(stderr, /Cannot find module '\/nowhere\/etcd-transport\.node'/);
  });

  test('has types for the oldest TypeScript, without skipLibCheck', async () => {
    writeFileSync(
      join(dir, 'program.mts'),
      `import { connect, json, prefix, utf8, type EtcdClient, type KeyValue } from '@quiesce/etcd';
       const etcd: EtcdClient = await connect('http://127.0.0.1:2379');
       const kv: KeyValue | undefined = await etcd.get('a');
       const users = etcd.withCodec({ key: utf8, value: json<{ name: string }>() });
       const name: string | undefined = (await users.get('b'))?.value.name;
       for await (const event of etcd.watch(prefix('c'))) console.log(event.kv.modRevision + 1n, kv, name);
       await etcd.put('a', 'b', { lease: undefined, timeoutMs: undefined });
       await connect({ endpoints: 'http://127.0.0.1:2379', auth: undefined, retry: { maxAttempts: undefined } });
       // @ts-expect-error: there is no such option
       await etcd.put('a', 'b', { leese: 1n });`,
    );
    const commonJs = `(etcd: typeof import('@quiesce/etcd'), otel: typeof import('@quiesce/etcd/opentelemetry'),
       testing: typeof import('@quiesce/etcd/testing')) => [etcd.connect, otel.instrument, testing.startEtcd];`;
    writeFileSync(join(dir, 'by-node10.cts'), `export const all = ${commonJs}`);
    writeFileSync(
      join(dir, 'by-node16.cts'),
      `export const all = async () => {
         const { connect } = await import('@quiesce/etcd');
         const { instrument } = await import('@quiesce/etcd/opentelemetry');
         const { startEtcd } = await import('@quiesce/etcd/testing');
         return [connect, instrument, startEtcd];
       };`,
    );
    writeFileSync(
      join(dir, 'by-require.cts'),
      `import { connect, Mutex, Session, type KeyValue } from '@quiesce/etcd';
       import { instrument } from '@quiesce/etcd/opentelemetry';
       import { startEtcd } from '@quiesce/etcd/testing';
       export const all = async (): Promise<KeyValue | undefined> => {
         const server = await startEtcd();
         const etcd = await connect(server.endpoint);
         instrument();
         await new Mutex(await Session.create(etcd), 'name').lock();
         return etcd.get('a');
       };`,
    );
    for (const [module, moduleResolution, ...files] of [
      ['nodenext', 'nodenext', 'program.mts', 'by-node16.cts', 'by-require.cts'],
      ['node16', 'node16', 'program.mts', 'by-node16.cts', 'by-require.cts'],
      ['esnext', 'bundler', 'program.mts'],
      ['esnext', 'node10', 'program.mts'],
      ['commonjs', 'node10', 'by-node10.cts'],
    ] as const) {
      writeFileSync(
        join(dir, 'tsconfig.json'),
        JSON.stringify({
          compilerOptions: {
            ...{ module, moduleResolution, target: 'es2022', lib: ['es2023', 'esnext.disposable'] },
            ...{ strict: true, noEmit: true, skipLibCheck: false, types: ['node'] },
            exactOptionalPropertyTypes: true,
          },
          files,
        }),
      );
      await run(join(dir, 'node_modules/.bin/tsc'), []).catch((error) => {
        throw new Error(`${module}, ${moduleResolution}: ${error.stdout}`);
      });
    }
  });

  test('has no types of what is internal', () => {
    for (const name of ['@quiesce/etcd', 'quiesce']) {
      const folder = join(dir, 'node_modules', name, 'dist');
      const types = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
        file.endsWith('.d.ts'),
      );
      assert.ok(types.length > 10);
      for (const file of types)
        assert.doesNotMatch(readFileSync(join(folder, file), 'utf8'), /@internal/, file);
    }
  });

  test('is bundled by esbuild, with its addon beside it', { skip: !native && 'no addon' }, async () => {
    writeFileSync(join(dir, 'bundled.mjs'), `import { connect } from '@quiesce/etcd';${body}`);
    await run(bin('esbuild'), [
      'bundled.mjs',
      '--bundle',
      '--platform=node',
      '--format=esm',
      '--outfile=bundle/out.mjs',
      "--banner:js=import { createRequire as r } from 'node:module'; const require = r(import.meta.url);",
    ]);
    const { stdout } = await run(process.execPath, ['bundle/out.mjs', server.endpoint]);
    assert.equal(stdout, 'native works\n');
  });

  test('is bundled as CommonJS, with its addon installed or copied beside it', {
    skip: !native && 'no addon',
  }, async () => {
    const apart = temporaryDirectory();
    writeFileSync(
      join(dir, 'common.js'),
      `const { connect } = require('@quiesce/etcd');\n(async () => {${body}\n})();`,
    );
    for (const [bundler, out] of [
      ['esbuild', 'common/esbuild.js'],
      ['ncc', 'common/ncc/index.js'],
      ['webpack', 'common/webpack/main.js'],
    ] as const) {
      await bundle(bundler, 'common.js', join(dir, out));
      const { stdout, stderr } = await run(process.execPath, [out, server.endpoint], {
        NODE_DEBUG: 'quiesce-etcd',
      });
      assert.equal(stdout, 'native works\n', `${bundler}: ${stderr}`);
      assert.match(stderr, /unary \/etcdserverpb\.KV\/Put .*: OK/, bundler);
      // Where there is no node_modules.
      const moved = join(apart, bundler);
      cpSync(dirname(join(dir, out)), moved, { recursive: true });
      const file = join(moved, basename(out));
      const alone = await run(process.execPath, [file, server.endpoint], {}, moved);
      if (alone.stdout !== 'native works\n') {
        assert.equal(alone.stdout, 'grpc-js works\n', `${bundler}: ${alone.stderr}`);
        assert.match(
          alone.stderr,
          /this program is a bundle, and neither the addon's package nor .* copy that file/,
        );
      }
      const addon = Object.keys(tarballs).find((name) => name.startsWith('@quiesce/etcd-')) ?? '';
      cpSync(join(dir, 'node_modules', addon, 'etcd-transport.node'), join(moved, 'etcd-transport.node'));
      const beside = await run(process.execPath, [file, server.endpoint], {}, apart);
      assert.equal(beside.stdout, 'native works\n', `${bundler}: ${beside.stderr}`);
    }
  });

  test('runs in a single executable', { skip: !native && 'no addon' }, async () => {
    writeFileSync(
      join(dir, 'single.mjs'),
      `import { connect } from '@quiesce/etcd';\n(async () => {${body.replace('argv[2]', 'argv.at(-1)')}\n})();`,
    );
    await run(bin('esbuild'), [
      'single.mjs',
      '--bundle',
      '--platform=node',
      '--format=cjs',
      '--outfile=single.cjs',
      '--log-override:empty-import-meta=silent',
    ]);
    writeFileSync(
      join(dir, 'sea.json'),
      JSON.stringify({ main: 'single.cjs', output: 'single.blob', disableExperimentalSEAWarning: true }),
    );
    await run(process.execPath, ['--experimental-sea-config', 'sea.json']);
    await run('cp', [process.execPath, 'single']);
    const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';
    await run(bin('postject'), ['single', 'NODE_SEA_BLOB', 'single.blob', '--sentinel-fuse', fuse]);
    // node_modules beside the executable has the addon.
    const { stdout } = await run(join(dir, 'single'), [server.endpoint]);
    assert.equal(stdout, 'native works\n');
  });
});

describe('the packages', () => {
  test('have types that every kind of importer finds', async () => {
    for (const name of ['@quiesce/etcd', 'quiesce']) {
      // The one thing it may remark: CommonJS gets the ES module, as Node 20.19 and later load it by require().
      const args = [tarballs[name] as string, '--ignore-rules', 'cjs-resolves-to-esm'];
      await run(bin('attw'), args).catch((error) => assert.fail(`${name}: ${error.stdout}`));
    }
  });

  test('are in order for publint', async () => {
    for (const tarball of Object.values(tarballs)) {
      await run(bin('publint'), ['run', tarball, '--strict']).catch((error) =>
        assert.fail(`${tarball}: ${error.stdout}${error.stderr}`),
      );
    }
  });

  test('run nothing when they are installed', () => {
    for (const name of Object.keys(tarballs)) {
      const manifest = JSON.parse(readFileSync(join(dir, 'node_modules', name, 'package.json'), 'utf8'));
      assert.equal(manifest.scripts, undefined, name);
      assert.ok(existsSync(join(dir, 'node_modules', name, 'LICENSE')), name);
    }
  });

  test('bring one package that runs something, as docs/support.md says', () => {
    const lock = JSON.parse(readFileSync(join(dir, 'node_modules', '.package-lock.json'), 'utf8'));
    const installed: Record<string, { hasInstallScript?: boolean; dependencies?: object }> = lock.packages;
    assert.deepEqual(
      Object.keys(installed).filter((path) => installed[path]?.hasInstallScript),
      ['node_modules/protobufjs'],
    );
    // The client needs grpc-js alone, with which the others come.
    const needed = new Set(['@quiesce/etcd']);
    for (const name of needed) {
      for (const one of Object.keys(installed[`node_modules/${name}`]?.dependencies ?? {})) needed.add(one);
      if (name === '@quiesce/etcd') assert.deepEqual([...needed], ['@quiesce/etcd', '@grpc/grpc-js']);
    }
    assert.ok(needed.size > 30, [...needed].join(' '));
    assert.ok(needed.has('protobufjs'));
  });

  test('pass the trial that a release makes of them', { skip: !native && 'no addon' }, async () => {
    await run(process.execPath, [join(root, 'setup/release/try.mjs'), join(dir, 'packed')]);
  });

  test('keep the size that was promised', { skip: !native && 'no addon' }, () => {
    const name = Object.keys(tarballs).find((name) => name.startsWith('@quiesce/etcd-')) ?? '';
    const { size } = statSync(join(dir, 'node_modules', name, 'etcd-transport.node'));
    assert.ok(size < ADDON_BUDGET_BYTES, `${size} bytes`);
  });
});

describe('the tester', () => {
  test('runs from its tarball', async () => {
    const { stdout } = await run(join(dir, 'node_modules/.bin/quiesce'), ['run', '-n', '2', '--', 'true']);
    assert.match(stdout, /All as expected/);
  });

  test('is light when it is all that is installed, and has the licences of what it brings', async () => {
    const alone = temporaryDirectory();
    writeFileSync(join(alone, 'package.json'), '{ "name": "project", "private": true }');
    const install = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline'];
    await run('npm', [...install, tarballs.quiesce as string], {}, alone);
    const { stdout } = await run('du', ['-sk', 'node_modules'], {}, alone);
    const kib = Number.parseInt(stdout, 10);
    assert.ok(kib * 1024 < TESTER_BUDGET_BYTES, stdout);
    const lock = JSON.parse(readFileSync(join(alone, 'node_modules', '.package-lock.json'), 'utf8'));
    const installed = Object.keys(lock.packages);
    assert.ok(installed.length > 10 && installed.length <= 60, `${installed.length} packages`);
    const bundled = installed.filter((path) => lock.packages[path].inBundle);
    assert.deepEqual(bundled, ['node_modules/quiesce/node_modules/zod']);
    for (const path of bundled) assert.ok(existsSync(join(alone, path, 'LICENSE')), path);
    // A wrong plan is what it is needed for.
    writeFileSync(join(alone, 'shutdown.plan.yaml'), 'scenarios:\n  - name: a\n    comand: [a]\n');
    const wrong = await run(join(alone, 'node_modules/.bin/quiesce'), ['run'], {}, alone).catch(
      (error) => error,
    );
    assert.match(
      wrong.stderr,
      /shutdown\.plan\.yaml:3:5: scenarios\[0\]: unknown field "comand"; did you mean "command"\?/,
    );
  });

  test('has types without skipLibCheck', async () => {
    writeFileSync(
      join(dir, 'plan.mts'),
      `import { definePlan, run, type RunOptions } from 'quiesce';
       export default definePlan({ scenarios: [{ name: 'a', command: ['a'], timeout: '10s', strict: true }] });
       export const options: RunOptions = { command: ['a'], runs: 1 };
       export const rate: Promise<number> = run(options).then((result) => result.rate.upperBound);
       // @ts-expect-error: there is no such option
       definePlan({ scenarios: [{ name: 'a', command: ['a'], strikt: true }] });
       // @ts-expect-error: it is true or false
       definePlan({ scenarios: [{ name: 'a', command: ['a'], strict: 1 }] });`,
    );
    const options = [
      '--strict',
      '--noEmit',
      '--target',
      'es2022',
      '--types',
      'node',
      '--skipLibCheck',
      'false',
    ];
    await run(join(dir, 'node_modules/.bin/tsc'), [...options, '--module', 'nodenext', 'plan.mts']).catch(
      (error) => assert.fail(error.stdout),
    );
  });
});
