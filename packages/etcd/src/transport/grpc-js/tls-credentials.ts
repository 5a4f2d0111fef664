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
  const terms = termsOf(options, host);
  return new TlsCredentials(async () => terms);
}

/** The same, of options that are asked for before each connection. */
export function renewedTlsCredentials(source: () => Promise<TlsOptions>, host: string): ChannelCredentials {
  return new TlsCredentials(async () => termsOf(await source(), host));
}

/** How one connection is secured. */
interface Terms {
  readonly secureContext: tls.SecureContext;
  readonly serverName: string;
  readonly verified: boolean;
}

function termsOf(options: TlsOptions, host: string): Terms {
  const { ca = systemAuthorities(), cert, key, serverName = host } = options;
  const { dangerouslySkipVerification: skipped = false } = options;
  const pem = (bytes: string | Uint8Array | undefined) =>
    bytes === undefined ? undefined : Buffer.from(bytes);
  // Not in the types of Node 20; any certificate that is named as an authority is one, as it is for the native transport.
  const context = { ca: pem(ca), cert: pem(cert), key: pem(key), allowPartialTrustChain: true };
  // No certificate has the final dot of DNS.
  const secureContext = tls.createSecureContext(context);
  return { secureContext, serverName: serverName.replace(/\.$/, ''), verified: !skipped };
}

/** Those of the operating system; `undefined`, for the host's own, where it doesn't give them. */
function systemAuthorities(): string | undefined {
  // Not in the types of Node 20.
  const { getCACertificates } = tls as { getCACertificates?: (type: 'system') => readonly string[] };
  const authorities = getCACertificates?.('system') ?? [];
  return authorities.length === 0 ? undefined : authorities.join('\n');
}

class TlsCredentials extends ChannelCredentials {
  readonly #terms: () => Promise<Terms>;

  constructor(terms: () => Promise<Terms>) {
    super();
    this.#terms = terms;
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

  async #connect(socket: Socket): Promise<tls.TLSSocket> {
    const { secureContext, serverName: name, verified } = await this.#terms();
    return await new Promise((resolve, reject) => {
      const closed = (): void => reject(new Error('the server closed the connection before secure TLS'));
      if (socket.destroyed) {
        closed();
        return;
      }
      const secure = tls.connect({
        socket,
        host: name,
        ...(isIP(name) === 0 && { servername: name }),
        rejectUnauthorized: verified,
        checkServerIdentity: (_host, certificate) => tls.checkServerIdentity(name, certificate),
        secureContext,
        ALPNProtocols: ['h2'],
      });
      secure.once('secureConnect', () => resolve(secure));
      // Both stay, as one that comes later has no other listener yet. Not each end has an error.
      secure.on('error', reject);
      secure.once('close', closed);
    });
  }
}
