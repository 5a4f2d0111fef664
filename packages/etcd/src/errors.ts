import { jsonOf } from './json.js';

/**
 * gRPC status codes, as in https://grpc.io/docs/guides/status-codes/.
 * etcd answers every failed call with one of them.
 */
export const StatusCode = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** One of the numbers in {@link StatusCode}. */
export type StatusCode = (typeof StatusCode)[keyof typeof StatusCode];

/** The name of a status code, such as `UNAVAILABLE`; an unknown number is named `UNKNOWN`. */
export function statusName(code: number): keyof typeof StatusCode {
  for (const [name, value] of Object.entries(StatusCode)) {
    if (value === code) return name as keyof typeof StatusCode;
  }
  return 'UNKNOWN';
}

/** gRPC metadata: header or trailer names, in lower case, with their values in order. */
export type Metadata = Readonly<Record<string, readonly string[]>>;

/** Metadata of a call that carried none. */
export const noMetadata: Metadata = Object.freeze({});

/** The methods of etcd that never change anything. */
const readOnly: ReadonlySet<string> = new Set([
  '/etcdserverpb.KV/Range',
  '/etcdserverpb.Watch/Watch',
  '/etcdserverpb.Lease/LeaseTimeToLive',
  '/etcdserverpb.Lease/LeaseLeases',
  '/etcdserverpb.Cluster/MemberList',
  '/etcdserverpb.Maintenance/Status',
  '/etcdserverpb.Maintenance/Hash',
  '/etcdserverpb.Maintenance/HashKV',
  '/etcdserverpb.Maintenance/Snapshot',
  '/etcdserverpb.Auth/AuthStatus',
  '/etcdserverpb.Auth/Authenticate',
  '/etcdserverpb.Auth/UserGet',
  '/etcdserverpb.Auth/UserList',
  '/etcdserverpb.Auth/RoleGet',
  '/etcdserverpb.Auth/RoleList',
]);

/** What an {@link EtcdError} is made from, besides its message. */
export interface EtcdErrorInit {
  /** gRPC status code. */
  readonly code: StatusCode;
  /** The server's own status message; default: the error's message. */
  readonly details?: string | undefined;
  /** Trailers that came with the status. */
  readonly trailers?: Metadata | undefined;
  /** The failed call, such as `/etcdserverpb.KV/Range`. */
  readonly method?: string | undefined;
  /** False when the request is known never to have left this client, and when the error belongs to no request. */
  readonly sent: boolean;
  /** False when a write is known to have changed nothing; default: whether it was sent, and its method can write. */
  readonly mayBeApplied?: boolean | undefined;
  readonly cause?: unknown | undefined;
}

/** Base class of all errors of this client: a gRPC status with a message that says what to do. */
export class EtcdError extends Error {
  /** gRPC status code; see {@link StatusCode}. */
  readonly code: StatusCode;
  /** The status message as the server sent it. */
  readonly details: string;
  /** Trailers that came with the status; empty when none did. */
  readonly trailers: Metadata;
  /** The failed call, such as `/etcdserverpb.KV/Range`; `undefined` when no call was involved. */
  readonly method: string | undefined;
  /**
   * False when no attempt at the request ever left this client, and for an error that belongs to no request, such as a
   * lost lease.
   */
  readonly sent: boolean;
  /**
   * False when it is known that nothing was changed and nothing will be: the call only reads, no attempt left this
   * client, or etcd refused each before it applied anything. Then the call can safely be made again.
   */
  readonly mayBeApplied: boolean;

  constructor(message: string, init: EtcdErrorInit) {
    if (typeof init !== 'object' || init === null) {
      throw invalidArgument(`new ${new.target.name}() takes a message and { code, sent }`);
    }
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = new.target.name;
    this.code = init.code;
    this.details = init.details ?? message;
    this.trailers = init.trailers ?? noMetadata;
    this.method = init.method;
    this.sent = init.sent;
    this.mayBeApplied = init.mayBeApplied ?? (init.sent && !(init.method && readOnly.has(init.method)));
  }

  /** For `JSON.stringify`: the fields, without stack and cause; 64-bit numbers as decimal strings. */
  toJSON(): Record<string, unknown> {
    return { name: this.name, message: this.message, ...(jsonOf({ ...this }) as object) };
  }
}

/**
 * The client was closed, or its process began to exit, before the call ended. `sent` is true for a call that was in
 * flight: a write may have been made. Code `CANCELLED`.
 */
