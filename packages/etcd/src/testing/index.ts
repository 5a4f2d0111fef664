// testing/ starts real etcds for the tests of programs that use this client, or any other. It is `@quiesce/etcd/testing`, and
// knows nothing of the client.

export { type EtcdServerCluster, type StartEtcdClusterOptions, startEtcdCluster } from './cluster.js';
export { type EtcdServer, type EtcdServerTls, type StartEtcdOptions, startEtcd } from './etcd-server.js';
export type { ProcessEnd } from './server-process.js';
export { EtcdStartError } from './start-error.js';
