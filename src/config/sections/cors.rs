//! `[cors]`: which web pages may call the API from a browser.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::{Bound, Section};

/// The origins that may.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorsConfig {
    /// Any of these; none when empty.
    pub allow_origins: Vec<AllowedOrigin>,
}

/// An origin (RFC 6454) as browsers send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// `*`: every origin.
    Any,
    /// `https://host` or `https://host:port`, lower case, without a default port or a path.
    Exactly(String),
}

impl CorsConfig {
    /// Whether a page of `origin`, the value of an `Origin` header, may call the API.
    pub fn allows(&self, origin: &str) -> bool {
        self.allow_origins.iter().any(|allowed| match allowed {
            AllowedOrigin::Any => true,
            AllowedOrigin::Exactly(text) => text == origin,
        })
    }
}

impl Section for CorsConfig {
    const NAME: &'static str = "cors";
    const BOUNDS: &'static [Bound] = &[];
}

impl<'de> Deserialize<'de> for AllowedOrigin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "*" {
            return Ok(Self::Any);
        }
        let origin = url::Url::parse(&text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        });
        match origin {
            Some(url) => Ok(Self::Exactly(url.origin().ascii_serialization())),
            None => Err(D::Error::custom(format!(
                "expected origins such as https://admin.example.com, or *, found {text:?}"
            ))),
        }
    }
}
