//! Where a request goes: a URL that was looked at once, and kept in the form in which each request needs it.

use std::{net::IpAddr, sync::Arc};

use awc::http::{Uri, header::HeaderValue};
use rustls::pki_types::ServerName;
use thiserror::Error;
use url::{Host, Url};

/// Why a text is no address of an endpoint. The sentences are for the person who typed it, and repeat nothing but the
/// scheme of what was typed, since a URL may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// It does not parse, or is relative.
    #[error("is not a complete URL like https://endpoint.example/orders")]
    NotAUrl,
    /// Neither `http` nor `https`.
    #[error("must begin with http:// or https://, not with {scheme}:")]
    Scheme {
        /// The scheme found.
        scheme: String,
    },
    /// It has a name or a password before an `@`.
    #[error("must not contain a user name or password; use a token or a header instead")]
    Credentials,
    /// It has no host.
    #[error("has no host")]
    NoHost,
    /// Its port is 0.
    #[error("has the port 0, which cannot be connected to")]
    PortZero,
    /// It cannot be put into a request, mostly because it is too long.
    #[error("is too long or contains characters that a request line cannot hold")]
    Unsendable,
}

/// Reads the address of an endpoint as a person writes it.
///
/// # Errors
/// [`UrlError`]; its text continues a sentence that begins with what was given ("`url` must begin with ...").
pub fn parse_endpoint_url(text: &str) -> Result<Url, UrlError> {
    let url = Url::parse(text.trim()).map_err(|reason| match reason {
        url::ParseError::EmptyHost => UrlError::NoHost,
        _ => UrlError::NotAUrl,
    })?;
    check(&url)?;
    Ok(url)
}

fn check(url: &Url) -> Result<(), UrlError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlError::Scheme {
            scheme: url.scheme().chars().take(20).collect(),
        });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials);
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(UrlError::NoHost);
    }
    if url.port() == Some(0) {
        return Err(UrlError::PortZero);
    }
    Ok(())
}

/// A checked URL in the form in which requests need it. Make it once, keep it, clone it freely.
#[derive(Clone, Debug)]
pub struct Target(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    url: Url,
    uri: Uri,
    host_header: HeaderValue,
    /// The host without the brackets of an IPv6 address.
    host: String,
    address: Option<IpAddr>,
    port: u16,
    tls_name: Option<ServerName<'static>>,
}

impl Target {
    /// Prepares `url`. A fragment is dropped.
    ///
    /// # Errors
    /// As [`parse_endpoint_url`], and [`UrlError::Unsendable`].
    pub fn new(url: &Url) -> Result<Self, UrlError> {
        check(url)?;
        let (host, address) = match url.host().ok_or(UrlError::NoHost)? {
            Host::Domain(name) => (name.to_owned(), None),
            Host::Ipv4(v4) => (v4.to_string(), Some(IpAddr::V4(v4))),
            Host::Ipv6(v6) => (v6.to_string(), Some(IpAddr::V6(v6))),
        };
        let tls = url.scheme() == "https";
        let tls_name = match (tls, address) {
            (false, _) => None,
            (true, Some(address)) => Some(ServerName::from(address)),
            (true, None) => {
                let name = ServerName::try_from(host.clone());
                Some(name.map_err(|_| UrlError::Unsendable)?)
            }
        };
        let bracketed = url.host_str().ok_or(UrlError::NoHost)?;
        let port = url.port_or_known_default().ok_or(UrlError::PortZero)?;
        let host_header = match url.port() {
            Some(port) => format!("{bracketed}:{port}"),
            None => bracketed.to_owned(),
        };
        // awc is always told http: the TLS is ours. It keeps its idle connections by authority, so the authority of a
        // TLS target has a mark, lest http and https at one port share a connection. No request ever shows it.
        let mark = if tls { "tls@" } else { "" };
        let query = url
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let uri = format!("http://{mark}{bracketed}:{port}{}{query}", url.path());
        Ok(Self(Arc::new(Parts {
            uri: uri.parse().map_err(|_| UrlError::Unsendable)?,
            host_header: host_header.parse().map_err(|_| UrlError::Unsendable)?,
            url: url.clone(),
            host,
            address,
            port,
            tls_name,
        })))
    }

    /// The URL it was made from.
    pub fn url(&self) -> &Url {
        &self.0.url
    }

    /// The host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The port, the scheme's own if the URL names none.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Whether scheme, host and port are the same: only then do two targets share connections.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.0.url.origin() == other.0.url.origin()
    }

    /// The address, if the host is written as one.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// The name that the certificate must have; `None` for plain http.
    pub(super) fn tls_name(&self) -> Option<&ServerName<'static>> {
        self.0.tls_name.as_ref()
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0.uri
    }

    pub(super) fn host_header(&self) -> &HeaderValue {
        &self.0.host_header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::new(&parse_endpoint_url(url).expect("a good URL")).expect("a target")
    }

    #[test]
    fn only_http_and_https_with_a_host_and_without_credentials_pass() {
        let refused = |text: &str| parse_endpoint_url(text).expect_err(text);
        assert_eq!(refused("orders"), UrlError::NotAUrl);
        assert_eq!(refused("/orders"), UrlError::NotAUrl);
        assert_eq!(refused("http://"), UrlError::NoHost);
        assert_eq!(refused("http://a:0/"), UrlError::PortZero);
        assert_eq!(refused("https://me@a/"), UrlError::Credentials);
        assert_eq!(refused("https://:secret@a/"), UrlError::Credentials);
        assert_eq!(
            refused("ftp://a/").to_string(),
            "must begin with http:// or https://, not with ftp:"
        );
        assert!(parse_endpoint_url(" http://localhost:3000/x ").is_ok());
    }

    #[test]
    fn the_host_header_has_the_port_only_when_it_is_not_the_usual_one() {
        assert_eq!(target("http://a.example:80/").host_header(), "a.example");
        assert_eq!(
            target("http://a.example:443/").host_header(),
            "a.example:443"
        );
        assert_eq!(target("https://a.example/").host_header(), "a.example");
        assert_eq!(target("https://[2606::1]:9/").host_header(), "[2606::1]:9");
        assert_eq!(target("https://[2606::1]:9/").host(), "2606::1");
    }

    #[test]
    fn http_and_https_at_one_port_have_different_authorities() {
        let plain = target("http://a.example:443/x?y=1#z");
        let tls = target("https://a.example/x?y=1");
        assert_ne!(plain.uri().authority(), tls.uri().authority());
        assert_eq!(plain.uri().path_and_query(), tls.uri().path_and_query());
        assert!(!plain.same_origin(&tls));
    }

    #[test]
    fn a_url_too_long_for_a_request_line_is_refused() {
        let url = parse_endpoint_url(&format!("http://a/{}", "x".repeat(70_000))).expect("a URL");
        assert_eq!(
            Target::new(&url).expect_err("too long"),
            UrlError::Unsendable
        );
    }
}
