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

/** The name of a status code, such as `UNAVAILABLE`, or `UNKNOWN` for an unknown number. */
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
  /** The server's own status message. Default: the error's message. */
  readonly details?: string | undefined;
  /** Trailers that came with the status. */
  readonly trailers?: Metadata | undefined;
  /** The failed call, such as `/etcdserverpb.KV/Range`. */
  readonly method?: string | undefined;
  /** False if the request certainly never left this client, or if the error belongs to no request. */
  readonly sent: boolean;
  /** False if a write certainly changed nothing. Default: true if the request was sent and its method can write. */
  readonly mayBeApplied?: boolean | undefined;
  readonly cause?: unknown | undefined;
}

/** Base class of all errors of this client: a gRPC status with a message that says what to do. */
export class EtcdError extends Error {
  /** gRPC status code: see {@link StatusCode}. */
  readonly code: StatusCode;
  /** The status message as the server sent it. */
  readonly details: string;
  /** Trailers that came with the status; empty if there were none. */
  readonly trailers: Metadata;
  /** The failed call, such as `/etcdserverpb.KV/Range`; `undefined` if no call was involved. */
  readonly method: string | undefined;
  /**
   * False if no attempt at the request ever left this client, or if the error belongs to no request, such as a lost
   * lease.
   */
  readonly sent: boolean;
  /**
   * False if the call certainly changed nothing and will change nothing: it only reads, no attempt left this client, or
   * etcd refused each attempt before it applied anything. Then the call can safely be repeated.
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

  /** For `JSON.stringify`: the fields without stack and cause. 64-bit numbers are decimal strings. */
  toJSON(): Record<string, unknown> {
    return { name: this.name, message: this.message, ...(jsonOf({ ...this }) as object) };
  }
}

/**
 * The client was closed, or its process began to exit, before the call ended. `sent` is true for a call that was in
 * flight: a write may have been applied. Code `CANCELLED`.
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
 * No server could be reached, the connection broke, the cluster couldn't serve the call at this time, or this process
 * had no descriptor or thread for it. Code `UNAVAILABLE`, or `UNKNOWN` if etcd gives no code, as for a dropped
 * proposal.
 */
export class UnavailableError extends EtcdError {}

/** etcd, or this client on its behalf, refused a request as malformed. Code `INVALID_ARGUMENT`. */
export class InvalidArgumentError extends EtcdError {}

/** The largest number of this client's frames between a failure and its caller. */
const OUR_FRAMES = 15;

/**
 * Gives an object a stack that reaches its caller.
 *
 * @param below the function whose caller is the first frame.
 * @internal
 */
export function captureDeeply(into: object, below: (...args: never[]) => unknown): void {
  const { stackTraceLimit } = Error;
  // The property is read-only where a program has frozen the built-in objects.
  Reflect.set(Error, 'stackTraceLimit', stackTraceLimit && stackTraceLimit + OUR_FRAMES);
  Error.captureStackTrace(into, below);
  Reflect.set(Error, 'stackTraceLimit', stackTraceLimit);
}

/**
 * The error for an argument that was refused by this client, before anything was sent.
 * @internal
 */
export function invalidArgument(message: string, cause?: unknown): InvalidArgumentError {
  const error = new InvalidArgumentError(message, { code: StatusCode.INVALID_ARGUMENT, sent: false, cause });
  // Without this frame, and with more frames than usual, as some belong to the client.
  captureDeeply(error, invalidArgument);
  return error;
}

/**
 * The request is larger than the client or the server accepts (the server's default is 1.5 MiB). Nothing was applied.
 * Code `RESOURCE_EXHAUSTED`, or `INVALID_ARGUMENT` for requests up to 512 KiB above etcd's limit, which etcd itself
 * refuses.
 */
export class RequestTooLargeError extends EtcdError {}

/** The requested revision has been compacted. Code `OUT_OF_RANGE`. */
export class CompactedError extends EtcdError {
  /** The oldest revision that can still be read; `undefined` if the server didn't state it. */
  readonly compactRevision: bigint | undefined;

  constructor(message: string, init: EtcdErrorInit, compactRevision?: bigint) {
    super(message, init);
    this.compactRevision = compactRevision;
  }
}

/** Identifies a store, and a state of it. */
export interface StoreState {
  /** Id of its cluster; 0 if unknown. */
  readonly clusterId: bigint;
  readonly revision: bigint;
  /** Raft term; 0 if unknown. */
  readonly raftTerm: bigint;
}

/**
 * The store was replaced: it was restored from a backup, or the endpoints lead to a different cluster. Revisions of the
 * old store mean nothing in the new one. Read the keys again and continue from there, as after a compaction. Code
 * `OUT_OF_RANGE`.
 */
export class StoreReplacedError extends EtcdError {
  /** What was seen of the former store, with its highest revision. */
  readonly before: StoreState;
  /** The present store; 0 for what is unknown. */
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
 * A response came from a different cluster. A write was carried out there. There are two cases. If the endpoint belongs
 * to a different cluster than the other endpoints, the client no longer uses it. If the cluster behind all endpoints
 * was replaced, for instance by a restored backup, the client works with the new one from now on. Reads are repeated
 * where possible. Code `FAILED_PRECONDITION`.
 */
export class ClusterMismatchError extends EtcdError {
  readonly endpoint: string;
  /** The cluster that answered. */
  readonly clusterId: bigint;
  /** The client's cluster until this response. */
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
 * A key or a value couldn't be encoded or decoded, by its codec or as JSON. `cause` is what the codec threw. Code
 * `INVALID_ARGUMENT` for a write (nothing was sent), `INTERNAL` for a read.
 */
export class CodecError extends EtcdError {}

/** The server has no such method: it isn't etcd, or it is too old. Code `UNIMPLEMENTED`. */
export class UnimplementedError extends EtcdError {}

/** No member that answers has a leader, so a call with `requireLeader` failed. Code `UNAVAILABLE`. */
export class NoLeaderError extends UnavailableError {}

/**
 * The database has reached its quota, so etcd accepts no more writes. The write that reached the quota was applied.
 * Code `RESOURCE_EXHAUSTED`.
 */
export class NoSpaceError extends EtcdError {}

/** etcd has too many proposals to apply, and refused this one before doing anything. Code `RESOURCE_EXHAUSTED`. */
export class TooManyRequestsError extends EtcdError {}

/**
 * Missing or wrong credentials. Code `UNAUTHENTICATED`. etcd's code is `INVALID_ARGUMENT` for a wrong password, for a
 * missing token and for a token older than a change of users or roles, and `UNKNOWN` for a user without a password.
 */
export class UnauthenticatedError extends EtcdError {}

/**
 * Whether the program's own `auth` function failed. No server has refused anything, and the function may work again
 * later.
 * @internal
 */
export function gaveNoCredentials(error: unknown): boolean {
  return error instanceof UnauthenticatedError && !error.sent;
}

/** The user lacks the permission for this call. Code `PERMISSION_DENIED`. */
export class PermissionDeniedError extends EtcdError {}

/** The lease doesn't exist: it has expired, was revoked, or never existed. Code `NOT_FOUND`. */
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
