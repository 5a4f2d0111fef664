import { positiveInteger } from '../util/kinds.js';
import { refuseMore } from '../util/methods.js';
import { Description } from '../util/options.js';
import { findEtcd } from './binary.js';
import { type EtcdServer, type StartEtcdOptions, serverKinds, startEtcd } from './etcd-server.js';
import { freePorts } from './ports.js';
import { EtcdStartError } from './start-error.js';

/** How {@link startEtcdCluster} starts its members. */
export interface StartEtcdClusterOptions
  extends Pick<StartEtcdOptions, 'binary' | 'args' | 'tls' | 'fsync' | 'timeoutMs' | 'signal'> {
  /** The number of members. Default 3. */
  readonly size?: number | undefined;
}

/** An etcd cluster. Each member can be killed, frozen and restarted separately. */
export interface EtcdServerCluster extends AsyncDisposable {
  readonly members: readonly EtcdServer[];
  /** The endpoints of all members, for `connect({ endpoints })`. */
  readonly endpoints: readonly string[];
  /** Stops all members, and removes their directories. Idempotent. */
  stop(): Promise<void>;
}

const clusterOptions = new Description<StartEtcdClusterOptions>('startEtcdCluster()', {
  ...serverKinds,
  size: positiveInteger,
});

const START_ATTEMPTS = 3;

/**
 * Starts a cluster for a test, all members at once, and resolves once each of them is ready. Members end like the
 * server of {@link startEtcd}. Their elections take half as long as with etcd's default.
 *
 * @throws the errors of {@link startEtcd}. After an error no member is left.
 */
export async function startEtcdCluster(options?: StartEtcdClusterOptions): Promise<EtcdServerCluster>;
export async function startEtcdCluster(
  options: StartEtcdClusterOptions = {},
  ...more: readonly unknown[]
): Promise<EtcdServerCluster> {
  refuseMore('startEtcdCluster()', [options], more);
  clusterOptions.check(options);
  const { size = 3, args = [], ...rest } = options;
  const binary = findEtcd(options.binary);
  for (let attempt = 1; ; attempt++) {
    const ports = await freePorts(2 * size);
    const peers = ports.slice(size);
    const cluster = peers.map((peer, i) => `m${i}=http://127.0.0.1:${peer}`).join(',');
    const shared = [
      `--initial-cluster=${cluster}`,
      // Members of another test's cluster, which had the same ports before, must not join this cluster.
      `--initial-cluster-token=${process.pid}-${peers.join('-')}`,
      '--heartbeat-interval=50',
      '--election-timeout=500',
      ...args,
    ];
    const starts = await Promise.allSettled(
      peers.map((peerPort, i) =>
        startEtcd({ ...rest, binary, port: ports[i] as number, peerPort, args: [`--name=m${i}`, ...shared] }),
      ),
    );
    const members = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    const failed = starts.find((start) => start.status === 'rejected');
    if (failed === undefined) return clusterOf(members);
    await stopAll(members);
    const { reason } = failed;
    const taken = reason instanceof EtcdStartError && /address already in use/.test(reason.log);
    if (!taken || attempt === START_ATTEMPTS) throw reason;
  }
}

function clusterOf(members: readonly EtcdServer[]): EtcdServerCluster {
  const stop = (): Promise<void> => stopAll(members);
  return {
    members,
    endpoints: members.map(({ endpoint }) => endpoint),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function stopAll(members: readonly EtcdServer[]): Promise<void> {
  // A member that is stopped with SIGTERM would hand its leadership over, and wait for members that are also being
  // stopped.
  for (const member of members) if (member.running) member.kill();
  await Promise.all(members.map((member) => member.stop()));
}
