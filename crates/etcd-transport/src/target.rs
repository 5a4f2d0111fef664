//! Where to connect to and how: the options of a transport, checked.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// PEM texts for a server that speaks TLS.
#[derive(Default)]
pub struct Tls {
    /// Default: the operating system's authorities.
    pub ca: Option<Vec<u8>>,
    /// Certificate chain and private key, for mutual TLS.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    pub server_name: Option<String>,
}

/// HTTP/2 PINGs.
#[derive(Clone, Copy)]
pub struct KeepAlive {
    pub interval: Duration,
    pub timeout: Duration,
    pub while_idle: bool,
}

pub struct Options {
    /// `http://host:port`, `https://host:port`, `unix:///path` or `unixs:///path`.
    pub endpoint: String,
    pub tls: Tls,
    pub keep_alive: Option<KeepAlive>,
    pub tcp_keep_alive: Option<Duration>,
    pub connect_timeout: Duration,
}

/// What a connection goes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Address {
    Tcp { host: String, port: u16 },
    Unix(String),
}

/// A server that can be connected to.
pub struct Target {
    pub address: Address,
    /// TLS's settings and the name that the server's certificate must be for.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub scheme: Scheme,
    /// As calls name the server.
    pub authority: Authority,
    pub keep_alive: Option<KeepAlive>,
    pub tcp_keep_alive: Option<Duration>,
    /// Bound on address look-up, TCP and TLS together.
    pub connect_timeout: Duration,
}

/// Options that can't work.
#[derive(Debug)]
pub struct InvalidOptions(String);

impl fmt::Display for InvalidOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for InvalidOptions {}

fn invalid(what: &str, why: impl fmt::Display) -> InvalidOptions {
    InvalidOptions(format!("{what}: {why}"))
}

impl Target {
    /// Checks the options. No I/O, except for the operating system's authorities.
    pub fn new(options: Options) -> Result<Self, InvalidOptions> {
        let Options { endpoint, tls, keep_alive, tcp_keep_alive, connect_timeout } = options;
        let (secure, address, authority) = parse(&endpoint)?;
        let tls = match secure {
            false => None,
            true => {
                let host = match &address {
                    Address::Tcp { host, .. } => host.as_str(),
                    Address::Unix(_) => "localhost",
                };
                let name = tls.server_name.clone().unwrap_or_else(|| host.to_owned());
                let name = ServerName::try_from(name).map_err(|error| invalid("server name", error))?;
                Some((Arc::new(client_config(tls)?), name))
            }
        };
        let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
        Ok(Self { address, tls, scheme, authority, keep_alive, tcp_keep_alive, connect_timeout })
    }
}

fn parse(endpoint: &str) -> Result<(bool, Address, Authority), InvalidOptions> {
    for (prefix, secure) in [("unix://", false), ("unixs://", true)] {
        if let Some(path) = endpoint.strip_prefix(prefix) {
            if path.is_empty() {
                return Err(invalid("endpoint", "it names no socket"));
            }
            return Ok((secure, Address::Unix(path.to_owned()), Authority::from_static("localhost")));
        }
    }
    let uri: http::Uri = endpoint.parse().map_err(|error| invalid("endpoint", error))?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(invalid("endpoint", "its scheme must be http, https, unix or unixs")),
    };
    let authority = uri.authority().ok_or_else(|| invalid("endpoint", "it names no host"))?.clone();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    Ok((secure, Address::Tcp { host, port }, authority))
}

fn client_config(tls: Tls) -> Result<ClientConfig, InvalidOptions> {
    let mut roots = RootCertStore::empty();
    match tls.ca {
        Some(pem) => {
            for certificate in certificates("certificate authority", &pem)? {
                roots.add(certificate).map_err(|error| invalid("certificate authority", error))?;
            }
        }
        None => {
            // Of the operating system's certificates some may be unusable; that is no reason to refuse the others.
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(invalid("TLS", "the operating system trusts no authority; name one as `ca`"));
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("TLS", error))?
        .with_root_certificates(roots);
    let mut config = match tls.identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| invalid("client key", error))?;
            builder
                .with_client_auth_cert(certificates("client certificate", &chain)?, key)
                .map_err(|error| invalid("client certificate", error))?
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_endpoints() {
        let tcp = |host: &str, port| Address::Tcp { host: host.to_owned(), port };
        for (endpoint, secure, address, authority) in [
            ("http://etcd.example:2379", false, tcp("etcd.example", 2379), "etcd.example:2379"),
            ("https://[::1]:2379", true, tcp("::1", 2379), "[::1]:2379"),
            ("https://etcd.example", true, tcp("etcd.example", 443), "etcd.example"),
            ("unix:///run/etcd.sock", false, Address::Unix("/run/etcd.sock".to_owned()), "localhost"),
            ("unixs://etcd.sock", true, Address::Unix("etcd.sock".to_owned()), "localhost"),
        ] {
            assert_eq!(parse(endpoint).unwrap(), (secure, address, Authority::from_static(authority)), "{endpoint}");
        }
        for endpoint in ["ftp://host:1", "unix://", "host:2379", "http://", ""] {
            assert!(parse(endpoint).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn refuses_certificates_that_are_none() {
        let options = |tls| Options {
            endpoint: "https://host:1".to_owned(),
            tls,
            keep_alive: None,
            tcp_keep_alive: None,
            connect_timeout: Duration::from_secs(1),
        };
        let error = Target::new(options(Tls { ca: Some(b"nothing".to_vec()), ..Tls::default() })).err().unwrap();
        assert_eq!(error.to_string(), "certificate authority: it holds no PEM certificate");
    }
}
