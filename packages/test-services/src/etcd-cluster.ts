import { randomUUID } from 'node:crypto';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { startEtcd as startStandardEtcd } from '@quiesce/etcd/testing';
import { etcdBinary } from './binaries.js';
import { type Certificates, createCertificates } from './certificates.js';
import { type EtcdOptions, type EtcdServer, START_MS, serverTls, withCertificates } from './etcd.js';
import { type PeerNetwork, startPeerNetwork } from './peer-network.js';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.js';

/** How `startEtcdCluster` starts its members. */
export interface EtcdClusterOptions extends EtcdOptions {
  /** The number of members. Default 3. */
  readonly size?: number;
  /** Puts a proxy between the members, for `partition()`. Default false: they communicate directly. */
  readonly partitionable?: boolean;
  /** Puts a TCP proxy before each member's client port. `endpoint` is then that of the proxy. Default false. */
  readonly clientProxies?: boolean;
  /** Default 50 ms, half of etcd's own. */
  readonly heartbeatMs?: number;
  /** A leader that isn't heard for this long is replaced. Default 500 ms, half of etcd's own. */
  readonly electionMs?: number;
}

/** One member of a cluster. */
export interface EtcdMember extends EtcdServer {
  readonly name: string;
  /** Member id, as in `MemberList`. */
  readonly id: bigint;
  /** URL at which its peers reach it. */
  readonly peerUrl: string;
  /** The proxy before its client port, where the cluster has them. */
  readonly proxy: TcpProxy | undefined;
}

/** A member that isn't part of its cluster yet. */
export interface NewEtcdMember {
  readonly name: string;
  /** Pass it to `MemberAdd`. */
  readonly peerUrl: string;
  /** Starts the member, after `MemberAdd`. Resolves once it is ready. It is then one of `members`. */
  start(): Promise<EtcdMember>;
}

/** A cluster on loopback. Each of its members can be killed, frozen, restarted and cut off separately. */
export interface EtcdCluster extends AsyncDisposable {
  readonly members: readonly EtcdMember[];
  /** The endpoints of all members, for `connect({ endpoints })`. */
  readonly endpoints: readonly string[];
  readonly certificates: Certificates | undefined;
  /** The leader, once exactly one running member claims to lead. @throws Error after `timeoutMs`, by default 10 s. */
  leader(timeoutMs?: number): Promise<EtcdMember>;
  /** The members that don't lead. Waits like {@link leader}. */
  followers(): Promise<EtcdMember[]>;
  /**
   * Cuts these members off from the others, in both directions. Clients still reach them. Replaces an earlier
   * partition.
   * @throws Error for a cluster that isn't `partitionable`.
   */
  partition(...members: EtcdMember[]): void;
  /** Ends `partition()`. */
  heal(): void;
  /**
   * Heals the cluster, resumes and restarts its members, and waits for a leader. Afterwards it is as at the start,
   * except for its data.
   */
  recover(): Promise<void>;
  /**
   * Ports for another member, for tests of `MemberAdd`. Not available in a `partitionable` cluster. A member that was
   * removed must be stopped before the new one starts. etcd refuses the new member as "unhealthy cluster" in the first
   * five seconds, unless it was started with `--strict-reconfig-check=false`.
   */
  newMember(): Promise<NewEtcdMember>;
  /** Stops all members and removes their data. Idempotent. */
  stop(): Promise<void>;
}

const START_ATTEMPTS = 3;
/** How long a member may take to report its state. */
const METRICS_MS = 30_000;

/**
 * Starts a cluster, all members at once, and waits until each of them is ready. They run with `--unsafe-no-fsync`. That
 * loses nothing when a process is killed, and a busy disk can't make a leader lose its leadership.
 */
export async function startEtcdCluster(options: EtcdClusterOptions = {}): Promise<EtcdCluster> {
  const certificates = options.tls === undefined ? undefined : await createCertificates();
  for (let attempt = 1; ; attempt++) {
    const cluster = new Cluster(options, certificates);
    try {
      await cluster.start();
      return cluster;
    } catch (error) {
      await cluster.stop();
      // The ports were free when they were chosen, but another process may have taken them since.
      if (attempt === START_ATTEMPTS || !/address already in use/.test(String(error))) throw error;
    }
  }
}

