//! The channel to one server: address, TLS and keepalive.

use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

/// PEM texts for an `https://` endpoint.
#[derive(Default)]
pub struct Tls {
    pub ca: Option<Vec<u8>>,
    /// Certificate chain and private key, for mutual TLS.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    pub server_name: Option<String>,
}

/// HTTP/2 PINGs.
pub struct KeepAlive {
    pub interval: Duration,
    pub timeout: Duration,
    pub while_idle: bool,
}

pub struct ConnectionOptions {
    /// `http://host:port` or `https://host:port`.
    pub endpoint: String,
    pub tls: Tls,
    pub keep_alive: Option<KeepAlive>,
    pub tcp_keep_alive: Option<Duration>,
    pub connect_timeout: Duration,
}

/// Checks the options. No I/O.
pub fn endpoint(options: ConnectionOptions) -> Result<Endpoint, Error> {
    let secure = options.endpoint.starts_with("https:");
    let mut endpoint = Endpoint::from_shared(options.endpoint)?
        .user_agent(concat!("quiesce-etcd/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(options.connect_timeout)
        .tcp_keepalive(options.tcp_keep_alive)
        .tcp_nodelay(true);
    if let Some(keep_alive) = options.keep_alive {
        endpoint = endpoint
            .http2_keep_alive_interval(keep_alive.interval)
            .keep_alive_timeout(keep_alive.timeout)
            .keep_alive_while_idle(keep_alive.while_idle);
    }
    if secure {
        endpoint = endpoint.tls_config(tls_config(options.tls))?;
    }
    Ok(endpoint)
}

/// A channel that connects when first used, and again after its connection broke. Needs a runtime's context.
pub fn channel(endpoint: &Endpoint) -> Channel {
    endpoint.connect_lazy()
}

fn tls_config(tls: Tls) -> ClientTlsConfig {
    let mut config = match tls.ca {
        Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some((cert, key)) = tls.identity {
        config = config.identity(Identity::from_pem(cert, key));
    }
    if let Some(name) = tls.server_name {
        config = config.domain_name(name);
    }
    config
}
