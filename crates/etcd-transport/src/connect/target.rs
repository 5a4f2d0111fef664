//! Where and how to connect: the checked options of a transport.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::connect::tls::{Tls, client_config, server_name};

/// The settings of HTTP/2 PINGs.
#[derive(Clone, Copy)]
pub struct KeepAlive {
    pub interval: Duration,
    pub timeout: Duration,
    pub while_idle: bool,
}

pub struct Options {
    /// `http://host:port`, `https://host:port`, `unix:///path` or `unixs:///path`.
    pub endpoint: String,
    /// `None` where [`Target::set_tls`] gives the options later.
    pub tls: Option<Tls>,
    pub keep_alive: Option<KeepAlive>,
    pub tcp_keep_alive: Option<Duration>,
    pub connect_timeout: Duration,
}

/// The address of a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Address {
    Tcp { host: String, port: u16 },
    Unix(String),
}

/// The TLS settings and the name that the server's certificate must be for.
pub type Secured = (Arc<ClientConfig>, ServerName<'static>);

/// A server to connect to.
pub struct Target {
    pub address: Address,
    /// For a server that speaks TLS, the settings of later connections. The inner `None` means that they are given
    /// later.
    tls: Option<Mutex<Option<Secured>>>,
    pub scheme: Scheme,
    /// The server's name in calls.
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

pub fn invalid(what: &str, why: impl fmt::Display) -> InvalidOptions {
    InvalidOptions(format!("{what}: {why}"))
}

impl Target {
    /// Checks the options. It does no I/O, except for reading the operating system's authorities.
    pub fn new(options: Options) -> Result<Self, InvalidOptions> {
        let Options { endpoint, tls, keep_alive, tcp_keep_alive, connect_timeout } = options;
        let (secure, address, authority) = parse(&endpoint)?;
        let tls = match secure {
            false => None,
            true => Some(Mutex::new(tls.map(|tls| secured(tls, &address)).transpose()?)),
        };
        let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
        Ok(Self { address, tls, scheme, authority, keep_alive, tcp_keep_alive, connect_timeout })
    }

    /// Sets other TLS options, for later connections. They have no effect if the server doesn't speak TLS.
    pub fn set_tls(&self, tls: Tls) -> Result<(), InvalidOptions> {
        if let Some(current) = &self.tls {
            let secured = secured(tls, &self.address)?;
            *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(secured);
        }
        Ok(())
    }

    /// How the next connection is secured. The inner `None` means that the options were not given yet.
    pub fn tls(&self) -> Option<Option<Secured>> {
        self.tls.as_ref().map(|tls| tls.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn secured(tls: Tls, address: &Address) -> Result<Secured, InvalidOptions> {
    let host = match address {
        Address::Tcp { host, .. } => host.as_str(),
        Address::Unix(_) => "localhost",
    };
    let name = server_name(&tls, host)?;
    Ok((Arc::new(client_config(tls)?), name))
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
            tls: Some(tls),
            keep_alive: None,
            tcp_keep_alive: None,
            connect_timeout: Duration::from_secs(1),
        };
        let error = Target::new(options(Tls { ca: Some(b"nothing".to_vec()), ..Tls::default() })).err().unwrap();
        assert_eq!(error.to_string(), "certificate authority: it holds no PEM certificate");
    }
}
