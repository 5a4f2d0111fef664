// The cluster and all proxies, in a process of their own, so that the clients' work can't hold up what the proxies do.
// Its parent commands it, and it ends with its parent.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type EtcdMember, startEtcdCluster } from '@quiesce/test-services';
import { FaultProxy, type Flow } from './fault-proxy.js';

/** Commands that the parent may send. */
export type Order =
  | {
      readonly do: 'kill' | 'terminate' | 'restart' | 'freeze' | 'resume' | 'cut' | 'refuse' | 'listen';
      readonly member: number;
    }
  | { readonly do: 'flow'; readonly member: number; readonly flow: Flow }
  | { readonly do: 'partition'; readonly members: readonly number[] }
  | { readonly do: 'heal' | 'leader' | 'recover' | 'stop' };

/** Where the cluster is. */
export interface Started {
  readonly endpoints: readonly string[];
  /** The members' own ports, without a proxy. */
  readonly direct: readonly string[];
  readonly ids: readonly bigint[];
  readonly ca: string | undefined;
  readonly caFile: string | undefined;
}

const [tls, tokens] = process.argv.slice(2);
const cluster = await startEtcdCluster({
  partitionable: true,
  heartbeatMs: 100,
  electionMs: 1_000,
  ...(tls === 'tls' && { tls: {} }),
  extraArgs: tokens === 'tokens' ? ['--auth-token-ttl=3'] : [],
});
process.on('disconnect', () => process.exit());
const proxies = await Promise.all(
  cluster.members.map((member) => FaultProxy.start(Number(new URL(member.endpoint).port))),
);

async function obey(order: Order): Promise<number | undefined> {
  switch (order.do) {
    case 'heal':
      cluster.heal();
      return;
    case 'leader':
      return cluster.members.indexOf(await cluster.leader(30_000));
    case 'recover':
      for (const proxy of proxies) {
        proxy.flow = 'both';
        await proxy.listen();
      }
      await cluster.recover();
      return;
    case 'stop':
      for (const proxy of proxies) proxy.refuse();
      await cluster.stop();
      return;
    case 'partition':
      cluster.partition(...order.members.map((index) => cluster.members[index] as EtcdMember));
      return;
  }
  const member = cluster.members[order.member] as EtcdMember;
  const proxy = proxies[order.member] as FaultProxy;
  switch (order.do) {
    case 'kill':
      member.kill();
      await member.exited;
      return;
    case 'terminate':
      member.kill('SIGTERM');
      await member.exited;
      return;
    case 'restart':
      await member.restart();
      return;
    case 'freeze':
      member.pause();
      return;
    case 'resume':
      member.resume();
      return;
    case 'cut':
      proxy.cut();
      return;
    case 'refuse':
      proxy.refuse();
      return;
    case 'listen':
      await proxy.listen();
      return;
    case 'flow':
      proxy.flow = order.flow;
  }
}

process.on('message', ({ id, order }: { id: number; order: Order }) => {
  obey(order).then(
    (result) => process.send?.({ id, result }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  );
});

const ca = cluster.certificates?.ca;
const caFile = ca && join((cluster.members[0] as EtcdMember).dir, 'nemesis-ca.crt');
if (ca && caFile) writeFileSync(caFile, ca);
const started: Started = {
  endpoints: proxies.map(({ port }) => `${tls === 'tls' ? 'https' : 'http'}://127.0.0.1:${port}`),
  direct: cluster.endpoints,
  ids: cluster.members.map(({ id }) => id),
  ca,
  caFile,
};
process.send?.({ started });
