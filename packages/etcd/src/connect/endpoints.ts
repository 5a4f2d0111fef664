import { type InvalidArgumentError, invalidArgument } from '../errors.js';
import { isSecure, parseEndpoint } from '../transport/endpoint.js';
import { shown } from '../util/kinds.js';
import { withoutSecrets } from '../util/secrets.js';

/** Where a client looks for etcd unless endpoints are given. */
export const DEFAULT_ENDPOINT = 'http://127.0.0.1:2379';

const DEFAULT_PORT = 2379;

/**
 * Endpoints in the form `scheme://host:port`. Without a scheme it is `https` where there are TLS options and else
 * `http`; without a port it is 2379. `unix://path` and, with TLS, `unixs://path` name a socket.
 *
 * @throws InvalidArgumentError for anything else, and for TLS options that an `http://` endpoint would ignore.
 */
export function parseEndpoints(endpoints: string | readonly string[], withTls: boolean): string[] {
  const list = typeof endpoints === 'string' ? endpoints.split(',') : endpoints;
  checkNoSecrets(endpoints);
  if (!Array.isArray(list)) {
    throw invalidArgument(`endpoints is ${shown(list)}; write ${DEFAULT_ENDPOINT}, or an array of endpoints`);
  }
  if (list.length === 0) {
    throw invalidArgument(`endpoints is empty; give at least one, such as ${DEFAULT_ENDPOINT}`);
  }
  return [...new Set(list.map((endpoint) => inFull(endpoint, withTls)))];
}

function inFull(endpoint: unknown, withTls: boolean): string {
  const parts = typeof endpoint === 'string' ? parseEndpoint(endpoint.trim()) : undefined;
  if (parts === undefined) {
    throw invalidArgument(
      `endpoint ${withoutSecretsShown(endpoint)} is malformed; write http://host:port, https://host:port or unix:///path`,
    );
  }
  const { host, port = DEFAULT_PORT, path } = parts;
  const scheme = parts.scheme ?? (withTls ? 'https' : 'http');
  if (withTls && !isSecure({ ...parts, scheme })) throw ignoresTls(endpoint, `${scheme}s://`);
  return path === undefined ? `${scheme}://${host}:${port}` : `${scheme}://${path}`;
}

/** Before anything else, so that no other message quotes a password, nor a part of it. */
function checkNoSecrets(endpoints: string | readonly string[]): void {
  const texts = typeof endpoints === 'string' ? [endpoints] : endpoints;
  for (const text of Array.isArray(texts) ? texts : []) {
    if (typeof text !== 'string') continue;
    const without = withoutSecrets(text);
    if (without === text || sockets.test(text)) continue;
    throw invalidArgument(
      `endpoint ${JSON.stringify(without)} contains a user name or a password; give them as auth: { username, password }`,
    );
  }
}

/** Paths of sockets alone, which may have an at sign. */
const sockets = /^\s*unixs?:\/\/[^\s,]+(\s*,\s*unixs?:\/\/[^\s,]+)*\s*$/i;

function ignoresTls(endpoint: unknown, instead: string): InvalidArgumentError {
  return invalidArgument(
    `endpoint ${JSON.stringify(endpoint)} would ignore the tls option and send everything in the clear; write ${instead}`,
  );
}

function withoutSecretsShown(endpoint: unknown): string {
  return typeof endpoint === 'string' ? JSON.stringify(withoutSecrets(endpoint)) : shown(endpoint);
}
