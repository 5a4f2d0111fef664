import { type InvalidArgumentError, invalidArgument } from '../errors.js';
import { isSecure, parseEndpoint } from '../transport/endpoint.js';

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
  if (!Array.isArray(list) || list.length === 0) {
    throw invalidArgument(`endpoints is empty; give at least one, such as ${DEFAULT_ENDPOINT}`);
  }
  return [...new Set(list.map((endpoint) => inFull(endpoint, withTls)))];
}

function inFull(endpoint: unknown, withTls: boolean): string {
  const parts = typeof endpoint === 'string' ? parseEndpoint(endpoint.trim()) : undefined;
  if (parts === undefined) {
    throw invalidArgument(
      `endpoint ${JSON.stringify(endpoint)} is malformed; write http://host:port, https://host:port or unix:///path`,
    );
  }
  const { host, port = DEFAULT_PORT, path } = parts;
  const scheme = parts.scheme ?? (withTls ? 'https' : 'http');
  if (withTls && !isSecure({ ...parts, scheme })) throw ignoresTls(endpoint, `${scheme}s://`);
  return path === undefined ? `${scheme}://${host}:${port}` : `${scheme}://${path}`;
}

function ignoresTls(endpoint: unknown, instead: string): InvalidArgumentError {
  return invalidArgument(
    `endpoint ${JSON.stringify(endpoint)} would ignore the tls option and send everything in the clear; write ${instead}`,
  );
}
