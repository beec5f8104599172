//! `[egress]`: requests from the hub to endpoints and stores.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::{Bound, Section};

/// Where the hub may connect to, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressConfig {
    /// Networks that may be called although they are special. A single address is a network of one.
    #[serde(deserialize_with = "networks")]
    pub allow_networks: Vec<IpNet>,
    /// Seconds until a connection stands, TLS included.
    pub connect_timeout_secs: u64,
    /// A PEM file with further certificate authorities.
    #[serde(deserialize_with = "optional_path")]
    pub ca_file: Option<PathBuf>,
}

impl EgressConfig {
    /// This machine may be called.
    pub fn for_tests() -> Self {
        let allow_networks = [
            IpAddr::from([127, 0, 0, 1]),
            IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        ];
        Self {
            allow_networks: allow_networks.map(IpNet::from).to_vec(),
            connect_timeout_secs: 2,
            ca_file: None,
        }
    }
}

impl Section for EgressConfig {
    const NAME: &'static str = "egress";
    const BOUNDS: &'static [Bound] = &[Bound::new("connect_timeout_secs", 1.0, 300.0)];
}

/// Host bits are dropped: `10.1.2.3/8` means `10.0.0.0/8`.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let (mut networks, mut refused) = (Vec::new(), Vec::new());
    for text in &texts {
        match text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        {
            Ok(network) => networks.push(network.trunc()),
            Err(_) => refused.push(format!("{text:?}")),
        }
    }
    if refused.is_empty() {
        return Ok(networks);
    }
    let refused = refused.join(", ");
    Err(D::Error::custom(format!(
        "expected networks such as 10.1.0.0/16 or addresses such as 127.0.0.1, found {refused}"
    )))
}

fn optional_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}
