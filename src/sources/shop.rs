//! A shop's address and key: sends one request, and says what went wrong in the shop's own terms.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::Value;
use url::Url;

use super::error::SourceError;
use crate::{
    domain::{mask::Mask, time::Micros},
    net::{
        Answer, Client, Failure, Request, Target,
        header::{HeaderName, HeaderValue},
        parse_endpoint_url,
    },
};

/// How a store is entered, as the operator gave it.
#[derive(Clone)]
pub enum Credentials {
    /// An API key (Spree 1.3 to 4.4, the connector, Solidus), or a secret key of the Admin API (`sk_...`).
    Key(String),
    /// An OAuth application of the Platform API.
    Application {
        /// `client_id`.
        id: String,
        /// `client_secret`.
        secret: String,
    },
}

/// Never shows a secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key(***)",
            Self::Application { .. } => "Application(***)",
        })
    }
}

/// Bounds of a single request.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// For everything from connecting to the last byte.
    pub timeout: Duration,
    /// For an answer's body, inflated.
    pub max_body_bytes: usize,
}

impl Default for RequestLimits {
    /// 30 s and 64 MiB: a page of a hundred whole documents is a few MiB.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            max_body_bytes: 64 << 20,
        }
    }
}

/// A JSON answer.
#[derive(Debug)]
pub(super) struct Reply {
    /// The body.
    pub text: String,
    /// The shop's clock, from its `Date` header.
    pub store_now: Option<Micros>,
}

/// One shop. Belongs to one thread, as its client does.
pub struct Shop {
    client: Rc<Client>,
    base: Url,
    credentials: Credentials,
    limits: RequestLimits,
    masks: RefCell<Mask>,
    requests: Cell<u32>,
    remaining: Cell<Option<u32>>,
}

impl Shop {
    /// Reads `address` as people write it: with or without `/api`, `/api/v1` and a slash at the end.
    ///
    /// # Errors
    /// [`SourceError::WrongAddress`] when it is no address.
    pub fn new(
        client: Rc<Client>,
        address: &str,
        credentials: Credentials,
        limits: RequestLimits,
    ) -> Result<Self, SourceError> {
        let mut base = parse_endpoint_url(address).map_err(|why| SourceError::WrongAddress {
            address: "the given address".to_owned(),
            why: format!("it {why}"),
        })?;
        base.set_query(None);
        base.set_fragment(None);
        let path = base.path().trim_end_matches('/');
        let path = [
            "/api/v1/orders",
            "/api/orders",
            "/api/v1",
            "/api/v2/platform",
            "/api/v3/admin",
            "/api/v3",
            "/api",
        ]
        .into_iter()
        .find_map(|tail| path.strip_suffix(tail))
        .unwrap_or(path)
        .to_owned();
        base.set_path(&format!("{path}/"));
        let mut masks = Mask::default();
        match &credentials {
            Credentials::Key(key) => masks.add(key),
            Credentials::Application { id, secret } => {
                masks.add(secret);
                masks.add(id);
            }
        }
        Ok(Self {
            client,
            base,
            credentials,
            limits,
            masks: RefCell::new(masks),
            requests: Cell::new(0),
            remaining: Cell::new(None),
        })
    }

    /// How the shop is entered.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The shop's address, as it was understood.
    #[must_use]
    pub fn address(&self) -> String {
        self.base.to_string()
    }

    /// The same shop for another user, with counters of its own.
    pub(super) fn again(&self) -> Result<Self, SourceError> {
        Self::new(
            Rc::clone(&self.client),
            self.base.as_str(),
            self.credentials.clone(),
            self.limits,
        )
    }

