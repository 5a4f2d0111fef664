import {
  CompactedError,
  EtcdError,
  type EtcdErrorInit,
  errorOfCode,
  LeaseNotFoundError,
  NoLeaderError,
  NoSpaceError,
  RequestTooLargeError,
  StatusCode,
  statusName,
  TooManyRequestsError,
  UnauthenticatedError,
  UnavailableError,
} from './errors.js';

type ErrorClass = new (message: string, init: EtcdErrorInit) => EtcdError;

/** The meaning of one of etcd's errors. */
interface ServerError {
  /** The code that it is sent with. */
  readonly code: StatusCode;
  /** Its class, where it differs from the class for the code. */
  readonly type?: ErrorClass;
  /** What to do about it, where etcd's own message doesn't say it. */
  readonly hint?: string;
  /** Whether a write that ends with this error may have been applied, or may still be applied. */
  readonly write: 'not applied' | 'may be applied';
  /**
   * Set where nothing was proposed, and the same request may succeed at the same endpoint after a wait, or at another
   * one.
   */
  readonly again?: 'here' | 'elsewhere';
  /** Set where it refuses the token of the call, and another token may be accepted. Nothing was applied. */
  readonly tokenRefused?: true;
}

const {
  INVALID_ARGUMENT,
  FAILED_PRECONDITION,
  NOT_FOUND,
  OUT_OF_RANGE,
  UNAVAILABLE,
  UNIMPLEMENTED,
  UNKNOWN,
} = StatusCode;

const MAY_BE_APPLIED = 'it may still be applied: read before writing again';
const refused = (code: StatusCode, hint?: string, type?: ErrorClass): ServerError => ({
  code,
  write: 'not applied',
  ...(hint !== undefined && { hint }),
  ...(type !== undefined && { type }),
});
const uncertain = (code: StatusCode, hint: string = MAY_BE_APPLIED, type?: ErrorClass): ServerError => ({
  code,
  write: 'may be applied',
  hint,
  ...(type !== undefined && { type }),
});

/**
 * All errors for which etcd's server has its own messages: those of api/v3rpc/rpctypes/error.go, and those that it
 * passes on without a code, so that they arrive as UNKNOWN (server/etcdserver/errors, auth, lease, raft).
 */
