import { connect } from '@quiesce/etcd';
import { startEtcd } from '@quiesce/etcd/testing';

await using server = await startEtcd();
await using etcd = await connect(server.endpoint);

await etcd.put('config/colour', 'blue');

// As a crash would end it; its data stays.
server.kill();
await server.exited;
await server.restart();
console.log((await etcd.get('config/colour'))?.text());
