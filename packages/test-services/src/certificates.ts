import type { SelfsignedOptions } from 'selfsigned';

/** A certificate authority made for one test, and what it signed, all as PEM. */
export interface Certificates {
  /** The authority's certificate. */
  readonly ca: string;
  /** The certificate of a server on 127.0.0.1 or localhost. */
  readonly serverCert: string;
  readonly serverKey: string;
  /** The certificate of a client that must present one. */
  readonly clientCert: string;
  readonly clientKey: string;
}

interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** Makes a certificate authority with a server's and a client's certificate, all in memory and valid for a year. */
export async function createCertificates(): Promise<Certificates> {
  const authority = await issue('quiesce test authority', [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
  ]);
  const leaf = { name: 'basicConstraints', cA: false, critical: true } as const;
  const usage = { name: 'keyUsage', digitalSignature: true, critical: true } as const;
  const [server, client] = await Promise.all([
    issue(
      'localhost',
      [
        leaf,
        usage,
        // etcd's own gRPC gateway dials the server with the server's certificate, so it needs clientAuth.
        { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
        {
          name: 'subjectAltName',
          altNames: [
            { type: 2, value: 'localhost' },
            { type: 7, ip: '127.0.0.1' },
          ],
        },
      ],
      authority,
    ),
    issue('quiesce test client', [leaf, usage, { name: 'extKeyUsage', clientAuth: true }], authority),
  ]);
  return {
    ca: authority.cert,
    serverCert: server.cert,
    serverKey: server.key,
    clientCert: client.cert,
    clientKey: client.key,
  };
}

async function issue(
  commonName: string,
  extensions: NonNullable<SelfsignedOptions['extensions']>,
  ca?: KeyPair,
): Promise<KeyPair> {
  // It takes longer to load than everything else here, and few tests use TLS.
  const { generate } = await import('selfsigned');
  const pems = await generate([{ name: 'commonName', value: commonName }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions,
    ...(ca === undefined ? {} : { ca: { key: ca.key, cert: ca.cert } }),
  });
  return { cert: pems.cert, key: pems.private };
}
