import { type InvalidArgumentError, invalidArgument } from '../errors.js';
import { isSecure, parseEndpoint } from '../transport/endpoint.js';
import { arrayOf, checkArgument, type Kind, shown, text } from '../util/kinds.js';
import { withoutSecrets } from '../util/secrets.js';

/** The endpoint of a client that isn't given any. */
export const DEFAULT_ENDPOINT = 'http://127.0.0.1:2379';

const DEFAULT_PORT = 2379;

const EXAMPLE = `a string such as '${DEFAULT_ENDPOINT}'`;

/** One endpoint, or several separated by commas. {@link parseEndpoints} checks its syntax. */
const endpointText: Kind<string> = {
  fits: text.fits,
  explain: (name, value) => notText(name, value, EXAMPLE),
};

const endpointList = arrayOf(endpointText, '');

/** What `endpoints` may be. */
export const endpointsKind: Kind<string | readonly string[]> = {
  fits: (value) => text.fits(value) || endpointList.fits(value),
  explain: (name, value) =>
    Array.isArray(value)
      ? endpointList.explain(name, value)
      : notText(name, value, `${EXAMPLE}, or an array of them`),
};

function notText(name: string, value: unknown, must: string): string {
  const hint = value instanceof URL ? ': give its text, url.href' : '';
  return `${name} is ${shown(value)}; it must be ${must}${hint}`;
}

/**
 * Endpoints in the form `scheme://host:port`. The default scheme is `https` if there are TLS options, and otherwise
 * `http`. The default port is 2379. `unix://path` and, with TLS, `unixs://path` name a Unix socket.
 *
 * @throws InvalidArgumentError for anything else, and for TLS options that an `http://` endpoint would ignore.
 */
export function parseEndpoints(endpoints: string | readonly string[], withTls: boolean): string[] {
  checkArgument('endpoints', endpointsKind, endpoints);
  const list = typeof endpoints === 'string' ? endpoints.split(',') : endpoints;
  checkNoSecrets(endpoints);
  if (list.length === 0) {
    throw invalidArgument(`endpoints is empty; give at least one, such as ${DEFAULT_ENDPOINT}`);
  }
  return [...new Set(list.map((endpoint) => inFull(endpoint, withTls)))];
}

function inFull(endpoint: string, withTls: boolean): string {
  const parts = parseEndpoint(endpoint.trim());
  if (parts === undefined) {
    throw invalidArgument(
      `endpoint ${JSON.stringify(withoutSecrets(endpoint))} ${wrongWith(endpoint)}; write http://host:port, https://host:port or unix:///path`,
    );
  }
  const { host, port = DEFAULT_PORT, path } = parts;
  const scheme = parts.scheme ?? (withTls ? 'https' : 'http');
  if (withTls && !isSecure({ ...parts, scheme })) throw ignoresTls(endpoint, `${scheme}s://`);
  return path === undefined ? `${scheme}://${host}:${port}` : `${scheme}://${path}`;
}

function wrongWith(endpoint: string): string {
  if (endpoint.includes(',')) return 'has a comma, which separates endpoints only outside of arrays';
  return /^\s*https?:\/\/[^/]+\/./i.test(endpoint) ? 'has a path, and etcd has none' : 'is malformed';
}

/** Runs before anything else, so that no other message quotes a password or a part of one. */
function checkNoSecrets(endpoints: string | readonly string[]): void {
  const given = typeof endpoints === 'string' ? [endpoints] : endpoints;
  for (const each of given) {
    const without = withoutSecrets(each);
    if (without === each || sockets.test(each)) continue;
    throw invalidArgument(
      without.includes('@')
        ? `endpoint ${JSON.stringify(without)} contains a user name or a password; give them as auth: { username, password }`
        : `endpoint ${JSON.stringify(without)} has a query, and etcd has none; write http://host:port, and options beside it`,
    );
  }
}

/** Only paths of Unix sockets, which may contain an at sign. */
const sockets = /^\s*unixs?:\/\/[^\s,]+(\s*,\s*unixs?:\/\/[^\s,]+)*\s*$/i;

function ignoresTls(endpoint: string, instead: string): InvalidArgumentError {
  return invalidArgument(
    `endpoint ${JSON.stringify(endpoint)} would ignore the tls option and send everything in the clear; write ${instead}`,
  );
}
