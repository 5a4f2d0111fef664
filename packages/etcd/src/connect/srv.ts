import { type EtcdError, errorOfCode, InvalidArgumentError, invalidArgument, StatusCode } from '../errors.js';
import { arrayOf, kind, nonEmptyText, port, reason, text, withFields, withMethods } from '../util/kinds.js';
import { Description } from '../util/options.js';
import { withoutSecrets } from '../util/secrets.js';

/** Where the endpoints are in DNS. */
export interface SrvOptions {
  /**
   * For example `example.com`, whose records are `_etcd-client-ssl._tcp.example.com` and
   * `_etcd-client._tcp.example.com`.
   */
  readonly domain: string;
  /**
   * Corresponds to etcd's `--discovery-srv-name`: distinguishes clusters of one domain, through
   * `_etcd-client-ssl-NAME._tcp`.
   */
  readonly name?: string | undefined;
  /** Default: the process's own. `new dns.promises.Resolver()` asks servers of your choice. */
  readonly resolver?: SrvResolver | undefined;
}

/** Looks up SRV records: `dns.promises`, or a `Resolver` of it. */
export interface SrvResolver {
  /** Returns the records of a name, or rejects if it has none. */
  resolveSrv(hostname: string): Promise<readonly SrvRecord[]>;
}

/** The fields of an SRV record that are used. */
export interface SrvRecord {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
}

const anyNumber = kind<number>((value) => typeof value === 'number', 'a number');

const srvRecords = arrayOf(
  withFields<SrvRecord>(
    { name: nonEmptyText, port, priority: anyNumber },
    "an SRV record such as { name: 'etcd.example.com', port: 2379, priority: 0 }",
  ),
  'an array of SRV records',
);

/** The description of {@link SrvOptions}. */
export const srvFields = new Description<SrvOptions>(
  'srv',
  {
    domain: text,
    name: text,
    resolver: withMethods<SrvResolver>('an object with resolveSrv(), such as dns.promises', 'resolveSrv'),
  },
  { required: ['domain'], example: "{ domain: 'example.com' }" },
);

/**
 * The endpoints that DNS lists for clients, in the order of clientv3 and etcdctl (`--discovery-srv`): `https://`
 * endpoints from `_etcd-client-ssl`, then, unless there are TLS options, `http://` endpoints from `_etcd-client`.
 *
 * @throws InvalidArgumentError for options that can't work; UnavailableError when neither record exists.
 */
export async function lookUpSrv(options: string | SrvOptions, withTls: boolean): Promise<string[]> {
  const given: SrvOptions = typeof options === 'string' ? { domain: options } : options;
  const { domain, name, resolver = await import('node:dns/promises') } = given;
  if (!/^[^\s/:,@]+$/.test(domain)) {
    throw invalidArgument(
      `srv domain ${JSON.stringify(withoutSecrets(domain))} is malformed; write a name such as example.com`,
    );
  }
  const suffix = name ? `-${name}` : '';
  const services = [
    { record: `_etcd-client-ssl${suffix}._tcp.${domain}`, scheme: 'https' },
    ...(withTls ? [] : [{ record: `_etcd-client${suffix}._tcp.${domain}`, scheme: 'http' }]),
  ];
  const ask = async (record: string): Promise<readonly SrvRecord[]> => {
    const answer: unknown = await resolver.resolveSrv(record);
    if (!srvRecords.fits(answer)) {
      throw invalidArgument(`what the resolver gave is wrong: ${srvRecords.explain('it', answer)}`);
    }
    return answer as readonly SrvRecord[];
  };
  const answers = await Promise.allSettled(services.map(({ record }) => ask(record)));
  const endpoints = answers.flatMap((answer, i) =>
    answer.status === 'rejected'
      ? []
      : answer.value
          .toSorted((a, b) => a.priority - b.priority)
          .map((found) => `${services[i]?.scheme}://${found.name.replace(/\.$/, '')}:${found.port}`),
  );
  if (endpoints.length > 0) return endpoints;
  const reasons = answers.flatMap((answer) =>
    answer.status === 'rejected' ? [answer.reason as unknown] : [],
  );
  const wrong = reasons.find((each) => each instanceof InvalidArgumentError);
  if (wrong !== undefined) throw wrong;
  throw noRecords(
    services.map(({ record }) => record),
    reasons,
  );
}

function noRecords(records: readonly string[], reasons: readonly unknown[]): EtcdError {
  const why = reasons.length === 0 ? 'no records' : [...new Set(reasons.map(reason))].join('; ');
  return errorOfCode(`DNS has no endpoint under ${records.join(' or ')}: ${why}`, {
    code: StatusCode.UNAVAILABLE,
    sent: false,
    ...(reasons.length > 0 && { cause: new AggregateError(reasons, 'every look-up failed') }),
  });
}