export class ClosedError extends EtcdError {
  constructor(
    message = 'the etcd client is closed; connect() again to make further calls',
    sent = false,
    mayBeApplied = sent,
    method?: string,
  ) {
    super(message, { code: StatusCode.CANCELLED, sent, mayBeApplied, method });
  }
}

/**
 * For a call that was in flight when its client was closed.
 * @internal
 */
export function closedInFlight(
  method: string | undefined,
  mayBeApplied = !(method && readOnly.has(method)),
): ClosedError {
  const written = mayBeApplied ? '; a write may have been made' : '';
  return new ClosedError(
    `the etcd client was closed before the answer came${written}`,
    true,
    mayBeApplied,
    method,
  );
}

/** The deadline passed before the answer came. The request may still have been applied. Code `DEADLINE_EXCEEDED`. */
export class DeadlineExceededError extends EtcdError {}

/**
 * No server could be reached, the connection broke, the cluster could not do it now, or this process had no descriptor or
 * thread for it. Code `UNAVAILABLE`; `UNKNOWN` where etcd gives none, as for a proposal that was dropped.
 */
export class UnavailableError extends EtcdError {}

/** etcd, or this client on its behalf, refused a request as malformed. Code `INVALID_ARGUMENT`. */
export class InvalidArgumentError extends EtcdError {}

/**
 * An argument that was refused here, before anything was sent.
 * @internal
 */
export function invalidArgument(message: string, cause?: unknown): InvalidArgumentError {
  const error = new InvalidArgumentError(message, { code: StatusCode.INVALID_ARGUMENT, sent: false, cause });
  // Frames are few: this one would take the place of one of the caller's.
  Error.captureStackTrace(error, invalidArgument);
  return error;
}

/**
 * The request is larger than the client or the server takes (server's default: 1.5 MiB). Nothing was applied. Code
 * `RESOURCE_EXHAUSTED`; `INVALID_ARGUMENT` where etcd says so itself, which it does in the 512 KiB above its own limit.
 */
export class RequestTooLargeError extends EtcdError {}

/** The wanted revision has been compacted away. Code `OUT_OF_RANGE`. */
export class CompactedError extends EtcdError {
  /** The oldest revision that can still be read; `undefined` where the server did not state it. */
  readonly compactRevision: bigint | undefined;

  constructor(message: string, init: EtcdErrorInit, compactRevision?: bigint) {
    super(message, init);
    this.compactRevision = compactRevision;
  }
}

/** Identifies a store, and a state of it. */
export interface StoreState {
  /** Its cluster; 0 where that isn't known. */
  readonly clusterId: bigint;
  readonly revision: bigint;
  /** Raft term; 0 where that isn't known. */
  readonly raftTerm: bigint;
}

/**
 * The store was replaced, so remembered revisions no longer fit it: it was restored from a backup, or its endpoints
 * lead to another cluster. Read the keys again and go on from there, as after a compaction. Code `OUT_OF_RANGE`.
 */
export class StoreReplacedError extends EtcdError {
  /** What was seen of the former store: its highest revision. */
  readonly before: StoreState;
  /** The store that is there now; 0 for what isn't known. */
  readonly now: StoreState;

  constructor(
    before: StoreState,
    now: StoreState,
    init: Partial<EtcdErrorInit> & { readonly what?: string } = {},
  ) {
    const { what = 'read the keys again, and continue from there', ...rest } = init;
    super(`OUT_OF_RANGE: the store was replaced: ${difference(before, now)}; ${what}`, {
      code: StatusCode.OUT_OF_RANGE,
      sent: false,
      ...rest,
    });
    this.before = before;
    this.now = now;
  }
}

function difference(before: StoreState, now: StoreState): string {
  if (before.clusterId !== now.clusterId && before.clusterId !== 0n && now.clusterId !== 0n) {
    return `the endpoints now lead to cluster ${clusterName(now.clusterId)}; before, they led to ${clusterName(before.clusterId)}`;
  }
  if (now.revision === 0n)
    return `it has not reached revision ${before.revision}, which it had reached before`;
  if (now.revision < before.revision) {
    return `its revision went back from ${before.revision} to ${now.revision}, so it was restored from a backup`;
  }
  return `its raft term went back from ${before.raftTerm} to ${now.raftTerm}, so it was restored from a backup`;
}

/** A cluster's id as etcdctl prints it. */
function clusterName(id: bigint): string {
  return id.toString(16);
}

