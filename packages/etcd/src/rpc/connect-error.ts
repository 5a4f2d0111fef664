import { ClosedError, EtcdError, errorOfCode, StatusCode, UnavailableError } from '../errors.js';
import { knownServerError } from '../server-errors.js';
import { tryDescriptors } from '../transport/shortage.js';

/** How the transports report an answer that has an HTTP status and no gRPC status. */
const HTTP_ALONE = /HTTP status (?:code )?(\d+)/;

/** Whether the answer came from something other than a gRPC server, such as a proxy. */
export const isHttpAlone = ({ details }: EtcdError): boolean => HTTP_ALONE.test(details);

interface Reason {
  /** Set where the look-up itself fails, rather than the name. */
  readonly ofLookUp?: true;
  /** Matches what both transports report. */
  readonly pattern: RegExp;
  readonly reason: string;
  readonly hint: string;
  /** The hint for an endpoint with TLS, where it differs. */
  readonly secureHint?: string;
}

const noDescriptor: Reason = {
  pattern: /too many open files|EMFILE|ENFILE/i,
  reason: 'this process has no file descriptor left',
  hint: 'close some, or raise its limit (ulimit -n)',
};

const reasons: readonly Reason[] = [
  {
    pattern: /connection refused|ECONNREFUSED/i,
    reason: 'connection refused',
    hint: 'is etcd running there?',
  },
  noDescriptor,
  {
    pattern: /connect error: no such file|connect ENOENT/i,
    reason: 'there is no such socket',
    hint: 'is etcd running there? write unix:// and the full path of its socket',
  },
  {
    pattern: /connect error: permission denied|connect EACCES/i,
    reason: 'this process may not connect there',
    hint: "check the socket's permissions",
  },
  {
    pattern: /temporary failure in name resolution|resource temporarily unavailable|EAI_AGAIN/i,
    ofLookUp: true,
    reason: "the host name can't be resolved now",
    hint: 'no name server answers; try again later',
  },
  {
    pattern: /dns error|name resolution failed|ENOTFOUND/i,
    ofLookUp: true,
    reason: "the host name can't be resolved",
    hint: 'correct the endpoint',
  },
  {
    pattern: /alert:? (certificate.?expired)/i,
    reason: 'the server says that the client certificate has expired',
    hint: 'renew tls.cert',
  },
  {
    pattern:
      /alert:? (unknown.?ca|bad.?certificate|certificate.?unknown|unsupported.?certificate|decrypt.?error|access.?denied)/i,
    reason: 'the server refuses the client certificate',
    hint: "it must be a client certificate, signed by the authority in the server's --trusted-ca-file",
  },
  {
    pattern: /certificate is an authority's/,
    reason: "the server's certificate is a CA certificate",
    hint: 'put that certificate itself in tls.ca, or give the server one that is not a CA certificate',
  },
  {
    pattern: /not of X\.509 version 3/,
    reason: "the server's certificate uses an old version of X.509, which has no names",
    hint: 'give the server one of version 3',
  },
  {
    pattern: /RSA key is shorter|key too small|md too weak/i,
    reason: "one of the server's certificates has an RSA key or a digest that is too weak",
    hint: 'give it one with at least 2048 bits, and SHA-256',
  },
  {
    pattern:
      /alert:? handshake.?failure|alert:? (protocol.?version|insufficient.?security)|no shared cipher|PeerIncompatible|unsupported protocol/i,
    reason: 'the server and this client have no TLS version, cipher or signature in common',
    hint: "check the server's --tls-min-version and --cipher-suites",
  },
  {
    pattern: /UnsupportedSignatureAlgorithm|unsupported signature algorithm/i,
    reason: "one of the server's certificates has a kind of signature that this client doesn't know",
    hint: 'give it one with RSA, P-256, P-384, P-521 or Ed25519',
  },
  {
    pattern: /offers no HTTP\/2|ALPN|no.?application.?protocol/i,
    reason: "the server doesn't offer HTTP/2",
    hint: "is that etcd's client port, without a proxy that speaks only HTTP/1?",
  },
  {
    pattern: /unsuitable certificate purpose|extended key usage/i,
    reason: "the server's certificate is not for servers",
    hint: 'give it one whose extended key usage holds serverAuth, or none',
  },
  {
    pattern: /not valid for name|altnames/i,
    reason: "the server's certificate is for another name",
    hint: 'connect by a name that it has, or give one in tls.serverName',
  },
  {
    pattern: /certificate (has )?expired|certificate: (Expired|NotValidYet)|not valid yet|not yet valid/i,
    reason: "the server's certificate is not valid today",
    hint: 'renew it, or correct the clock',
  },
  {
    pattern: /UnknownIssuer|BadSignature|unable to (?:verify|get)|self.signed|certificate signature failure/i,
    reason: "the server's certificate is from an authority that isn't trusted",
    hint: "give that authority's certificate in tls.ca",
  },
  {
    pattern: /certificate.?required|alert number 116/i,
    reason: 'the server wants a client certificate',
    hint: 'give tls.cert and tls.key',
  },
  {
    pattern: /handshake eof|before secure TLS|wrong version number|InvalidContentType/i,
    reason: "the server doesn't speak TLS",
    hint: 'write http:// for a server without certificates',
  },
  {
    pattern: /frame with invalid size|protocol error/i,
    reason: "the server there doesn't speak gRPC",
    hint: "is that etcd's client port?",
  },
  {
    pattern:
      /connection closed|closed the connection|broken pipe|EPIPE|failed to connect|connection reset|ECONNRESET/i,
    reason: 'the server closed the connection',
    hint: 'if it uses TLS, write https://',
    secureHint: "if it wants a client certificate, check tls.cert; the server's log may say more",
  },
];

