import type { TlsOptions } from '../transport/transport.js';
import { flag, hostName, pem } from '../util/kinds.js';
import { Description } from '../util/options.js';
import { checkPems } from '../util/pem.js';

/** The description of {@link TlsOptions}. */
export const tlsFields = new Description<TlsOptions>(
  'tls',
  { ca: pem, cert: pem, key: pem, serverName: hostName, dangerouslySkipVerification: flag },
  {
    hints: {
      insecureSkipVerify: 'did you mean dangerouslySkipVerification?',
      insecureSkipTlsVerify: 'did you mean dangerouslySkipVerification?',
      rejectUnauthorized: 'did you mean dangerouslySkipVerification?',
      caCert: 'did you mean ca?',
      caFile: 'did you mean ca?',
      rootCertificate: 'did you mean ca?',
      trustedCaFile: 'did you mean ca?',
      certChain: 'did you mean cert?',
      privateKey: 'did you mean key?',
    },
    example: '{ ca }',
  },
);

/** Reports unusable certificates before a handshake fails on them, as the errors of a handshake say little. */
export async function checkTls({
  ca,
  cert,
  key,
  dangerouslySkipVerification = false,
}: TlsOptions): Promise<void> {
  await checkPems({ cert: ['tls.cert', cert], key: ['tls.key', key], ca: ['tls.ca', ca] });
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
