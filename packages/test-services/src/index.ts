export { type Certificates, createCertificates } from './certificates.js';
export {
  type EtcdOptions,
  type EtcdServer,
  type EtcdServiceOptions,
  etcdService,
  startEtcd,
} from './etcd.js';
export { etcdBinary, etcdutlBinary } from './etcd-binary.js';
export { startTcpProxy, type TcpProxy } from './tcp-proxy.js';
