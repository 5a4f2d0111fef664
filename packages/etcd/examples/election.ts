import { connect, Election, Session } from '@quiesce/etcd';

await using etcd = await connect(process.env.ETCD_ENDPOINTS);
await using one = await Session.create(etcd, { ttlSeconds: 10 });
await using two = await Session.create(etcd, { ttlSeconds: 10 });
const election = new Election(etcd, 'elections/scheduler');

const leadership = await election.campaign(one, 'host-1');
const next = election.campaign(two, 'host-2'); // waits
const resigned = setTimeout(() => leadership.resign(), 50);

for await (const leader of election.observe()) {
  console.log(leader.text(), 'leads');
  if (leader.text() === 'host-2') break;
}
clearTimeout(resigned);
await (await next).resign();
