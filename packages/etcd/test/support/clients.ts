import { after, before, describe } from 'node:test';
import { type EtcdOptions, type EtcdServer, startEtcd } from '@quiesce/test-services';
import { type ConnectOptions, connect, type EtcdClient, prefix } from '../../src/index.js';
import { transports } from './transports.js';

/** Makes a client over the transport under test. */
export type Connect = (options: ConnectOptions | string) => Promise<EtcdClient>;

/** Declares a suite once for each transport. A client's behaviour must not depend on its transport. */
export function overEachTransport(title: string, suite: (connect: Connect) => void): void {
  for (const { name, skip } of transports) {
    describe(`${title}, ${name}`, { skip }, () =>
      suite((options) =>
        connect({ ...(typeof options === 'string' ? { endpoints: options } : options), transport: name }),
      ),
    );
  }
}

/** Flags of etcd for short elections. The smallest TTL of a lease follows from them, and is 1 s. */
export const shortElections: readonly string[] = ['--heartbeat-interval=20', '--election-timeout=200'];

/** A server and one of its clients. */
export interface ServerAndClient {
  readonly server: EtcdServer;
  readonly etcd: EtcdClient;
}

/**
 * Declares that a suite, or a file, has its own etcd, from before its first test until after its last one.
 *
 * @param use receives the etcd, before the first test.
 */
export function withServer(use: (server: EtcdServer) => void, options?: EtcdOptions): void {
  let server: EtcdServer | undefined;
  before(async () => {
    server = await startEtcd(options);
    use(server);
  });
  after(() => server?.stop());
}

/** The same as {@link withServer}, for a client. */
export function withClient(make: () => Promise<EtcdClient>, use: (etcd: EtcdClient) => void): void {
  let etcd: EtcdClient | undefined;
  before(async () => {
    etcd = await make();
    use(etcd);
  });
  after(() => etcd?.close());
}

/** Declares both: an etcd with {@link shortElections}, and one of its clients. */
export function withEtcd(connect: Connect, use: (given: ServerAndClient) => void): void {
  let server: EtcdServer | undefined;
  let etcd: EtcdClient | undefined;
  // One hook for both: the hooks of a file, unlike those of a suite, don't wait for each other.
  before(async () => {
    server = await startEtcd({ extraArgs: shortElections });
    etcd = await connect(server.endpoint);
    use({ server, etcd });
  });
  after(async () => {
    await etcd?.close();
    await server?.stop();
  });
}

/** How many keys there are below a name, such as those of a lock. */
export async function keysBelow(etcd: EtcdClient, name: string): Promise<number> {
  return Number((await etcd.range(prefix(`${name}/`), { countOnly: true })).count);
}

/**
 * Turns authentication on, for two users with this password: `root`, and `locker`, who has permissions only for keys
 * below a name.
 */
export async function limitLocker(etcd: EtcdClient, name: string, password: string): Promise<void> {
  await etcd.auth.roleAdd('locker');
  await etcd.auth.roleGrantPermission('locker', 'readwrite', prefix(`${name}/`));
  await etcd.auth.roleAdd('root');
  for (const user of ['root', 'locker']) {
    await etcd.auth.userAdd(user, { password });
    await etcd.auth.userGrantRole(user, user);
  }
  await etcd.auth.enable();
}
