import { invalidArgument } from './errors.js';

/** Where a client looks for etcd unless it is told otherwise. */
export const defaultEndpoint = 'http://127.0.0.1:2379';

const defaultPort = '2379';
const pattern = /^(?:(https?):\/\/)?(\[[\da-f:.]+\]|[^\s/:@?#[\]]+)(?::(\d{1,5}))?\/?$/i;

/**
 * Endpoints in the form `scheme://host:port`. Without a scheme it is `https` where there are TLS options and else
 * `http`; without a port it is 2379.
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
  const match = typeof endpoint === 'string' ? pattern.exec(endpoint.trim()) : null;
  const port = Number(match?.[3] ?? defaultPort);
  if (match === null || port < 1 || port > 65535) {
    throw invalidArgument(
      `endpoint ${JSON.stringify(endpoint)} is malformed; write http://host:port or https://host:port`,
    );
  }
  const scheme = match[1]?.toLowerCase() ?? (withTls ? 'https' : 'http');
  if (scheme === 'http' && withTls) {
    throw invalidArgument(
      `endpoint ${JSON.stringify(endpoint)} would ignore the tls option and send everything in the clear; write https://`,
    );
  }
  return `${scheme}://${match[2]}:${port}`;
}
