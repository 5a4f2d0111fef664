// src/ has the entry points, this one and opentelemetry.ts, and the errors. Its folders are layers, from the top:
// connect; naming; concurrency, mirror, admin; views; watch, lease; kv; rpc; transport; util. A module imports from its
// own folder, from the layers below it, and from the errors.

export type { Auth, AuthStatus, Permission, PermissionType, UserAddOptions } from './admin/auth.js';
export type {
  Cluster,
  Member,
  MemberAddOptions,
  MemberAddResult,
  MemberListOptions,
} from './admin/cluster.js';
export type {
  Alarm,
  AlarmType,
  HashKVOptions,
  HashKVResult,
  Maintenance,
  MemberStatus,
} from './admin/maintenance.js';
export {
  CorruptSnapshotError,
  type Snapshot,
  type SnapshotInfo,
  type SnapshotOptions,
} from './admin/snapshot.js';
export { Barrier } from './concurrency/barrier.js';
export { DoubleBarrier } from './concurrency/double-barrier.js';
export { Election, type Leadership, type ObserveOptions } from './concurrency/election.js';
export { type KeyLockOptions, tryLockKey } from './concurrency/key-lock.js';
export { type Lock, Mutex } from './concurrency/mutex.js';
export {
  type AcquireOptions,
  type OwnedKey,
  OwnershipLostError,
  type OwnershipLostReason,
} from './concurrency/owned-key.js';
export { PriorityQueue } from './concurrency/queues/priority-queue.js';
export { Queue } from './concurrency/queues/queue.js';
export type { KeptKey } from './concurrency/resume.js';
export { RwMutex } from './concurrency/rw-mutex.js';
export { Session, type SessionOptions } from './concurrency/session.js';
export type { EtcdClient } from './connect/client.js';
export { type ConnectOptions, connect } from './connect/connect.js';
export type { SrvOptions, SrvRecord, SrvResolver } from './connect/srv.js';
export {
  ClosedError,
  ClusterMismatchError,
  CodecError,
  CompactedError,
  DeadlineExceededError,
  EtcdError,
  type EtcdErrorInit,
  InvalidArgumentError,
  LeaseNotFoundError,
  type Metadata,
  NoLeaderError,
  NoSpaceError,
  PermissionDeniedError,
  RequestTooLargeError,
  StatusCode,
  StoreReplacedError,
  type StoreState,
  statusName,
  TooManyRequestsError,
  UnauthenticatedError,
  UnavailableError,
  UnimplementedError,
} from './errors.js';
export type { JsonBytes } from './json.js';
export {
  bytes,
  type Codec,
  json,
  type KeyValueCodec,
  type TypedKeyValue,
  utf8,
} from './kv/codec.js';
export { allKeys, type Bytes, fromKey, type KeyRange, type Keys, keyRange, prefix } from './kv/key-range.js';
export type {
  CompactOptions,
  CompactResult,
  DeleteOptions,
  DeleteResult,
  OpOptions,
  PutOptions,
  PutResult,
  RangeOptions,
  RangeResult,
  ReadOptions,
  ResponseHeader,
} from './kv/kv.js';
export type { PageOptions, RangePage } from './kv/range-pages.js';
export {
  type Stm,
  StmConflictError,
  type StmIsolation,
  type StmOptions,
  type StmPutOptions,
  type StmResult,
} from './kv/stm.js';
export {
  type Compare,
  type CompareNumber,
  type CompareOperator,
  compare,
  type DeleteOp,
  type GetOp,
  type NoOtherFields,
  type NumberCompare,
  type Op,
  type OpResult,
  type OpResults,
  op,
  type PutOp,
  type RangeOp,
  type Txn,
  type TxnBranch,
  type TxnOp,
  type TxnResult,
  type ValueCompare,
} from './kv/txn.js';
export type { LeaseKeepAlive, LeaseRenewal } from './lease/keep-alive.js';
export type {
  GrantOptions,
  GrantResult,
  LeaseClient,
  TimeToLiveOptions,
  TimeToLiveResult,
} from './lease/lease-client.js';
export { LeaseLostError, type LeaseLostReason } from './lease/lease-lost.js';
export { Cache, type CacheEvents } from './mirror/cache.js';
export { Mirror, type MirrorChange, type MirrorOptions } from './mirror/mirror.js';
export type { WaitOptions } from './mirror/revision-waiters.js';
export {
  type AddEndpointOptions,
  type Endpoint,
  type EndpointChange,
  EndpointManager,
  type EndpointsState,
  type EndpointUpdate,
  type WatchEndpointsOptions,
} from './naming/endpoints.js';
export type { ConnectionEvent, EndpointState, EndpointStatus } from './rpc/balancer.js';
export { type CallTrace, channelNames, type RetryTrace } from './rpc/channels.js';
export type { KeyValue, KeyValueJson } from './rpc/messages/key-value.js';
export type { RpcMethod, RpcStream, RpcStreamOptions } from './rpc/raw-call.js';
export type { RetryOptions } from './rpc/retry.js';
export type { CallControl } from './rpc/rpc.js';
export type { AuthOptions, Credentials, FixedToken } from './rpc/token.js';
export type { TransportChoice } from './transport/choose.js';
export type { KeepAliveOptions, TlsOptions } from './transport/transport.js';
export type { Int64 } from './util/int64.js';
export type { Keyspace } from './views/keyspace.js';
export type { Namespace } from './views/namespace.js';
export { OrderedReads } from './views/ordered-reads.js';
export { WatchCancelledError } from './watch/cancelled.js';
export type { WatchBatch, WatchEvent } from './watch/event.js';
export type { WatchOptions } from './watch/request.js';
export type { Watch, WatchEvents } from './watch/watch.js';