const serverErrors = {
  // Requests that are malformed, or ask for something that doesn't exist. etcd checks a whole transaction before it
  // applies any of it.
  'etcdserver: key is not provided': refused(INVALID_ARGUMENT, 'a key has at least one byte'),
  'etcdserver: key not found': refused(
    INVALID_ARGUMENT,
    'ignoreValue and ignoreLease need a key that exists',
  ),
  'etcdserver: value is provided': refused(INVALID_ARGUMENT, 'with ignoreValue the value must be empty'),
  'etcdserver: lease is provided': refused(INVALID_ARGUMENT, "ignoreLease and lease can't be combined"),
  'etcdserver: too many operations in txn request': refused(
    INVALID_ARGUMENT,
    "split the transaction, or raise the server's --max-txn-ops (128 by default, for each list of operations)",
  ),
  'etcdserver: duplicate key given in txn request': refused(
    INVALID_ARGUMENT,
    'a transaction writes each key once: by one put, or by one delete of a key or range',
  ),
  'etcdserver: invalid client api version': refused(INVALID_ARGUMENT, 'the server wants a newer client'),
  'etcdserver: invalid sort option': refused(INVALID_ARGUMENT),
  'etcdserver: request is too large': refused(
    INVALID_ARGUMENT,
    "split the request, or raise the server's --max-request-bytes",
    RequestTooLargeError,
  ),
  'etcdserver: mvcc: required revision has been compacted': refused(
    OUT_OF_RANGE,
    'the store was compacted beyond that revision; use a later one, or for a read none',
    CompactedError,
  ),
  'etcdserver: mvcc: required revision is a future revision': refused(
    OUT_OF_RANGE,
    'the store has not reached that revision yet; use one from a result of this cluster',
  ),

  // The limits of the cluster. When a write uses up the quota, etcd applies it, and then reports that there was no
  // space (quotaApplierV3).
  'etcdserver: mvcc: database space exceeded': uncertain(
    StatusCode.RESOURCE_EXHAUSTED,
    'compact, defragment, then disarm the alarm, or raise --quota-backend-bytes; the write may have been applied in the last free space',
    NoSpaceError,
  ),
  'etcdserver: too many requests': refused(
    StatusCode.RESOURCE_EXHAUSTED,
    'nothing was done; slow down and try again',
    TooManyRequestsError,
  ),

  // Leases and watches.
  'etcdserver: requested lease not found': refused(
    NOT_FOUND,
    'it expired, was revoked, or never existed',
    LeaseNotFoundError,
  ),
  'etcdserver: lease already exists': refused(
    FAILED_PRECONDITION,
    'grant it without an id, or with another one',
  ),
  'etcdserver: too large lease TTL': refused(OUT_OF_RANGE, 'the longest TTL is 9,000,000,000 s'),
  'not a primary lessor': refused(UNKNOWN, 'the member is no longer the leader; try again'),
  'waiting for node to catch up its applied index has timed out': refused(
    UNKNOWN,
    'the leader is behind; try again',
  ),
  'etcdserver: watch canceled': refused(StatusCode.CANCELLED),

  // Members.
  'etcdserver: member ID already exist': refused(FAILED_PRECONDITION),
  'etcdserver: Peer URLs already exists': refused(FAILED_PRECONDITION),
  'etcdserver: re-configuration failed due to not enough started members': refused(
    FAILED_PRECONDITION,
    'start the members that were added before, or remove them',
  ),
  'etcdserver: given member URLs are invalid': refused(INVALID_ARGUMENT),
  'etcdserver: member not found': refused(NOT_FOUND),
  'etcdserver: can only promote a learner member': refused(FAILED_PRECONDITION),
  'etcdserver: can only promote a learner member which is in sync with leader': refused(
    FAILED_PRECONDITION,
    'try again once it has caught up',
  ),
  'etcdserver: too many learner members in cluster': refused(
    FAILED_PRECONDITION,
    'promote or remove one, or raise --max-learners',
  ),
  'etcdserver: cluster ID mismatch': refused(FAILED_PRECONDITION),
  'etcdserver: bad leader transferee': refused(
    FAILED_PRECONDITION,
    'it must be a voting member of the cluster',
  ),
  'etcdserver: not leader': refused(FAILED_PRECONDITION, 'send the request to the leader'),
  'etcdserver: request timed out, leader transfer took too long': uncertain(
    UNKNOWN,
    'the leadership may still move: see maintenance.status()',
  ),
  'etcdserver: rpc not supported for learner': {
    ...refused(FAILED_PRECONDITION, 'use the endpoint of a voting member'),
    again: 'elsewhere',
  },
  'etcdserver: not capable': refused(
    FAILED_PRECONDITION,
    'the version of the cluster is too old, or not known yet',
  ),
  'etcdserver: wrong downgrade target version format': refused(INVALID_ARGUMENT),
  'etcdserver: invalid downgrade target version': refused(INVALID_ARGUMENT),
  'etcdserver: cluster version not found during downgrade': refused(FAILED_PRECONDITION, 'try again'),
  'etcdserver: cluster has a downgrade job in progress': refused(FAILED_PRECONDITION),
  'etcdserver: no inflight downgrade job': refused(FAILED_PRECONDITION),

  // Users and roles. etcd checks the permission again before it applies a request.
  'etcdserver: root user does not exist': refused(FAILED_PRECONDITION, 'add the user root first'),
  'etcdserver: root user does not have root role': refused(
    FAILED_PRECONDITION,
    'grant the role root to the user root',
  ),
  'etcdserver: user name already exists': refused(FAILED_PRECONDITION),
  'etcdserver: user name is empty': {
    ...refused(
      INVALID_ARGUMENT,
      'the server has authentication on; give connect() the option auth',
      UnauthenticatedError,
    ),
    tokenRefused: true,
  },
  'etcdserver: user name not found': refused(FAILED_PRECONDITION),
  'etcdserver: role name already exists': refused(FAILED_PRECONDITION),
  'etcdserver: role name not found': refused(FAILED_PRECONDITION),
  'etcdserver: role name is empty': refused(INVALID_ARGUMENT),
  'etcdserver: authentication failed, invalid user ID or password': refused(
    INVALID_ARGUMENT,
    'check auth.username and auth.password',
    UnauthenticatedError,
  ),
  'auth: authentication failed, password was given for no password user': refused(
    UNKNOWN,
    'this user has no password; only a client certificate identifies it',
    UnauthenticatedError,
  ),
  'auth: token signing attempted with verify-only key': refused(
    UNKNOWN,
    'the server has only a public key in --auth-token; use the endpoint of one that can sign',
    UnauthenticatedError,
  ),
  'etcdserver: permission not given': refused(INVALID_ARGUMENT),
  'etcdserver: permission denied': refused(StatusCode.PERMISSION_DENIED),
  'etcdserver: role is not granted to the user': refused(FAILED_PRECONDITION),
  'etcdserver: permission is not granted to the role': refused(FAILED_PRECONDITION),
  'etcdserver: authentication is not enabled': refused(FAILED_PRECONDITION),
  'etcdserver: invalid auth token': {
    ...refused(
      StatusCode.UNAUTHENTICATED,
      'give connect() a password or a function as auth: then the client fetches new tokens by itself',
      UnauthenticatedError,
    ),
    tokenRefused: true,
  },
  'etcdserver: invalid auth management': refused(INVALID_ARGUMENT),
  'etcdserver: revision of auth store is old': {
    ...refused(INVALID_ARGUMENT, 'users or roles changed meanwhile; try again', UnauthenticatedError),
    tokenRefused: true,
  },

  // The state of the cluster.
  'etcdserver: no leader': {
    ...refused(
      UNAVAILABLE,
      'the member is cut off from the majority, or an election is under way',
      NoLeaderError,
    ),
    again: 'elsewhere',
  },
  // The leader answers this while it transfers its leadership. Another member would forward the proposal to the leader,
  // and would not learn that it was dropped.
  'raft proposal dropped': {
    ...refused(
      UNKNOWN,
      'nothing was proposed, because the leadership is moving; try again',
      UnavailableError,
    ),
    again: 'here',
  },
  'etcdserver: unhealthy cluster': refused(
    UNAVAILABLE,
    'nothing was changed; try again when all members are connected',
  ),
  'etcdserver: corrupt cluster': refused(
    StatusCode.DATA_LOSS,
    'the alarm corrupt is raised: see maintenance.alarmList()',
  ),
  'etcdserver: leader changed': uncertain(UNAVAILABLE),
  'etcdserver: server stopped': uncertain(UNAVAILABLE),
  'raft: stopped': uncertain(UNKNOWN, MAY_BE_APPLIED, UnavailableError),
  'etcdserver: request timed out': uncertain(UNAVAILABLE),
  'etcdserver: request timed out, possibly due to previous leader failure': uncertain(UNAVAILABLE),
  'etcdserver: request timed out, possibly due to connection lost': uncertain(UNAVAILABLE),
  'etcdserver: request timed out, waiting for the applied index took too long': uncertain(UNAVAILABLE),
  'etcdserver: request canceled': uncertain(StatusCode.CANCELLED),
  'etcdserver: request cancelled': uncertain(UNKNOWN),
  'etcdserver: context deadline exceeded': uncertain(StatusCode.DEADLINE_EXCEEDED),
} satisfies Readonly<Record<string, ServerError>>;

