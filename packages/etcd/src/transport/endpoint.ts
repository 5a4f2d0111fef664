/** The parts of an endpoint. */
export interface EndpointParts {
  /** The scheme as it is written, in lower case; `undefined` where there is none. */
  readonly scheme: 'http' | 'https' | 'unix' | 'unixs' | undefined;
  /** The host as it is written: an IPv6 address in brackets. Empty for a Unix socket. */
  readonly host: string;
  readonly port: number | undefined;
  /** The path of a Unix socket. */
  readonly path: string | undefined;
}

const socket = /^(unixs?):\/\/([^\s,]+)$/i;
const hostAndPort = /^(?:(https?):\/\/)?(\[[\da-f:.]+\]|[^\s/:@?#[\]]+)(?::(\d{1,5}))?\/?$/i;

/**
 * The only grammar of endpoints: `http://host:port`, `https://host:port`, either without some of its parts,
 * `unix://path`, `unixs://path`.
 */
export function parseEndpoint(endpoint: string): EndpointParts | undefined {
  const [, socketScheme, path] = socket.exec(endpoint) ?? [];
  if (path !== undefined) return { scheme: lower(socketScheme), host: '', port: undefined, path };
  const [, scheme, host, portText] = hostAndPort.exec(endpoint) ?? [];
  const port = portText === undefined ? undefined : Number(portText);
  if (host === undefined || port === 0 || (port ?? 0) > 65535) return undefined;
  return { scheme: lower(scheme), host, port, path: undefined };
}

/** Whether connections to the endpoint use TLS. */
export function isSecure({ scheme }: EndpointParts): boolean {
  return scheme === 'https' || scheme === 'unixs';
}

function lower(scheme: string | undefined): EndpointParts['scheme'] {
  return scheme?.toLowerCase() as EndpointParts['scheme'];
}