    /// Requests sent since this was made.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.get()
    }

    /// How many more requests the shop allows for now, by its last answer (`X-RateLimit-Remaining`).
    #[must_use]
    pub fn remaining(&self) -> Option<u32> {
        self.remaining.get()
    }

    /// Another secret that must not be shown.
    pub(super) fn learn_secret(&self, secret: &str) {
        self.masks.borrow_mut().add(secret);
    }

    /// Gets JSON.
    pub(super) async fn get(
        &self,
        path: &str,
        query: &[(&str, String)],
        auth: &[(&'static str, String)],
    ) -> Result<Reply, SourceError> {
        let (target, headers) = self.prepared(path, query, auth)?;
        let request = self.request(&target, &headers);
        let answer = self.client.get(request, 0).await;
        self.read(path, &target, answer)
    }

    /// Posts a form and reads JSON.
    pub(super) async fn post_form(
        &self,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<Reply, SourceError> {
        let (target, mut headers) = self.prepared(path, &[], &[])?;
        headers.push((
            HeaderName::from_static("content-type"),
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        ));
        let mut request = self.request(&target, &headers);
        request.body = serde_urlencoded::to_string(form).unwrap_or_default().into();
        let answer = self.client.post(request).await;
        self.read(path, &target, answer)
    }

    fn prepared(
        &self,
        path: &str,
        query: &[(&str, String)],
        auth: &[(&'static str, String)],
    ) -> Result<(Target, Vec<(HeaderName, HeaderValue)>), SourceError> {
        let wrong = |why: &str| SourceError::WrongAddress {
            address: self.base.to_string(),
            why: why.to_owned(),
        };
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| wrong("it cannot have a path"))?
            .pop_if_empty()
            .extend(path.split('/'));
        if !query.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(query.iter().map(|(name, value)| (name, value)));
        }
        let target = Target::new(&url).map_err(|why| wrong(&format!("it {why}")))?;
        let mut headers = vec![
            (
                HeaderName::from_static("accept"),
                HeaderValue::from_static("application/json, application/vnd.api+json"),
            ),
            (
                HeaderName::from_static("user-agent"),
                HeaderValue::from_static(concat!("integrator/", env!("CARGO_PKG_VERSION"))),
            ),
        ];
        for (name, value) in auth {
            let value = HeaderValue::from_str(value).map_err(|_| SourceError::WrongKey {
                says: "it holds characters that a header cannot carry".to_owned(),
            })?;
            headers.push((HeaderName::from_static(name), value));
        }
        Ok((target, headers))
    }

    fn request<'a>(
        &self,
        target: &'a Target,
        headers: &'a [(HeaderName, HeaderValue)],
    ) -> Request<'a> {
        self.requests.set(self.requests.get() + 1);
        Request {
            target,
            headers,
            body: bytes::Bytes::new(),
            timeout: self.limits.timeout,
            max_body_bytes: self.limits.max_body_bytes,
        }
    }

    fn read(
        &self,
        path: &str,
        target: &Target,
        answer: Result<Answer, Failure>,
    ) -> Result<Reply, SourceError> {
        let address = plain_address(target.url());
        let answer = answer.map_err(|failure| match failure {
            Failure::TimedOut { after, .. } => SourceError::Timeout { after },
            Failure::HostNotFound { .. } | Failure::AddressNotAllowed { .. } => {
                SourceError::WrongAddress {
                    address: address.clone(),
                    why: failure.to_string(),
                }
            }
            Failure::AnswerTooLarge { .. } | Failure::MalformedAnswer { .. } => {
                SourceError::Malformed {
                    place: path.to_owned(),
                    why: failure.to_string(),
                }
            }
            other => SourceError::Unreachable(other),
        })?;
        let store_now = answer.header("date").and_then(http_date);
        if let Some(remaining) = answer.header("x-ratelimit-remaining") {
            self.remaining.set(remaining.trim().parse().ok());
        }
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let body: Option<Value> = if answer.is_success() {
            // The whole is read by who asked; here it only matters that it is JSON.
            matches!(text.trim_start().bytes().next(), Some(b'{' | b'[')).then_some(Value::Null)
        } else {
            serde_json::from_str(&text).ok()
        };
        let retry_after = answer.retry_after.map(|wish| {
            let now = store_now.map_or(0, |now| now.0);
            wish.wait_from(now)
        });
        let Some(body) = body else {
            return Err(self.not_json(path, address, &answer, &text, retry_after));
        };
        if answer.is_success() {
            return Ok(Reply { text, store_now });
        }
        let says = self.says(&body);
        let what = path.to_owned();
        Err(match answer.status {
            401 if says.contains("not authorized") => SourceError::Forbidden { what, scope: None },
            401 => SourceError::WrongKey { says },
            403 => SourceError::Forbidden {
                what,
                scope: body
                    .pointer("/error/details/required_scope")
                    .and_then(Value::as_str)
                    .map(|scope| self.shown(scope)),
            },
            404 | 410 => SourceError::NotFound { what },
            429 => SourceError::RateLimited { retry_after },
            status @ 500.. => SourceError::Unavailable {
                status,
                says,
                retry_after,
            },
            status => SourceError::Refused { what, status, says },
        })
    }

    fn not_json(
        &self,
        path: &str,
        address: String,
        answer: &Answer,
        text: &str,
        retry_after: Option<Duration>,
    ) -> SourceError {
        let status = answer.status;
        match status {
            300..=399 => SourceError::WrongAddress {
                address,
                why: match answer.header("location").and_then(|to| Url::parse(to).ok()) {
                    Some(to) => format!("it redirects to {}", plain_address(&to)),
                    None => "it redirects elsewhere".to_owned(),
                },
            },
            401 => SourceError::WrongKey {
                says: self.snippet(text),
            },
            403 => SourceError::Forbidden {
                what: path.to_owned(),
                scope: None,
            },
            404 | 410 => SourceError::NotFound {
                what: path.to_owned(),
            },
            429 => SourceError::RateLimited { retry_after },
            501.. => SourceError::Unavailable {
                status,
                says: self.snippet(text),
                retry_after,
            },
            _ => SourceError::NotJson {
                address,
                status,
                snippet: self.snippet(text),
            },
        }
    }

    /// What an error document says: `error`, `error.message` or `exception`.
    fn says(&self, body: &Value) -> String {
        let places = [
            "/error/message",
            "/error",
            "/exception",
            "/errors/0/detail",
            "/error_description",
        ];
        let words = places
            .into_iter()
            .find_map(|place| body.pointer(place).and_then(Value::as_str))
            .unwrap_or("no reason given");
        self.shown(words)
    }

    fn snippet(&self, text: &str) -> String {
        let mut plain = String::new();
        let mut in_tag = false;
        for character in text.chars().take(4000) {
            match character {
                '<' => in_tag = true,
                '>' if in_tag => {
                    in_tag = false;
                    plain.push(' ');
                }
                _ if in_tag => {}
                other => plain.push(other),
            }
        }
        let words: Vec<&str> = plain.split_whitespace().collect();
        self.shown(&words.join(" "))
    }

    /// Masked, without control characters, at most 160 characters.
    pub(super) fn shown(&self, text: &str) -> String {
        let covered = self.masks.borrow().cover(text.to_owned());
        covered
            .chars()
            .filter(|c| !c.is_control())
            .take(160)
            .collect()
    }
}

/// Without query and fragment.
fn plain_address(url: &Url) -> String {
    let mut plain = url.clone();
    plain.set_query(None);
    plain.set_fragment(None);
    plain.to_string()
}

fn http_date(text: &str) -> Option<Micros> {
    let at = httpdate::parse_http_date(text).ok()?;
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok().map(Micros)
}
