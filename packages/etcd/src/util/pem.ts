import { invalidArgument } from '../errors.js';

/** A PEM argument with its name. */
type Given = readonly [name: string, pem: string | Uint8Array | undefined];

/**
 * Checks the certificates and the key that one side of TLS is given. Loads `node:crypto`, which takes longer than
 * everything that a client without TLS imports.
 *
 * @throws InvalidArgumentError for what isn't PEM, for a certificate without its key, and for a key of another one.
 */
export async function checkPems({ cert, key, ca }: Record<'cert' | 'key' | 'ca', Given>): Promise<void> {
  const { createPrivateKey, X509Certificate } = await import('node:crypto');
  for (const [name, pem] of [ca, cert]) {
    checkPem(name, 'certificate', pem, (bytes) => new X509Certificate(bytes));
  }
  if (key[1] !== undefined && Buffer.from(key[1]).includes('ENCRYPTED')) {
    throw invalidArgument(
      `${key[0]} is encrypted; give it without a passphrase: openssl pkey -in <file> -out <new file>`,
    );
  }
  checkPem(key[0], 'private key', key[1], (bytes) => createPrivateKey(bytes));
  if ((cert[1] === undefined) !== (key[1] === undefined)) {
    throw invalidArgument(`${cert[0]} and ${key[0]} go together: give both for mutual TLS, or neither`);
  }
  if (cert[1] !== undefined && key[1] !== undefined) {
    const certificate = new X509Certificate(Buffer.from(cert[1]));
    if (!certificate.checkPrivateKey(createPrivateKey(Buffer.from(key[1])))) {
      throw invalidArgument(`${key[0]} does not belong to ${cert[0]}: give a matching pair`);
    }
  }
}

function checkPem(
  name: string,
  what: string,
  pem: string | Uint8Array | undefined,
  parse: (pem: Buffer) => unknown,
): void {
  if (pem === undefined) return;
  const bytes = Buffer.from(pem);
  let cause: unknown;
  try {
    parse(bytes);
    // Node also accepts certificates in DER, but the transports don't.
    if (bytes.includes('-----BEGIN ')) return;
  } catch (error) {
    cause = error;
  }
  throw invalidArgument(`${name} is not a PEM ${what}; give the file's content, not its name`, cause);
}
