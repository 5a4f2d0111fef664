// @ts-check
// node setup/release/try.mjs FOLDER: installs the tarballs in FOLDER that are for this machine into an empty project,
// and uses them. The release workflow runs it on each platform before anything is published. It needs only Node and
// npm.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { hostPlatform, nativeFiles } from '../pack/platforms.mjs';

const TIMEOUT_MS = 120_000;

/**
 * If the addon doesn't load, the error is a different one. If it loads, its runtime starts, its connection is refused,
 * and it ends.
 */
const CLIENT = `
import { connect } from '@quiesce/etcd';
const endpoint = 'http://127.0.0.1:' + process.argv[2];
await connect({ endpoints: endpoint, transport: 'native' }).catch((error) => console.log(error.name));
`;

/**
 * @param {string} cwd
 * @param {string[]} command
 */
function mustSucceed(cwd, [program = '', ...args]) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    ...{ cwd, encoding: 'utf8', timeout: TIMEOUT_MS },
    // npm is a script on Windows.
    shell: process.platform === 'win32' && program === 'npm',
  });
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(' ')}: ${error ?? status}\n${stdout}${stderr}`);
}

/** A port on which nothing listens. */
async function closedPort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', () => done(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  await new Promise((done) => server.close(done));
  return String(port);
}

const platform = hostPlatform();
if (platform === undefined) throw new Error(`nothing is published for ${process.platform} ${process.arch}`);
const folder = resolve(process.argv[2] ?? '.');
const names = [`quiesce-etcd-${platform.name}-`, 'quiesce-etcd-[0-9]', 'quiesce-[0-9]'];
const tarballs = readdirSync(folder)
  .filter((file) => file.endsWith('.tgz') && names.some((name) => new RegExp(`^${name}`).test(file)))
  .map((file) => join(folder, file));
if (tarballs.length !== names.length) throw new Error(`${folder} lacks one of ${names.join(', ')}`);

const project = mkdtempSync(join(tmpdir(), 'quiesce-try-'));
try {
  writeFileSync(join(project, 'package.json'), '{ "private": true }');
  mustSucceed(project, ['npm', 'install', '--no-audit', '--no-fund', '--ignore-scripts', ...tarballs]);
  writeFileSync(join(project, 'client.mjs'), CLIENT);
  const printed = mustSucceed(project, [process.execPath, 'client.mjs', await closedPort()]);
  if (printed !== 'UnavailableError\n') throw new Error(`the client printed ${printed}`);
  console.log('@quiesce/etcd has its native transport');
  if (platform.os !== 'win32') {
    const tester = [
      process.execPath,
      join(project, 'node_modules', 'quiesce', 'dist', 'src', 'cli.js'),
      'run',
    ];
    const program = ['--', process.execPath, '-e', 'console.log(1)'];
    mustSucceed(project, [...tester, '-n', '3', ...program]);
    console.log('quiesce works');
    if ('exit-witness' in nativeFiles(platform)) {
      mustSucceed(project, [...tester, '-n', '3', '--strict', '--perturb', 'amplify', ...program]);
      console.log('so do its witness and its amplifier');
    }
  }
} finally {
  rmSync(project, { recursive: true, force: true });
}
