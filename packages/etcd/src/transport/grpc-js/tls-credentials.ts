import { isIP, type Socket } from 'node:net';
import * as tls from 'node:tls';
import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';
import type { TlsOptions } from '../transport.js';

type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/**
 * TLS for a grpc-js channel to `host`. grpc-js's own credentials send an IP address as the server name. RFC 6066
 * forbids that, and Node 26, Bun and Deno refuse it.
 *
 * @throws Error when the certificates or the key can't be read.
 */
export function tlsCredentials(options: TlsOptions, host: string): ChannelCredentials {
  const terms = termsOf(options, host);
  return new TlsCredentials(async () => terms);
}

/** The same credentials, with options that are read again before each connection. */
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
  // `allowPartialTrustChain` is not in the types of Node 20. With it, any certificate in `ca` is trusted, as in the
  // native transport.
  const context = { ca: pem(ca), cert: pem(cert), key: pem(key), allowPartialTrustChain: true };
  // No certificate has the final dot of DNS.
  const secureContext = tls.createSecureContext(context);
  return { secureContext, serverName: serverName.replace(/\.$/, ''), verified: !skipped };
}

/** The authorities of the operating system; `undefined`, for the host's own, where it doesn't list them. */
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
      // Both listeners stay, as a later 'error' has no other listener yet. A socket may also close without an error.
      secure.on('error', reject);
      secure.once('close', closed);
    });
  }
}
