export { type EtcdServerCluster, type StartEtcdClusterOptions, startEtcdCluster } from './cluster.js';
export { type EtcdServer, type EtcdServerTls, type StartEtcdOptions, startEtcd } from './etcd-server.js';
export type { ProcessEnd } from './server-process.js';
export { EtcdStartError } from './start-error.js';
