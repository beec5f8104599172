//! The client: one request, one answer, one deadline over everything.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use awc::{
    Connector,
    error::SendRequestError,
    http::{
        Method,
        header::{self, HeaderName, HeaderValue},
    },
};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{
    address::EgressPolicy,
    answer::{self, Answer},
    attempt::{Attempt, Reuse},
    connect::{Dial, Dialer},
    failure::{Failure, Malformed},
    target::{Target, parse_endpoint_url},
    tls::Tls,
    transport::Link,
};

/// Longer than any attempt: what awc's own clocks are set to, since ours counts.
const NEVER: Duration = Duration::from_secs(366 * 24 * 3600);

/// How a client connects and keeps connections.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Shared by all clients of the process.
    pub tls: Tls,
    /// For lookup, TCP and TLS together. 10 s: a SYN is sent again after 1, 3 and 7 s.
    pub connect_timeout: Duration,
    /// An idle connection is closed after this. 15 s: servers close theirs after 5 to 75 s, and one closed by us first
    /// cannot be found stale.
    pub keep_alive: Duration,
    /// No connection is used for longer than this, so that a changed address is noticed. 75 s.
    pub lifetime: Duration,
}

impl ClientOptions {
    /// The defaults.
    pub fn new(tls: Tls) -> Self {
        Self {
            tls,
            connect_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            lifetime: Duration::from_secs(75),
        }
    }
}

/// One request. The target and the headers can be made once and used for many.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Where to.
    pub target: &'a Target,
    /// Sent as they are, names in lower case, `User-Agent` included. Those that say how the message is framed and how
    /// the connection is used (`Content-Length`, `Transfer-Encoding`, `Connection`, `Expect`, `Upgrade`) are left out,
    /// and so is `Host`: they follow from the rest.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The body; a GET sends none.
    pub body: Bytes,
    /// For everything: connecting, sending, head and body of the answer, and the second try after a stale connection.
    pub timeout: Duration,
    /// For the answer's body, after inflating.
    pub max_body_bytes: usize,
}

/// Sends requests from one thread: the kept-alive connections belong to it. It has no limit on connections and starts no
/// more than it is asked to: whoever uses it bounds the requests in flight, and so the idle connections.
///
/// Needs an actix arbiter (or another `LocalSet`) around it. Dropping it closes its idle connections.
pub struct Client {
    http: awc::Client,
    links: Rc<Links>,
}

impl Client {
    /// A client without connections.
    pub fn new(policy: Arc<EgressPolicy>, options: ClientOptions) -> Self {
        let links = Rc::new(Links {
            open: Rc::default(),
            keep_alive: options.keep_alive,
            is_watched: Cell::new(false),
        });
        let dial = Dial(Rc::new(Dialer {
            policy,
            tls: options.tls,
            connect_timeout: options.connect_timeout,
            links: Rc::clone(&links.open),
        }));
        // Everything that awc would do by itself and that this module does otherwise is switched off.
        let connector = Connector::new()
            .connector(dial)
            .timeout(NEVER)
            .limit(0)
            .conn_keep_alive(options.keep_alive)
            .conn_lifetime(options.lifetime);
        let http = awc::ClientBuilder::new()
            .connector(connector)
            .disable_timeout()
            .disable_redirects()
            .no_default_headers()
            .finish();
        Self { http, links }
    }

    /// Posts. A redirect is an answer like any other.
    ///
    /// A kept-alive connection that ends before any byte of the answer is replaced by a fresh one, once, within the same
    /// deadline: endpoints close idle connections when they like, and this is no fault of anybody. The endpoint may then
    /// see the request twice, as with any delivery.
    ///
    /// # Errors
    /// [`Failure`], when there is no complete answer, or a successful one is too large.
    pub async fn post(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let started = Instant::now();
        let mut answer = self
            .exchange(&Method::POST, &request, deadline(started, &request))
            .await?;
        answer.duration = started.elapsed();
        Ok(answer)
    }

    /// Gets, and follows up to `max_redirects` redirects, each checked like the first address. With 0 a redirect is the
    /// answer. Headers other than `Accept` and `User-Agent` go to the first origin only: they hold tokens.
    ///
    /// # Errors
    /// As [`Self::post`], and [`Failure::TooManyRedirects`], [`Failure::BadRedirect`].
    pub async fn get(&self, request: Request<'_>, max_redirects: u8) -> Result<Answer, Failure> {
        let started = Instant::now();
        let deadline = deadline(started, &request);
        let mut target = request.target.clone();
        let mut headers = request.headers.to_vec();
        let mut followed = 0;
        loop {
            let hop = Request {
                target: &target,
                headers: &headers,
                body: Bytes::new(),
                ..request
            };
            let mut answer = self.exchange(&Method::GET, &hop, deadline).await?;
            let next = match answer.header("location") {
                Some(next) if max_redirects > 0 && is_redirect(answer.status) => next,
                _ => {
                    answer.duration = started.elapsed();
                    return Ok(answer);
                }
            };
            if followed == max_redirects {
                return Err(Failure::TooManyRedirects {
                    limit: max_redirects,
                });
            }
            followed += 1;
            let next = redirected(&target, next)?;
            if !next.same_origin(&target) {
                headers.retain(|(name, _)| *name == header::ACCEPT || *name == header::USER_AGENT);
            }
            target = next;
        }
    }

