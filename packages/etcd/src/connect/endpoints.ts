import { type InvalidArgumentError, invalidArgument } from '../errors.js';

/** Where a client looks for etcd unless it is told otherwise. */
export const defaultEndpoint = 'http://127.0.0.1:2379';

const defaultPort = '2379';
const unixPattern = /^(unixs?):\/\/([^\s,]+)$/i;
const pattern = /^(?:(https?):\/\/)?(\[[\da-f:.]+\]|[^\s/:@?#[\]]+)(?::(\d{1,5}))?\/?$/i;

/**
 * Endpoints in the form `scheme://host:port`. Without a scheme it is `https` where there are TLS options and else
 * `http`; without a port it is 2379. `unix://path` and, with TLS, `unixs://path` name a socket.
 *
 * @throws InvalidArgumentError for anything else, and for TLS options that an `http://` endpoint would ignore.
 */
export function parseEndpoints(endpoints: string | readonly string[], withTls: boolean): string[] {
  const list = typeof endpoints === 'string' ? endpoints.split(',') : endpoints;
  if (!Array.isArray(list) || list.length === 0) {
    throw invalidArgument(`endpoints is empty; give at least one, such as ${defaultEndpoint}`);
  }
  return [...new Set(list.map((endpoint) => parseEndpoint(endpoint, withTls)))];
}

function parseEndpoint(endpoint: unknown, withTls: boolean): string {
  const unix = typeof endpoint === 'string' ? unixPattern.exec(endpoint.trim()) : null;
  if (unix !== null) {
    const scheme = unix[1]?.toLowerCase();
    if (scheme === 'unix' && withTls) throw ignoresTls(endpoint, 'unixs://');
    return `${scheme}://${unix[2]}`;
  }
  const match = typeof endpoint === 'string' ? pattern.exec(endpoint.trim()) : null;
  const port = Number(match?.[3] ?? defaultPort);
  if (match === null || port < 1 || port > 65535) {
    throw invalidArgument(
      `endpoint ${JSON.stringify(endpoint)} is malformed; write http://host:port, https://host:port or unix:///path`,
    );
  }
  const scheme = match[1]?.toLowerCase() ?? (withTls ? 'https' : 'http');
  if (scheme === 'http' && withTls) {
    throw ignoresTls(endpoint, 'https://');
  }
  return `${scheme}://${match[2]}:${port}`;
}

function ignoresTls(endpoint: unknown, instead: string): InvalidArgumentError {
  return invalidArgument(
    `endpoint ${JSON.stringify(endpoint)} would ignore the tls option and send everything in the clear; write ${instead}`,
  );
}
