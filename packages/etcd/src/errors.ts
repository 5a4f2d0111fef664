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

/** What an {@link EtcdError} is made from, besides its message. */
export interface EtcdErrorInit {
  /** gRPC status code. */
  readonly code: StatusCode;
  /** The server's own status message; default: the error's message. */
  readonly details?: string;
  /** Trailers that came with the status. */
  readonly trailers?: Metadata;
  /** The failed call, such as `/etcdserverpb.KV/Range`. */
  readonly method?: string;
  /** False when the request is known never to have left this client, so that a write may be tried again. */
  readonly sent?: boolean;
  readonly cause?: unknown;
}

/** Base of every error that this client makes: a gRPC status with a message that says what to do. */
export class EtcdError extends Error {
  /** gRPC status code; see {@link StatusCode}. */
  readonly code: StatusCode;
  /** The status message as the server sent it. */
  readonly details: string;
  /** Trailers that came with the status; empty when none did. */
  readonly trailers: Metadata;
  /** The failed call, such as `/etcdserverpb.KV/Range`; `undefined` when no call was involved. */
  readonly method: string | undefined;
  /** False when the request is known never to have left this client. */
  readonly sent: boolean;

  constructor(message: string, init: EtcdErrorInit) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = new.target.name;
    this.code = init.code;
    this.details = init.details ?? message;
    this.trailers = init.trailers ?? noMetadata;
    this.method = init.method;
    this.sent = init.sent ?? true;
  }
}

/**
 * The client was closed, or its process began to exit, before the call ended. `sent` is true for a call that was in
 * flight: a write may have been made. Code `CANCELLED`.
 */
export class ClosedError extends EtcdError {
  constructor(message = 'the etcd client is closed; connect() again to make further calls', sent = false) {
    super(message, { code: StatusCode.CANCELLED, sent });
  }
}

/**
 * For a call that was in flight when its client was closed.
 * @internal
 */
export function closedInFlight(): ClosedError {
  return new ClosedError(
    'the etcd client was closed before the answer came; a write may have been made',
    true,
  );
}

/** The deadline passed before the answer came. The request may still have been applied. Code `DEADLINE_EXCEEDED`. */
export class DeadlineExceededError extends EtcdError {}

/** No server could be reached, or the connection broke. Code `UNAVAILABLE`. */
export class UnavailableError extends EtcdError {}

/** etcd, or this client on its behalf, refused a request as malformed. Code `INVALID_ARGUMENT`. */
export class InvalidArgumentError extends EtcdError {}

/**
 * An argument that was refused here, before anything was sent.
 * @internal
 */
export function invalidArgument(message: string, cause?: unknown): InvalidArgumentError {
  return new InvalidArgumentError(message, { code: StatusCode.INVALID_ARGUMENT, sent: false, cause });
}

/** The request is larger than the client or the server takes (server's default: 1.5 MiB). */
export class RequestTooLargeError extends EtcdError {}

/** The wanted revision has been compacted away. Code `OUT_OF_RANGE`. */
export class CompactedError extends EtcdError {
  /** The oldest revision that can still be read; `undefined` where the server did not tell. */
  readonly compactRevision: bigint | undefined;

  constructor(message: string, init: EtcdErrorInit, compactRevision?: bigint) {
    super(message, init);
    this.compactRevision = compactRevision;
  }
}

/** The server is not etcd, or too old: it knows no such method. Code `UNIMPLEMENTED`. */
export class UnimplementedError extends EtcdError {}

/** The cluster has no leader, as the member knows: a `requireLeader` call failed at once. Code `UNAVAILABLE`. */
export class NoLeaderError extends UnavailableError {}

/** The database has reached its quota: etcd takes no more writes. Code `RESOURCE_EXHAUSTED`. */
export class NoSpaceError extends EtcdError {}

/** etcd is behind with applying what it has taken, and refused this before doing anything. Code `RESOURCE_EXHAUSTED`. */
export class TooManyRequestsError extends EtcdError {}

/**
 * Missing or wrong credentials. Code `UNAUTHENTICATED`; `INVALID_ARGUMENT` where etcd says so of a wrong password
 * and of a missing token.
 */
export class UnauthenticatedError extends EtcdError {}

/** The user may not do that. Code `PERMISSION_DENIED`. */
export class PermissionDeniedError extends EtcdError {}

/** There is no such lease: it has expired, or was revoked, or never was. Code `NOT_FOUND`. */
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

/** What etcd's words stand for where their code alone says too little, and what to do about it. */
interface Told {
  readonly type?: ErrorClass;
  readonly hint?: string;
}

const mayBeApplied = 'it may still be applied: read before writing again';

// etcd's own words, from api/v3rpc/rpctypes/error.go.
const told: Readonly<Record<string, Told>> = {
  'etcdserver: mvcc: required revision has been compacted': { type: CompactedError },
  'etcdserver: requested lease not found': {
    type: LeaseNotFoundError,
    hint: 'it has expired, or was revoked, or never was',
  },
  'etcdserver: request is too large': {
    type: RequestTooLargeError,
    hint: "split the request, or raise the server's --max-request-bytes",
  },
  'etcdserver: mvcc: database space exceeded': {
    type: NoSpaceError,
    hint: 'compact, defragment, then disarm the alarm; or raise --quota-backend-bytes',
  },
  'etcdserver: too many requests': {
    type: TooManyRequestsError,
    hint: 'nothing was done; slow down and try again',
  },
  'etcdserver: no leader': {
    type: NoLeaderError,
    hint: 'the member is cut off from the majority, or an election is under way',
  },
  'etcdserver: authentication failed, invalid user ID or password': {
    type: UnauthenticatedError,
    hint: 'check auth.username and auth.password',
  },
  'etcdserver: user name is empty': {
    type: UnauthenticatedError,
    hint: 'the server has authentication on; give connect() the option auth',
  },
  'etcdserver: invalid auth token': {
    type: UnauthenticatedError,
    hint: 'with the option auth of connect() another token is fetched by itself',
  },
  'etcdserver: request timed out': { hint: mayBeApplied },
  'etcdserver: request timed out, possibly due to previous leader failure': { hint: mayBeApplied },
  'etcdserver: request timed out, possibly due to connection lost': { hint: mayBeApplied },
  'etcdserver: too many operations in txn request': {
    hint: "split the transaction, or raise the server's --max-txn-ops (128 by default, for each list of operations)",
  },
  'etcdserver: duplicate key given in txn request': {
    hint: 'a transaction writes each key once: by one put, or by one delete of a key or range',
  },
  'etcdserver: key not found': { hint: 'ignoreValue and ignoreLease need a key that exists' },
  'etcdserver: value is provided': { hint: 'with ignoreValue the value must be empty' },
  'etcdserver: lease is provided': { hint: 'ignoreLease and lease exclude each other' },
  'etcdserver: mvcc: required revision is a future revision': {
    hint: 'the store has not come to that revision yet; take one from a result of this cluster',
  },
};

/** The typed error for a failed call's status. */
export function statusError(init: EtcdErrorInit & { readonly details: string }): EtcdError {
  const { code, details } = init;
  const { type, hint } = (Object.hasOwn(told, details) && told[details]) || {};
  const message = `${statusName(code)}: ${details || 'no details given'}${hint === undefined ? '' : `; ${hint}`}`;
  return type === undefined ? errorOfCode(message, init) : new type(message, init);
}

/**
 * An error of the class that stands for its code.
 * @internal
 */
export function errorOfCode(message: string, init: EtcdErrorInit): EtcdError {
  return new (classes[init.code] ?? EtcdError)(message, init);
}