/** etcd's own message for one of its errors. */
export type ServerErrorText = keyof typeof serverErrors;

/**
 * The error of gRPC's own limit at the server. That limit is 512 KiB above etcd's, and applies before etcd sees the
 * request.
 */
const overGrpcLimit = /^grpc: received message (?:after decompression )?larger than max /;

/** What is known about an etcd error with this message, whichever code it was sent with. */
export function knownServerError(details: string): ServerError | undefined {
  if (Object.hasOwn(serverErrors, details)) return serverErrors[details as ServerErrorText];
  if (overGrpcLimit.test(details)) return serverErrors['etcdserver: request is too large'];
  return undefined;
}

/** The messages of all known errors. */
export function serverErrorTexts(): ServerErrorText[] {
  return Object.keys(serverErrors) as ServerErrorText[];
}

function isServerError(error: unknown, text: ServerErrorText): boolean {
  return error instanceof EtcdError && error.details === text;
}

/** Whether a read wanted a revision that the store hasn't reached. */
export function isFutureRevision(error: unknown): boolean {
  return isServerError(error, 'etcdserver: mvcc: required revision is a future revision');
}

/** Whether a lease with the requested id already exists. */
export function isLeaseThere(error: unknown): boolean {
  return isServerError(error, 'etcdserver: lease already exists');
}