    async fn exchange(
        &self,
        method: &Method,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let mut reuse = Reuse::Allowed;
        loop {
            let attempt = Attempt::new(request.target.clone(), reuse);
            let work = attempt.scope(self.try_once(method, request, &attempt));
            let result = timeout_at(deadline, work).await;
            self.links.watch();
            return match result {
                Err(_) => Err(Failure::TimedOut {
                    after: request.timeout,
                    phase: attempt.phase.get(),
                }),
                Ok(Ok(answer)) => {
                    if let Some(link) = attempt.link.get() {
                        link.rest(Instant::now());
                    }
                    Ok(answer)
                }
                Ok(Err(_)) if reuse == Reuse::Allowed && attempt.met_stale_connection() => {
                    reuse = Reuse::FreshOnly;
                    continue;
                }
                Ok(Err(failure)) => Err(attempt.cause.take().unwrap_or(failure)),
            };
        }
    }

    async fn try_once(
        &self,
        method: &Method,
        request: &Request<'_>,
        attempt: &Attempt,
    ) -> Result<Answer, Failure> {
        let target = request.target;
        let mut message = self
            .http
            .request(method.clone(), target.uri())
            .no_decompress();
        let headers = message.headers_mut();
        headers.reserve(request.headers.len() + 2);
        for (name, value) in request.headers {
            if !is_ours(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        headers.insert(header::HOST, target.host_header().clone());
        if !headers.contains_key(header::ACCEPT_ENCODING) {
            // Answers are small and often local. Compressed, they would cost both sides more than they save.
            headers.insert(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("identity"),
            );
        }
        let sending = if *method == Method::GET {
            message.send()
        } else {
            message.send_body(request.body.clone())
        };
        let response = sending.await.map_err(|error| no_answer(&error, attempt))?;
        answer::read(response, attempt, request.max_body_bytes).await
    }
}

fn deadline(started: Instant, request: &Request<'_>) -> Instant {
    started + request.timeout.min(NEVER)
}

fn is_ours(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::HOST
            | header::CONTENT_LENGTH
            | header::TRANSFER_ENCODING
            | header::CONNECTION
            | header::EXPECT
            | header::UPGRADE
    )
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

fn redirected(from: &Target, location: &str) -> Result<Target, Failure> {
    let bad = |reason| Failure::BadRedirect { reason };
    let joined = from.url().join(location);
    let text = joined.as_ref().map_or(location, |url| url.as_str());
    let url = parse_endpoint_url(text).map_err(bad)?;
    Target::new(&url).map_err(bad)
}

/// Why awc gave no answer. What the connector and the transport noted is more precise, and goes before this.
fn no_answer(error: &SendRequestError, attempt: &Attempt) -> Failure {
    match error {
        _ if attempt.link_ended.get() => Failure::CutOff {
            phase: attempt.phase.get(),
        },
        SendRequestError::Response(_) => Failure::MalformedAnswer {
            reason: Malformed::Header,
        },
        SendRequestError::Url(_) | SendRequestError::Http(_) | SendRequestError::Body(_) => {
            Failure::BadRequest
        }
        _ => Failure::CutOff {
            phase: attempt.phase.get(),
        },
    }
}

/// The open connections of a client. awc looks at idle ones only when it needs one for the same authority, so without
/// this the last connections to an endpoint that gets no more messages would stay open for ever.
struct Links {
    open: Rc<RefCell<Vec<Weak<Link>>>>,
    keep_alive: Duration,
    is_watched: Cell<bool>,
}

impl Links {
    /// Starts the task that closes idle connections, unless it runs. It ends with the last connection or the client.
    fn watch(self: &Rc<Self>) {
        if self.is_watched.replace(true) {
            return;
        }
        let links = Rc::downgrade(self);
        let keep_alive = self.keep_alive;
        actix_rt::spawn(async move {
            loop {
                tokio::time::sleep(keep_alive).await;
                let Some(links) = links.upgrade() else { return };
                links.close_idle(Instant::now());
                if links.open.borrow().is_empty() {
                    links.is_watched.set(false);
                    return;
                }
            }
        });
    }

    fn close_idle(&self, now: Instant) {
        let limit = now.checked_sub(self.keep_alive);
        self.open.borrow_mut().retain(|link| {
            let Some(link) = link.upgrade() else {
                return false;
            };
            let is_stale = limit.is_some_and(|limit| link.is_idle_since(limit));
            if is_stale {
                link.close();
            }
            !is_stale
        });
    }
}
