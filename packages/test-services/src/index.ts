export { type Certificates, createCertificates } from './certificates.js';
export {
  type EtcdOptions,
  type EtcdServer,
  type EtcdServiceOptions,
  etcdService,
  startEtcd,
} from './etcd.js';
export { clientv3Binary, etcdBinary, etcdutlBinary } from './etcd-binary.js';
export {
  type EtcdCluster,
  type EtcdClusterOptions,
  type EtcdMember,
  type NewEtcdMember,
  startEtcdCluster,
} from './etcd-cluster.js';
export { pythonBinaries } from './python-binaries.js';
export { type Random, randomFrom, uniformFrom } from './random.js';
export { type RuntimeName, runtimeBinaries, runtimeCommand, runtimeNames } from './runtime-binaries.js';
export { isStopped } from './stopped.js';
export { startTcpProxy, type TcpProxy } from './tcp-proxy.js';
export { valkeyBinary, valkeyService } from './valkey.js';
