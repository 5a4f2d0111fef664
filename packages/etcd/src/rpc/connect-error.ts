import { ClosedError, EtcdError, errorOfCode, StatusCode } from '../errors.js';

interface Reason {
  /** What the transports, both of them, say. */
  readonly pattern: RegExp;
  readonly reason: string;
  readonly hint: string;
}

const reasons: readonly Reason[] = [
  {
    pattern: /connection refused|ECONNREFUSED/i,
    reason: 'connection refused',
    hint: 'is etcd running there?',
  },
  {
    pattern: /too many open files|EMFILE|ENFILE/i,
    reason: 'this process has no file descriptor left',
    hint: 'close some, or raise its limit (ulimit -n)',
  },
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
    reason: "the host name can't be resolved now",
    hint: 'no name server answers; try again later',
  },
  {
    pattern: /dns error|name resolution failed|ENOTFOUND/i,
    reason: "the host name can't be resolved",
    hint: 'correct the endpoint',
  },
  {
    pattern: /not valid for name|altnames/i,
    reason: "the server's certificate is for another name",
    hint: 'connect by a name it has, or give one in tls.serverName',
  },
  {
    pattern: /certificate (has )?expired|not valid yet|not yet valid/i,
    reason: "the server's certificate is not valid today",
    hint: 'renew it, or set the clock',
  },
  {
    pattern: /UnknownIssuer|BadSignature|unable to verify|self.signed|certificate signature failure/i,
    reason: "the server's certificate is from an authority that isn't trusted",
    hint: "give that authority's certificate in tls.ca",
  },
  {
    pattern: /certificate.?required|alert number 116/i,
    reason: 'the server wants a client certificate',
    hint: 'give tls.cert and tls.key',
  },
  {
    pattern: /alert unknown ca|UnknownCA|alert bad certificate|BadCertificate/i,
    reason: 'the server refuses the client certificate',
    hint: 'it must be signed by the authority in the --trusted-ca-file of the server',
  },
  {
    pattern: /handshake eof|before secure TLS|wrong version number|InvalidContentType/i,
    reason: 'the server speaks no TLS',
    hint: 'write http:// for a server without certificates',
  },
  {
    pattern: /frame with invalid size|protocol error/i,
    reason: 'what answers there speaks no gRPC',
    hint: "is that etcd's client port?",
  },
  {
    pattern:
      /connection closed|closed the connection|broken pipe|EPIPE|failed to connect|connection reset|ECONNRESET/i,
    reason: 'the server closed the connection',
    hint: 'if it has certificates, write https://; if it wants one from clients, check tls.cert',
  },
];

/**
 * The error of looking for an endpoint, for the last failures given in the same order.
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
    (failure, i) => `${endpoints[i]}: ${explain(failure as EtcdError, patienceMs)}`,
  );
  const slow = first.code === StatusCode.DEADLINE_EXCEEDED;
  const within = waitedMs === undefined ? '' : `within ${waitedMs} ms `;
  return errorOfCode(`no etcd answers ${within}at ${reasons.join('; at ')}`, {
    code: slow ? StatusCode.UNAVAILABLE : first.code,
    details: first.details,
    trailers: first.trailers,
    sent: false,
    cause: failures.length === 1 ? first : new AggregateError(failures, 'every endpoint failed'),
  });
}

function explain({ code, details }: EtcdError, timeoutMs: number): string {
  if (code === StatusCode.DEADLINE_EXCEEDED || details.startsWith('connect timeout')) {
    return `nothing came within ${timeoutMs} ms (is the server overloaded or frozen, or a firewall in the way?)`;
  }
  if (code === StatusCode.UNIMPLEMENTED) {
    return "a gRPC server answers, but it isn't etcd v3 (is that etcd's client port?)";
  }
  const known = reasons.find(({ pattern }) => pattern.test(details));
  return known === undefined ? details : `${known.reason} (${known.hint})`;
}