interface MemberPlan {
  readonly name: string;
  readonly client: number;
  readonly peer: number;
  readonly metrics: number;
  readonly peerUrl: string;
  readonly proxy: TcpProxy | undefined;
}

class Cluster implements EtcdCluster {
  readonly members: EtcdMember[] = [];
  readonly certificates: Certificates | undefined;
  readonly #options: EtcdClusterOptions;
  readonly #token = randomUUID();
  readonly #plans: MemberPlan[] = [];
  readonly #metrics = new Map<EtcdMember, number>();
  /** The names of members that were stopped for good. */
  readonly #stopped = new Set<string>();
  /** Names of the members that are frozen. */
  readonly #frozen = new Set<string>();
  #network: PeerNetwork | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: EtcdClusterOptions, certificates: Certificates | undefined) {
    this.#options = options;
    this.certificates = certificates;
  }

  async start(): Promise<void> {
    const { size = 3, partitionable = false } = this.#options;
    const ports = await freePorts(size * 3);
    const peers = ports.slice(size, 2 * size);
    if (partitionable) this.#network = await startPeerNetwork(peers, (id) => this.#indexOf(id));
    for (let i = 0; i < size; i++) {
      const [client, peer, metrics] = [i, size + i, 2 * size + i].map((at) => ports[at]) as Ports;
      this.#plans.push(await this.#plan(client, peer, metrics, this.#network?.ports[i] ?? peer));
    }
    const cluster = this.#plans.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',');
    const starts = await Promise.allSettled(
      this.#plans.map((plan) => this.#startMember(plan, cluster, 'new')),
    );
    for (const result of starts) {
      if (result.status === 'fulfilled') this.members.push(result.value);
    }
    for (const result of starts) if (result.status === 'rejected') throw result.reason;
  }

  get endpoints(): string[] {
    return this.members.map(({ endpoint }) => endpoint);
  }

  async leader(timeoutMs = 60_000): Promise<EtcdMember> {
    const deadline = performance.now() + timeoutMs;
    do {
      const claims = await Promise.all(this.members.map((member) => this.#leads(member)));
      const leaders = this.members.filter((_member, i) => claims[i]);
      // A leader that was cut off claims to lead until it notices that.
      if (leaders.length === 1) return leaders[0] as EtcdMember;
      await delay(20);
    } while (performance.now() < deadline);
    throw new Error(`the cluster has no leader after ${timeoutMs} ms`);
  }

  async followers(): Promise<EtcdMember[]> {
    const leader = await this.leader();
    return this.members.filter((member) => member !== leader);
  }

  partition(...members: EtcdMember[]): void {
    if (this.#network === undefined) {
      throw new Error('give startEtcdCluster() the option partitionable: true');
    }
    this.#network.isolate(new Set(members.map((member) => this.members.indexOf(member))));
  }

  heal(): void {
    this.#network?.heal();
  }

  async recover(): Promise<void> {
    this.heal();
    const dead = this.members.filter((member) => !member.running && !this.#stopped.has(member.name));
    for (const member of this.members) member.resume();
    // All at once: in a cluster without a quorum, no member is ready before others are.
    await Promise.all(dead.map((member) => member.restart()));
    await this.leader();
  }

  async newMember(): Promise<NewEtcdMember> {
    if (this.#network !== undefined) throw new Error('a partitionable cluster takes no new members');
    const [client, peer, metrics] = (await freePorts(3)) as Ports;
    const plan = await this.#plan(client, peer, metrics, peer);
    this.#plans.push(plan);
    return {
      name: plan.name,
      peerUrl: plan.peerUrl,
      start: async () => {
        const known = this.members
          .filter(({ name }) => !this.#stopped.has(name))
          .map((member) => `${member.name}=${member.peerUrl}`);
        const cluster = [...known, `${plan.name}=${plan.peerUrl}`].join(',');
        const member = await this.#startMember(plan, cluster, 'existing');
        this.members.push(member);
        return member;
      },
    };
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    // A member that is stopped with SIGTERM would hand its leadership over, and wait for members that are also being
    // stopped.
    for (const member of this.members) member.kill();
    await Promise.all(this.members.map((member) => member.stop()));
    await Promise.all(this.#plans.map(({ proxy }) => proxy?.close()));
    await this.#network?.close();
  }

  async #plan(client: number, peer: number, metrics: number, advertisedPeer: number): Promise<MemberPlan> {
    const name = `m${this.#plans.length}`;
    const proxy = this.#options.clientProxies ? await startTcpProxy({ port: client }) : undefined;
    return { name, client, peer, metrics, peerUrl: loopback(advertisedPeer), proxy };
  }

  async #startMember(plan: MemberPlan, cluster: string, state: 'new' | 'existing'): Promise<EtcdMember> {
    const { name, client, peer, metrics, peerUrl, proxy } = plan;
    const { heartbeatMs = 50, electionMs = 500, extraArgs = [], tls } = this.#options;
    const { certificates } = this;
    const endpoint = loopback(proxy?.port ?? client, certificates === undefined ? 'http' : 'https');
    const started = await startStandardEtcd({
      binary: etcdBinary(),
      timeoutMs: START_MS,
      port: client,
      peerPort: peer,
      ...(certificates && { tls: serverTls(certificates, tls?.requireClientCert) }),
      args: [
        `--name=${name}`,
        `--advertise-client-urls=${endpoint}`,
        `--initial-advertise-peer-urls=${peerUrl}`,
        `--listen-metrics-urls=${loopback(metrics)}`,
        `--initial-cluster=${cluster}`,
        `--initial-cluster-state=${state}`,
        `--initial-cluster-token=${this.#token}`,
        `--heartbeat-interval=${heartbeatMs}`,
        `--election-timeout=${electionMs}`,
        ...extraArgs,
      ],
    });
    const pause = (): void => {
      this.#frozen.add(name);
      started.pause();
    };
    const resume = (): void => {
      this.#frozen.delete(name);
      started.resume();
    };
    const restart = (): Promise<void> => {
      this.#frozen.delete(name);
      return started.restart();
    };
    const stop = (): Promise<void> => {
      this.#stopped.add(name);
      return started.stop();
    };
    const server = withCertificates(started, certificates);
    try {
      const id = /^etcd_server_id\{server_id="([\da-f]+)"\}/m.exec(
        await readMetrics(metrics, METRICS_MS),
      )?.[1];
      if (id === undefined) throw new Error(`${name} does not report its member id`);
      const own = {
        name,
        id: BigInt(`0x${id}`),
        peerUrl,
        proxy,
        endpoint,
        port: Number(new URL(endpoint).port),
      };
      const member: EtcdMember = Object.defineProperties(server as EtcdMember, {
        ...Object.getOwnPropertyDescriptors(own),
        ...Object.getOwnPropertyDescriptors({ pause, resume, restart, stop, [Symbol.asyncDispose]: stop }),
      });
      this.#metrics.set(member, metrics);
      return member;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** Whether the member reports that it leads. False if it reports nothing. */
  async #leads(member: EtcdMember): Promise<boolean> {
    try {
      // A frozen one doesn't answer. Others may take their time, on a busy machine.
      if (!member.running || this.#frozen.has(member.name)) return false;
      const metrics = await readMetrics(this.#metrics.get(member) as number, METRICS_MS);
      return /^etcd_server_is_leader 1$/m.test(metrics);
    } catch {
      return false;
    }
  }

  #indexOf(id: string): number | undefined {
    const index = this.members.findIndex((member) => member.id === BigInt(`0x${id}`));
    return index < 0 ? undefined : index;
  }
}

type Ports = [number, number, number];

function loopback(port: number, scheme = 'http'): string {
  return `${scheme}://127.0.0.1:${port}`;
}

/** Uses a separate connection: one that is kept for reuse can delay Node's end. */
function readMetrics(port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const call = get({ host: '127.0.0.1', port, path: '/metrics', agent: false, signal }, (response) => {
      text(response).then(resolve, reject);
    });
    call.on('error', reject);
  });
}

/** Different ports that were free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer();
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  return ports;
}
