import { invalidArgument } from '../errors.js';
import type { TlsOptions } from '../transport/transport.js';
import { flag, hostName, pem } from '../util/kinds.js';
import { Description } from '../util/options.js';

/** The description of {@link TlsOptions}. */
export const tlsFields = new Description<TlsOptions>(
  'tls',
  { ca: pem, cert: pem, key: pem, serverName: hostName, dangerouslySkipVerification: flag },
  {
    hints: {
      insecureSkipVerify: 'did you mean dangerouslySkipVerification?',
      rejectUnauthorized: 'did you mean dangerouslySkipVerification?',
      rootCertificate: 'did you mean ca?',
      trustedCAFile: 'did you mean ca?',
      certChain: 'did you mean cert?',
      privateKey: 'did you mean key?',
      servername: 'did you mean serverName?',
    },
    example: '{ ca }',
  },
);

/**
 * Reports unusable certificates before a handshake fails on them: its errors say little. Loads `node:crypto`, which takes
 * longer than the rest of what a client without TLS imports.
 */
export async function checkTls({
  ca,
  cert,
  key,
  dangerouslySkipVerification = false,
}: TlsOptions): Promise<void> {
  const { createPrivateKey, X509Certificate } = await import('node:crypto');
  checkPem('tls.ca', 'certificate', ca, (pem) => new X509Certificate(pem));
  checkPem('tls.cert', 'certificate', cert, (pem) => new X509Certificate(pem));
  checkPem('tls.key', 'private key without a passphrase', key, (pem) => createPrivateKey(pem));
  if ((cert === undefined) !== (key === undefined)) {
    throw invalidArgument('tls.cert and tls.key go together: give both for mutual TLS, or neither');
  }
  if (cert !== undefined && key !== undefined) {
    const certificate = new X509Certificate(Buffer.from(cert));
    if (!certificate.checkPrivateKey(createPrivateKey(Buffer.from(key)))) {
      throw invalidArgument('tls.key does not belong to tls.cert: give a matching pair');
    }
  }
  if (dangerouslySkipVerification) warnOfSkipping();
}

let warned = false;

function warnOfSkipping(): void {
  if (warned) return;
  warned = true;
  process.emitWarning(
    'tls.dangerouslySkipVerification: anybody between this process and etcd can read and change everything. Never use it in production',
    { type: 'QuiesceEtcdWarning', code: 'QUIESCE_ETCD_INSECURE' },
  );
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