/**
 * The error for a search that found no endpoint. The failures are in the order of the endpoints.
 *
 * @param connectTimeoutMs bound on reaching each endpoint.
 * @param waitedMs how long they were asked again and again.
 */
export function noEndpoint(
  endpoints: readonly string[],
  failures: readonly unknown[],
  connectTimeoutMs: number,
  waitedMs: number | undefined,
): unknown {
  const closed = failures.find((failure) => failure instanceof ClosedError);
  if (closed !== undefined) return closed;
  const [first] = failures;
  if (!(first instanceof EtcdError)) return first;
  const patienceMs = Math.min(connectTimeoutMs, waitedMs ?? Number.POSITIVE_INFINITY);
  const reasons = failures.map(
    (failure, i) => `${endpoints[i]}: ${explain(failure as EtcdError, patienceMs, endpoints[i])}`,
  );
  const unavailable = first.code === StatusCode.DEADLINE_EXCEEDED || isHttpAlone(first);
  const within = waitedMs === undefined ? '' : `within ${waitedMs} ms `;
  return errorOfCode(`no etcd answers ${within}at ${reasons.join('; at ')}`, {
    code: unavailable ? StatusCode.UNAVAILABLE : first.code,
    details: first.details,
    trailers: first.trailers,
    sent: false,
    cause: failures.length === 1 ? first : new AggregateError(failures, 'every endpoint failed'),
  });
}

/** What the user's function did, or did not do. */
const OF_FUNCTION = /^(?:[A-Z_]+: )?(the tls function .*)$/s;

function explain({ code, details }: EtcdError, timeoutMs: number, endpoint = ''): string {
  const [, http] = HTTP_ALONE.exec(details) ?? [];
  if (http !== undefined) {
    return `the server there doesn't speak gRPC, and answered with HTTP status ${http} (is that etcd's client port, without a proxy before it?)`;
  }
  const [, ofFunction] = OF_FUNCTION.exec(details) ?? [];
  if (ofFunction !== undefined) return ofFunction;
  if (code === StatusCode.DEADLINE_EXCEEDED || details.startsWith('connect timeout')) {
    return `no answer within ${timeoutMs} ms (is the server overloaded or frozen, or a firewall in the way?)`;
  }
  if (code === StatusCode.UNIMPLEMENTED) {
    return "a gRPC server answers, but it isn't etcd v3 (is that etcd's client port?)";
  }
  const known = reasonOf(details);
  if (known === undefined)
    return details === '' ? `the server answered with gRPC status ${code}, and no message` : details;
  const { secureHint = known.hint } = known;
  return `${known.reason} (${/^(https|unixs):/.test(endpoint) ? secureHint : known.hint})`;
}

function reasonOf(details: string): Reason | undefined {
  const known = reasons.find(({ pattern }) => pattern.test(details));
  return known?.ofLookUp && lacksDescriptors() ? noDescriptor : known;
}

/** The most descriptors that a look-up has open at a time. */
const LOOK_UP_DESCRIPTORS = 4;

/** Whether a look-up can only fail: the resolver reports a lack of descriptors as if the name were the cause. */
function lacksDescriptors(): boolean {
  try {
    tryDescriptors(LOOK_UP_DESCRIPTORS);
    return false;
  } catch {
    return true;
  }
}

/**
 * The error of a call that could not reach an endpoint, or whose connection broke. It names each endpoint that was
 * tried, and why it failed. An error that a server sent is returned as it is.
 *
 * @param tried the last failure of each endpoint.
 */
export function unreachable(
  error: EtcdError,
  tried: ReadonlyMap<string, EtcdError>,
  connectTimeoutMs: number,
): EtcdError {
  if (error.code !== StatusCode.UNAVAILABLE || knownServerError(error.details) !== undefined) return error;
  const { code, details, trailers, method, sent, mayBeApplied } = error;
  const reasons = Array.from(
    tried,
    // Why an established connection broke doesn't explain how to establish one.
    ([address, failure]) =>
      `${address}: ${failure.sent ? failure.details : explain(failure, connectTimeoutMs, address)}`,
  );
  const what = sent ? 'the call failed' : 'no etcd answers';
  return new UnavailableError(`UNAVAILABLE: ${what} at ${reasons.join('; at ')}`, {
    code,
    details,
    trailers,
    method,
    sent,
    mayBeApplied,
    cause: tried.size === 1 ? error : new AggregateError([...tried.values()], 'every endpoint failed'),
  });
}
