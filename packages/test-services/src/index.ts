export {
  clientv3Binary,
  etcdBinary,
  etcdutlBinary,
  pythonBinaries,
  runtimeBinaries,
  runtimeCommand,
  valkeyBinary,
} from './binaries.js';
export { type Certificates, createCertificates } from './certificates.js';
export {
  type EtcdOptions,
  type EtcdServer,
  type EtcdServiceOptions,
  etcdService,
  startEtcd,
} from './etcd.js';
export {
  type EtcdCluster,
  type EtcdClusterOptions,
  type EtcdMember,
  type NewEtcdMember,
  startEtcdCluster,
} from './etcd-cluster.js';
export { median } from './median.js';
export {
  type Provided,
  type PythonEnvironment,
  provided,
  type RuntimeName,
  runtimeNames,
} from './provided.js';
export { type Random, randomFrom, uniformFrom } from './random.js';
export { startTcpProxy, type TcpProxy } from './tcp-proxy.js';
export { valkeyService } from './valkey.js';
