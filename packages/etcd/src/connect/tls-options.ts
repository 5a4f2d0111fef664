import { createPrivateKey, X509Certificate } from 'node:crypto';
import { invalidArgument } from '../errors.js';
import type { TlsOptions } from '../transport/transport.js';

/** Finds out about unusable certificates before a handshake does, whose errors say little. */
export function checkTls({ ca, cert, key, serverName, ...unknown }: TlsOptions): void {
  const [name] = Object.keys(unknown);
  if (name !== undefined) {
    throw invalidArgument(`there is no option tls.${name}; tls takes ca, cert, key and serverName`);
  }
  checkPem('tls.ca', 'certificate', ca, (pem) => new X509Certificate(pem));
  checkPem('tls.cert', 'certificate', cert, (pem) => new X509Certificate(pem));
  checkPem('tls.key', 'private key without a passphrase', key, (pem) => createPrivateKey(pem));
  if ((cert === undefined) !== (key === undefined)) {
    throw invalidArgument('tls.cert and tls.key go together: give both for mutual TLS, or neither');
  }
}

function checkPem(
  name: string,
  what: string,
  pem: string | Uint8Array | undefined,
  parse: (pem: Buffer) => unknown,
): void {
  if (pem === undefined) return;
  try {
    parse(Buffer.from(pem));
  } catch (cause) {
    throw invalidArgument(`${name} is not a PEM ${what}; give the file's content, not its name`, cause);
  }
}