/**
 * A response came from a different cluster from the client's. A write was carried out there. There are two cases. The
 * endpoint belongs to a different cluster from the other endpoints: it is left alone. Or the cluster behind the endpoints
 * was replaced, for instance by a restored backup: the client works with the new one from now on. Reads are made again
 * where they can be. Code `FAILED_PRECONDITION`.
 */
export class ClusterMismatchError extends EtcdError {
  readonly endpoint: string;
  /** The cluster that answered. */
  readonly clusterId: bigint;
  /** The client's cluster until then. */
  readonly expectedClusterId: bigint;
  /** Whether the client works with the cluster that answered from now on. */
  readonly adopted: boolean;

  constructor(
    endpoint: string,
    ids: { readonly clusterId: bigint; readonly expectedClusterId: bigint; readonly adopted: boolean },
  ) {
    const { clusterId, expectedClusterId, adopted } = ids;
    const advice = adopted
      ? 'the client uses that cluster from now on, which was restored with a new id, or replaced the other; read again what you rely on, and check that no write is in the wrong place'
      : 'the client stops using the endpoint; give a client endpoints of one cluster only; a write that fails like this was made in the other cluster';
    super(
      `FAILED_PRECONDITION: ${endpoint} answered for cluster ${clusterName(clusterId)}, but the client uses ${clusterName(expectedClusterId)}; ${advice}`,
      { code: StatusCode.FAILED_PRECONDITION, sent: true },
    );
    this.endpoint = endpoint;
    this.clusterId = clusterId;
    this.expectedClusterId = expectedClusterId;
    this.adopted = adopted;
  }
}

/**
 * Whether changes can no longer be followed from a revision, and the keys have to be read again.
 * @internal
 */
export function isHistoryLost(error: unknown): error is CompactedError | StoreReplacedError {
  return error instanceof CompactedError || error instanceof StoreReplacedError;
}

/**
 * A key or a value could not be encoded or decoded, by its codec or as JSON; `cause` is what was thrown then. Code
 * `INVALID_ARGUMENT` for a write (nothing was sent), `INTERNAL` for a read.
 */
export class CodecError extends EtcdError {}

/** The server is not etcd, or too old: it knows no such method. Code `UNIMPLEMENTED`. */
export class UnimplementedError extends EtcdError {}

/** The member knows of no leader: a call with `requireLeader` failed at once. Code `UNAVAILABLE`. */
export class NoLeaderError extends UnavailableError {}

/**
 * The database has reached its quota: etcd takes no more writes. The write that used up the last of it was applied.
 * Code `RESOURCE_EXHAUSTED`.
 */
export class NoSpaceError extends EtcdError {}

/** etcd has a backlog of proposals to apply, and refused this one before doing anything. Code `RESOURCE_EXHAUSTED`. */
export class TooManyRequestsError extends EtcdError {}

/**
 * Missing or wrong credentials. Code `UNAUTHENTICATED`; `INVALID_ARGUMENT` where etcd says so of a wrong password,
 * of a missing token and of one older than a change of users or roles; `UNKNOWN` of a user without a password.
 */
export class UnauthenticatedError extends EtcdError {}

/**
 * Whether the program's own function `auth` failed. No server has refused anything, and the function may work again later.
 * @internal
 */
export function gaveNoCredentials(error: unknown): boolean {
  return error instanceof UnauthenticatedError && !error.sent;
}

/** The user may not do that. Code `PERMISSION_DENIED`. */
export class PermissionDeniedError extends EtcdError {}

/** There is no such lease: it has expired, was revoked, or never existed. Code `NOT_FOUND`. */
export class LeaseNotFoundError extends EtcdError {}

type ErrorClass = new (message: string, init: EtcdErrorInit) => EtcdError;

const classes: Partial<Record<StatusCode, ErrorClass>> = {
  [StatusCode.INVALID_ARGUMENT]: InvalidArgumentError,
  [StatusCode.DEADLINE_EXCEEDED]: DeadlineExceededError,
  [StatusCode.UNAVAILABLE]: UnavailableError,
  [StatusCode.UNIMPLEMENTED]: UnimplementedError,
  [StatusCode.UNAUTHENTICATED]: UnauthenticatedError,
  [StatusCode.PERMISSION_DENIED]: PermissionDeniedError,
};

/**
 * Makes an error of the class for its code.
 * @internal
 */
export function errorOfCode(message: string, init: EtcdErrorInit): EtcdError {
  return new (classes[init.code] ?? EtcdError)(message, init);
}
