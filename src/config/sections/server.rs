//! `[server]`: the HTTP side.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::{Bound, Section};

/// Where the hub listens, and how much it takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Where to listen.
    pub listen: HostPort,
    /// Threads that answer requests; 0 is as many as there are cores.
    pub workers: usize,
    /// The largest request body that is read, in bytes.
    pub max_body_bytes: usize,
    /// Connections open at once, over all threads.
    pub max_connections: usize,
    /// Seconds that a stop waits for what is in flight.
    pub shutdown_secs: u64,
    /// The address under which others reach this hub, for links; `None`: made from each request.
    #[serde(deserialize_with = "optional_url")]
    pub public_url: Option<url::Url>,
}

impl ServerConfig {
    /// A free port of this machine, two threads, and a stop that does not wait long.
    pub fn for_tests() -> Self {
        Self {
            listen: HostPort {
                host: "127.0.0.1".to_owned(),
                port: 0,
            },
            workers: 2,
            max_body_bytes: 5 * 1024 * 1024,
            max_connections: 1_000,
            shutdown_secs: 5,
            public_url: None,
        }
    }
}

impl Section for ServerConfig {
    const NAME: &'static str = "server";
    const BOUNDS: &'static [Bound] = &[
        Bound::new("workers", 0.0, 256.0),
        Bound::new("max_body_bytes", 1.0, 1_073_741_824.0),
        Bound::new("max_connections", 1.0, 1_000_000.0),
        Bound::new("shutdown_secs", 0.0, 3_600.0),
    ];
}

/// A host, by name or address, and a port. `Display` gives `host:port` again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: String,
    /// 0 takes a free one.
    pub port: u16,
}

impl HostPort {
    /// Reads `name:port`, `1.2.3.4:port` or `[::1]:port`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .filter(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())?,
            None => host,
        };
        let named = text.starts_with('[') || !host.contains([':', '/', '[', ']', ' ']);
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        match (host.is_empty(), named && digits) {
            (false, true) => Some(Self {
                host: host.to_owned(),
                port: port.parse().ok()?,
            }),
            _ => None,
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "expected HOST:PORT such as 127.0.0.1:8080 or [::]:8080, found {text:?}"
            ))
        })
    }
}

fn optional_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<url::Url>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    let plain = |url: &url::Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    match url::Url::parse(&text).ok().filter(plain) {
        Some(url) => Ok(Some(url)),
        // Not repeated: a URL with a user and a password in it is one way to get here.
        None => Err(D::Error::custom(
            "expected an address such as https://hub.example.com, without user, query or fragment",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_address_is_read_and_written_the_same() {
        for text in ["127.0.0.1:8080", "[::]:0", "localhost:80", "[::1]:65535"] {
            assert_eq!(
                HostPort::parse(text)
                    .map(|listen| listen.to_string())
                    .as_deref(),
                Some(text)
            );
        }
    }

    #[test]
    fn half_an_address_is_refused() {
        for text in [
            "",
            "8080",
            ":8080",
            "localhost",
            "localhost:",
            "localhost:+80",
            "host:65536",
            "::1:80",
            "[host]:80",
            "http://host:80",
        ] {
            assert_eq!(HostPort::parse(text), None, "{text}");
        }
    }
}