/** Whether a request that only the leader takes went to another member. */
export function isNotLeader(error: unknown): boolean {
  return isServerError(error, 'etcdserver: not leader');
}

/** Whether a token was requested while the server has authentication off. */
export function isAuthOff(error: unknown): boolean {
  return isServerError(error, 'etcdserver: authentication is not enabled');
}

/** The error that a member without a leader would send, for members that report it in another way. */
export function noLeader(method: string): EtcdError {
  const details: ServerErrorText = 'etcdserver: no leader';
  return statusError({ code: serverErrors[details].code, details, method, sent: true });
}

/** The error that the server would send for a lease that it doesn't have, where it reports that in another way. */
export function leaseNotFound(id: bigint, method: string): EtcdError {
  const details: ServerErrorText = 'etcdserver: requested lease not found';
  const { code, hint } = serverErrors[details];
  return new LeaseNotFoundError(`${statusName(code)}: there is no lease ${id}; ${hint}`, {
    code,
    details,
    method,
    sent: true,
    mayBeApplied: false,
  });
}

/** A gRPC error as Go prints it. */
const goStatus = /^rpc error: code = (\w+) desc = (.*)$/s;

/** Go writes PERMISSION_DENIED as PermissionDenied. */
const codesByGoName: ReadonlyMap<string, StatusCode> = new Map(
  Object.entries(StatusCode).map(([name, code]) => [
    name.toLowerCase().replace(/(?:^|_)(.)/g, (_all, first: string) => first.toUpperCase()),
    code,
  ]),
);

/** The typed error for a text in which etcd repeats a gRPC error as Go prints it; `undefined` for another text. */
export function goStatusError(text: string, method: string): EtcdError | undefined {
  const [, name = '', details = text] = goStatus.exec(text) ?? [];
  const code = codesByGoName.get(name);
  return code === undefined ? undefined : statusError({ code, details, method, sent: true });
}

/** The typed error for the status of a failed call. */
export function statusError(init: EtcdErrorInit & { readonly details: string }): EtcdError {
  const { details } = init;
  const known = knownServerError(details);
  // etcd's own lock and election services pass on etcd's errors without their codes.
  const code = init.code === UNKNOWN && known !== undefined ? known.code : init.code;
  const hint = known?.hint === undefined ? '' : `; ${known.hint}`;
  const message = `${statusName(code)}: ${details || 'no details given'}${hint}`;
  // A server without such a method has done nothing.
  const refused =
    known?.write === 'not applied' || (code === UNIMPLEMENTED && init.mayBeApplied === undefined);
  const fate = { ...init, code, ...(refused && { mayBeApplied: false }) };
  return known?.type === undefined ? errorOfCode(message, fate) : new known.type(message, fate);
}
