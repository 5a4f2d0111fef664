import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startTcpProxy, type TcpProxy } from '../src/index.js';

/** Waits until `condition` holds. */
async function until(condition: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 5_000; !condition(); await delay(5)) {
    if (performance.now() > deadline) throw new Error('waited in vain');
  }
}

async function dial(proxy: TcpProxy): Promise<Socket> {
  const socket = connect(proxy.port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

const read = async (socket: Socket): Promise<string> => String((await once(socket, 'data'))[0]);

describe('startTcpProxy', () => {
  let echo: Server;
  let port: number;
  before(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    port = (echo.address() as AddressInfo).port;
  });
  after(() => echo.close());

  it('passes bytes both ways, and the end of each direction', async () => {
    await using proxy = await startTcpProxy({ port });
    const socket = await dial(proxy);
    socket.write('one');
    assert.equal(await read(socket), 'one');
    socket.end('two');
    assert.equal(await read(socket), 'two');
    await once(socket, 'end');
    await until(() => proxy.connections === 0);
    assert.equal(proxy.accepted, 1);
  });

  it('cuts what is open and takes new connections', async () => {
    await using proxy = await startTcpProxy({ port });
    const socket = await dial(proxy);
    await until(() => proxy.connections === 1);
    proxy.cut();
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNRESET');
    const next = await dial(proxy);
    next.write('again');
    assert.equal(await read(next), 'again');
    assert.equal(proxy.accepted, 2);
    next.destroy();
  });

  it('holds bytes back while paused, on old and on new connections', async () => {
    await using proxy = await startTcpProxy({ port });
    const old = await dial(proxy);
    old.write('0');
    assert.equal(await read(old), '0');
    proxy.pause();
    const young = await dial(proxy);
    let seen = '';
    for (const socket of [old, young]) {
      socket.on('data', (data) => {
        seen += String(data);
      });
      socket.write('1');
    }
    await delay(100);
    assert.equal(seen, '');
    proxy.resume();
    await until(() => seen === '11');
    old.destroy();
    young.destroy();
  });

  it('resets the client when the target is not there, and refuses once closed', async () => {
    const held = createServer().listen(0, '127.0.0.1');
    await once(held, 'listening');
    const free = (held.address() as AddressInfo).port;
    held.close();
    const proxy = await startTcpProxy({ port: free });
    const socket = connect(proxy.port, '127.0.0.1');
    await once(socket, 'error');
    await proxy.close();
    await proxy.close();
    const [refused] = (await once(connect(proxy.port, '127.0.0.1'), 'error')) as [NodeJS.ErrnoException];
    assert.equal(refused.code, 'ECONNREFUSED');
  });
});
