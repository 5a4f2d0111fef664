// usage: node uses.cjs PACKAGE: some ordinary work with a popular package, closed as its documentation says.
const { mkdtempSync, rmSync } = require('node:fs');
const { createRequire } = require('node:module');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { strictEqual } = require('node:assert');

const name = process.argv[2];
const load = createRequire(`${process.cwd()}/`);
const folder = mkdtempSync(join(tmpdir(), 'field-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const uses = {
  async lmdb() {
    const db = load('lmdb').open({ path: join(folder, 'db') });
    await db.put('a', 1);
    strictEqual(db.get('a'), 1);
    await db.close();
  },
  async 'classic-level'() {
    const { ClassicLevel } = load('classic-level');
    const db = new ClassicLevel(join(folder, 'db'));
    await db.put('a', '1');
    strictEqual(await db.get('a'), '1');
    await db.close();
  },
  async '@parcel/watcher'() {
    const watcher = load('@parcel/watcher');
    const subscription = await watcher.subscribe(folder, () => {});
    await subscription.unsubscribe();
  },
  async bcrypt() {
    const bcrypt = load('bcrypt');
    strictEqual(await bcrypt.compare('x', await bcrypt.hash('x', 4)), true);
  },
  async sharp() {
    const sharp = load('sharp');
    const image = sharp({ create: { width: 64, height: 64, channels: 3, background: 'red' } });
    strictEqual((await image.resize(32).png().toBuffer()).length > 0, true);
  },
  async ws() {
    const { WebSocket, WebSocketServer } = load('ws');
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    server.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
    await new Promise((resolve) => server.on('listening', resolve));
    const socket = new WebSocket(`ws://127.0.0.1:${server.address().port}`);
    await new Promise((resolve) => socket.on('open', resolve));
    socket.send('hello');
    await new Promise((resolve) => socket.on('message', resolve));
    socket.close();
    await new Promise((resolve) => server.close(resolve));
  },
  async fastify() {
    const app = load('fastify')();
    app.get('/', async () => ({ hello: 'world' }));
    const address = await app.listen({ port: 0, host: '127.0.0.1' });
    strictEqual((await (await fetch(address, { headers: { connection: 'close' } })).json()).hello, 'world');
    await app.close();
  },
  async pino() {
    const logger = load('pino')(
      load('pino').transport({ target: 'pino/file', options: { destination: join(folder, 'log') } }),
    );
    logger.info('hello');
    await new Promise((resolve) => logger.flush(resolve));
  },
  async piscina() {
    const { Piscina } = load('piscina');
    const { writeFileSync } = require('node:fs');
    writeFileSync(join(folder, 'work.cjs'), 'module.exports = (n) => n * 2;');
    const pool = new Piscina({ filename: join(folder, 'work.cjs'), maxThreads: 2 });
    strictEqual(await pool.run(21), 42);
    await pool.destroy();
  },
  async esbuild() {
    const esbuild = load('esbuild');
    strictEqual(
      (await esbuild.transform('let x: number = 1', { loader: 'ts' })).code.includes('number'),
      false,
    );
    await esbuild.stop();
  },
  async snappy() {
    const { compress, uncompress } = load('snappy');
    strictEqual((await uncompress(await compress(Buffer.from('hello')))).toString(), 'hello');
  },
  async '@node-rs/argon2'() {
    const { hash, verify } = load('@node-rs/argon2');
    strictEqual(await verify(await hash('x'), 'x'), true);
  },
};
uses[name]();
