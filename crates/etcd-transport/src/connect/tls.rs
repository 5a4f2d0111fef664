//! TLS of a client: which certificates it trusts, and which it presents. What Go's TLS accepts, which etcd and its
//! other clients use, is accepted here, too, or refused with the reason. With ring alone, rustls doesn't support the
//! curve P-521. It also doesn't accept the certificate of an authority as a server's, which etcd's `--auto-tls` makes.

use std::fmt;
use std::sync::{Arc, LazyLock};

use ring::digest;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring as provider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, PrivateKeyDer, ServerName, SignatureVerificationAlgorithm,
    UnixTime, alg_id,
};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureAlgorithm, SignatureScheme,
};

use crate::connect::target::{InvalidOptions, invalid};

/// PEM texts for a server that speaks TLS.
#[derive(Default)]
pub struct Tls {
    /// Default: the operating system's authorities.
    pub ca: Option<Vec<u8>>,
    /// Certificate chain and private key, for mutual TLS.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    pub server_name: Option<String>,
    /// Whether any certificate is accepted.
    pub skip_verification: bool,
}

/// The name that a server's certificate must be for: the name in the options, or the host. Both may have the final dot
/// of DNS, which certificates don't have.
pub fn server_name(tls: &Tls, host: &str) -> Result<ServerName<'static>, InvalidOptions> {
    let name = tls.server_name.as_deref().unwrap_or(host);
    let name = name.strip_suffix('.').unwrap_or(name).to_owned();
    ServerName::try_from(name).map_err(|error| invalid("server name", error))
}

pub fn client_config(tls: Tls) -> Result<ClientConfig, InvalidOptions> {
    let verifier: Arc<dyn ServerCertVerifier> = match tls.skip_verification {
        true => Arc::new(Nobody),
        false => Arc::new(Verifier::new(tls.ca)?),
    };
    let builder = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("TLS", error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match tls.identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = certificates("client certificate", &chain)?;
            // The certificate isn't checked, as one of X.509 version 1 can't be read here, and the server may accept
            // it.
            let identity = CertifiedKey::new(chain, signing_key(&key)?);
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidOptions> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| invalid(what, error))?;
    if chain.is_empty() {
        return Err(invalid(what, "it holds no PEM certificate"));
    }
    Ok(chain)
}

fn signing_key(pem: &[u8]) -> Result<Arc<dyn SigningKey>, InvalidOptions> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| invalid("client key", error))?;
    if let Some(key) = P521Key::new(&key) {
        return Ok(Arc::new(key));
    }
    // For any other key, rustls only reports that it can't parse it.
    provider::sign::any_supported_type(&key).map_err(|_| {
        let taken = "RSA with 2048 to 4096 bits, ECDSA on P-256, P-384 or P-521, or Ed25519";
        invalid("client key", format!("it is none of {taken}"))
    })
}

/// The algorithms of ring, and P-521.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let ring = provider::default_provider();
    let WebPkiSupportedAlgorithms { all, mapping } = ring.signature_verification_algorithms;
    // The algorithms have to live as long as the process.
    let all = [all, &P521].concat().leak();
    let p521: (SignatureScheme, &[_]) = (SignatureScheme::ECDSA_NISTP521_SHA512, &P521[..1]);
    let mapping = [mapping, &[p521]].concat().leak();
    let signature_verification_algorithms = WebPkiSupportedAlgorithms { all, mapping };
    Arc::new(CryptoProvider { signature_verification_algorithms, ..ring })
});

/// Trusts what the authorities have signed and, like Go, each certificate that is itself in `ca`.
#[derive(Debug)]
struct Verifier {
    authorities: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(ca: Option<Vec<u8>>) -> Result<Self, InvalidOptions> {
        let mut roots = RootCertStore::empty();
        let mut named = Vec::new();
        match ca {
            Some(pem) => {
                named = certificates("certificate authority", &pem)?;
                for certificate in &named {
                    roots.add(certificate.clone()).map_err(|error| invalid("certificate authority", error))?;
                }
            }
            None => {
                // Some of the operating system's certificates may be unusable. That is not a reason to refuse the
                // others.
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err(invalid("TLS", "the operating system trusts no authority; name one as `ca`"));
                }
            }
        }
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone())
            .build()
            .map_err(|error| invalid("TLS", error))?;
        Ok(Self { authorities, named })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Err(error) = self.authorities.verify_server_cert(end_entity, intermediates, name, ocsp, now) else {
            return Ok(ServerCertVerified::assertion());
        };
        // The validity period was already checked by then. The name is checked last.
        if no_authority(&error) && self.named.iter().any(|named| named == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let chain = [end_entity].into_iter().chain(intermediates).chain(&self.named);
        Err(reason(error, chain))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.authorities.verify_tls12_signature(message, certificate, signed);
        verified.map_err(|error| reason(error, [certificate]))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.authorities.verify_tls13_signature(message, certificate, signed);
        verified.map_err(|error| reason(error, [certificate]))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Whether a certificate was refused because of its issuer, or because it is an authority's.
fn no_authority(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        Error::InvalidCertificate(CertificateError::Other(_)) => is(error, "CaUsedAsEndEntity"),
        _ => false,
    }
}

