//! Opening a connection: look the name up, ask the policy about every address, connect to one that passed, speak TLS.
//!
//! All in one place, so that no second lookup can lead elsewhere than the first, which was checked (DNS rebinding).

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix_rt::net::TcpStream;
use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant, timeout_at};

use super::{
    address::EgressPolicy,
    attempt::Attempt,
    failure::{ConnectStep, Failure},
    target::Target,
    tls::{self, Tls},
    transport::{Io, Link, Transport},
};

/// What connecting needs; one per client.
pub(super) struct Dialer {
    pub(super) policy: Arc<EgressPolicy>,
    pub(super) tls: Tls,
    /// Time for lookup, TCP and TLS together.
    pub(super) connect_timeout: Duration,
    /// The connections opened and not yet seen dead; the client closes those idle for too long.
    pub(super) links: Rc<RefCell<Vec<Weak<Link>>>>,
}

impl Dialer {
    async fn dial(&self, target: &Target) -> Result<Rc<Link>, Failure> {
        let deadline = Instant::now() + self.connect_timeout;
        let late = |step| Failure::ConnectTimeout {
            host: target.host().to_owned(),
            port: target.port(),
            after: self.connect_timeout,
            step,
        };
        let addresses = timeout_at(deadline, self.permitted_addresses(target))
            .await
            .map_err(|_| late(ConnectStep::Lookup))??;
        let (tcp, remote) = connect_to_one(target, &addresses, deadline)
            .await
            .map_err(|failure| failure.unwrap_or_else(|| late(ConnectStep::Tcp)))?;
        // Requests are written whole; waiting for more to fill a segment only delays their last part.
        let _ = tcp.set_nodelay(true);
        let io = match target.tls_name() {
            None => Io::Plain(tcp),
            Some(name) => {
                let shaken = timeout_at(deadline, self.tls.connector().connect(name.clone(), tcp))
                    .await
                    .map_err(|_| late(ConnectStep::Tls))?;
                Io::Tls(Box::new(shaken.map_err(|error| Failure::Tls {
                    host: target.host().to_owned(),
                    kind: tls::failure_kind(&error),
                })?))
            }
        };
        let link = Link::new(io, remote);
        self.links.borrow_mut().push(Rc::downgrade(&link));
        Ok(link)
    }

    /// Every address of the target that the policy permits, in the order of the lookup.
    async fn permitted_addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Failure> {
        let port = target.port();
        let found = match target.literal() {
            Some(address) => vec![SocketAddr::new(address, port)],
            None => tokio::net::lookup_host((target.host(), port))
                .await
                .map(|found| found.collect::<Vec<_>>())
                .unwrap_or_default(),
        };
        let mut first_refused = None;
        let mut permitted = Vec::with_capacity(found.len());
        for address in found {
            match self.policy.permits(address.ip()) {
                Ok(()) => permitted.push(address),
                Err(refused) => {
                    first_refused.get_or_insert(refused);
                }
            }
        }
        if !permitted.is_empty() {
            return Ok(permitted);
        }
        let host = target.host().to_owned();
        Err(match first_refused {
            Some(refused) => Failure::AddressNotAllowed {
                host,
                address: refused.address,
                kind: refused.kind,
            },
            None => Failure::HostNotFound { host },
        })
    }
}

/// Tries the addresses in turn. Each gets an even share of the time that is left, so that a first address that swallows
/// packets (a broken IPv6 route, mostly) leaves time for the next. `Err(None)` means that time ran out.
async fn connect_to_one(
    target: &Target,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), Option<Failure>> {
    let mut last = None;
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match timeout_at(Instant::now() + share, TcpStream::connect(*address)).await {
            Ok(Ok(tcp)) => return Ok((tcp, *address)),
            Ok(Err(error)) => last = Some(connect_failure(target, &error)),
            Err(_) => {}
        }
    }
    Err(last)
}

fn connect_failure(target: &Target, error: &io::Error) -> Failure {
    let (host, port) = (target.host().to_owned(), target.port());
    // Too many open files (in the process, in the system), no buffer space: the same numbers on Linux; elsewhere they
    // may be missed, and the endpoint pays for it with an attempt.
    let is_ours = matches!(error.raw_os_error(), Some(23 | 24 | 105))
        || matches!(
            error.kind(),
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory
        );
    match error.kind() {
        _ if is_ours => Failure::OutOfSockets,
        io::ErrorKind::ConnectionRefused => Failure::ConnectRefused { host, port },
        _ => Failure::NoConnection { host, port },
    }
}

/// The [`Dialer`] as the service that awc asks for connections.
#[derive(Clone)]
pub(super) struct Dial(pub(super) Rc<Dialer>);

impl Service<ConnectInfo<Uri>> for Dial {
    type Response = Connection<Uri, Transport>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, asked: ConnectInfo<Uri>) -> Self::Future {
        let dialer = Rc::clone(&self.0);
        Box::pin(async move {
            // Where to go comes from the attempt, not from the URI: that one lies about TLS, see `Target`.
            let attempt = Attempt::current().ok_or(ConnectError::Unresolved)?;
            match dialer.dial(&attempt.target).await {
                Ok(link) => Ok(Connection::new(
                    asked.request().clone(),
                    Transport::new(link),
                )),
                Err(failure) => {
                    attempt.fail(failure);
                    Err(ConnectError::Unresolved)
                }
            }
        })
    }
}
