import { isIP, type Socket } from 'node:net';
import * as tls from 'node:tls';
import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';
import type { TlsOptions } from '../transport.js';

type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/**
 * TLS for a grpc-js channel to `host`. Its own credentials name the server by its address where that is an IP address,
 * which RFC 6066 forbids and Node 26, Bun and Deno refuse.
 *
 * @throws Error when the certificates or the key can't be read.
 */
export function tlsCredentials(options: TlsOptions, host: string): ChannelCredentials {
  const { ca = systemAuthorities(), cert, key, serverName = host } = options;
  const pem = (bytes: string | Uint8Array | undefined) =>
    bytes === undefined ? undefined : Buffer.from(bytes);
  const secureContext = tls.createSecureContext({ ca: pem(ca), cert: pem(cert), key: pem(key) });
  return new TlsCredentials(secureContext, serverName);
}

/** Those of the operating system; `undefined`, for the host's own, where it doesn't give them. */
function systemAuthorities(): string | undefined {
  // Not in the types of Node 20.
  const { getCACertificates } = tls as { getCACertificates?: (type: 'system') => readonly string[] };
  const authorities = getCACertificates?.('system') ?? [];
  return authorities.length === 0 ? undefined : authorities.join('\n');
}

class TlsCredentials extends ChannelCredentials {
  readonly #secureContext: tls.SecureContext;
  readonly #serverName: string;

  constructor(secureContext: tls.SecureContext, serverName: string) {
    super();
    this.#secureContext = secureContext;
    this.#serverName = serverName;
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    _target: unknown,
    _options: unknown,
    callCredentials: CallCredentials = CallCredentials.createEmpty(),
  ): SecureConnector {
    return {
      connect: async (socket) => ({ socket: await this.#connect(socket), secure: true }),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials,
      destroy: () => {},
    };
  }

  #connect(socket: Socket): Promise<tls.TLSSocket> {
    const name = this.#serverName;
    return new Promise((resolve, reject) => {
      const closed = (): void => reject(new Error('the server closed the connection before secure TLS'));
      if (socket.destroyed) {
        closed();
        return;
      }
      const secure = tls.connect({
        socket,
        host: name,
        ...(isIP(name) === 0 && { servername: name }),
        checkServerIdentity: (_host, certificate) => tls.checkServerIdentity(name, certificate),
        secureContext: this.#secureContext,
        ALPNProtocols: ['h2'],
      });
      secure.once('secureConnect', () => resolve(secure));
      // Both stay, as one that comes later has no other listener yet. Not each end has an error.
      secure.on('error', reject);
      secure.once('close', closed);
    });
  }
}