/// The errors of webpki are not part of rustls's interface.
fn is(error: &Error, webpki: &str) -> bool {
    format!("{error:?}").contains(webpki)
}

/// Why certificates are refused, where rustls's own message says something else.
fn reason<'a>(error: Error, chain: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> Error {
    let why = if is(&error, "CaUsedAsEndEntity") {
        "the certificate is an authority's"
    } else if is(&error, "UnsupportedCertVersion") {
        "the certificate is not of X.509 version 3"
    } else if is(&error, "BadSignature") && chain.into_iter().any(has_short_rsa_key) {
        "an RSA key is shorter than 2048 bits"
    } else {
        return error;
    };
    Error::General(why.to_owned())
}

/// Whether a certificate has an RSA key of less than 2048 bits. An encoded key of 2048 bits has 294 bytes.
fn has_short_rsa_key(certificate: &CertificateDer<'_>) -> bool {
    const SHORTEST: usize = 290;
    ParsedCertificate::try_from(certificate).is_ok_and(|parsed| {
        let key = parsed.subject_public_key_info();
        key.len() < SHORTEST && key.windows(alg_id::RSA_ENCRYPTION.len()).any(|part| part == &*alg_id::RSA_ENCRYPTION)
    })
}

/// Accepts any certificate. It still checks that the server has the certificate's key.
#[derive(Debug)]
struct Nobody;

impl ServerCertVerifier for Nobody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

/// ECDSA on P-521 with each digest that authorities use. TLS itself allows only SHA-512, the first one.
static P521: [&dyn SignatureVerificationAlgorithm; 3] = [
    &P521Verification { signature: alg_id::ECDSA_SHA512, digest: &digest::SHA512 },
    &P521Verification { signature: alg_id::ECDSA_SHA384, digest: &digest::SHA384 },
    &P521Verification { signature: alg_id::ECDSA_SHA256, digest: &digest::SHA256 },
];

struct P521Verification {
    signature: AlgorithmIdentifier,
    digest: &'static digest::Algorithm,
}

impl fmt::Debug for P521Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ECDSA_P521_{:?}", self.digest)
    }
}

impl SignatureVerificationAlgorithm for P521Verification {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        use p521::ecdsa::signature::hazmat::PrehashVerifier;
        use p521::ecdsa::{Signature, VerifyingKey};
        let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify_prehash(&as_scalar(self.digest, message), &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// A digest as a number of P-521's 66 bytes, which is longer than any digest.
fn as_scalar(algorithm: &'static digest::Algorithm, message: &[u8]) -> [u8; 66] {
    let mut scalar = [0; 66];
    let digest = digest::digest(algorithm, message);
    let digest = digest.as_ref();
    scalar[66 - digest.len()..].copy_from_slice(digest);
    scalar
}

/// A client's P-521 key.
#[derive(Clone)]
struct P521Key(Arc<p521::SecretKey>);

impl P521Key {
    /// `None` for a key of another kind.
    fn new(key: &PrivateKeyDer<'_>) -> Option<Self> {
        use p521::pkcs8::DecodePrivateKey;
        let key = match key {
            PrivateKeyDer::Pkcs8(der) => p521::SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).ok(),
            PrivateKeyDer::Sec1(der) => p521::SecretKey::from_sec1_der(der.secret_sec1_der()).ok(),
            _ => None,
        };
        key.map(|key| Self(Arc::new(key)))
    }
}

impl fmt::Debug for P521Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P521Key")
    }
}

impl SigningKey for P521Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let taken = offered.contains(&SignatureScheme::ECDSA_NISTP521_SHA512);
        taken.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        use p521::ecdsa::signature::hazmat::PrehashSigner;
        let failed = |error: p521::ecdsa::Error| Error::General(error.to_string());
        let key = p521::ecdsa::SigningKey::from_bytes(&self.0.to_bytes()).map_err(failed)?;
        let signature: p521::ecdsa::Signature =
            key.sign_prehash(&as_scalar(&digest::SHA512, message)).map_err(failed)?;
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}
