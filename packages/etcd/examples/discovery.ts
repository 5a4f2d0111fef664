import { Resolver } from 'node:dns/promises';
import { connect } from '@quiesce/etcd';

const resolver = new Resolver();
if (process.env.DNS_SERVER) resolver.setServers([process.env.DNS_SERVER]);

// `srv: 'example.com'` alone asks the DNS servers of this machine.
await using etcd = await connect({ srv: { domain: 'example.com', resolver } });
console.log(etcd.endpoints.map(({ endpoint }) => endpoint.replace(/\d+$/, 'PORT')));
