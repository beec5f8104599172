//! How a dispatcher posts: a seam between deciding to send and sending, so that tests can put something else on the other side.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::LocalBoxFuture};

use crate::{
    config::EgressConfig,
    net::{
        Answer, Client, ClientOptions, EgressPolicy, Failure, Request, Target, Tls, TlsError,
        header::{HeaderName, HeaderValue},
    },
};

/// One request, ready to go.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Where to.
    pub target: Target,
    /// Headers besides those of HTTP's own.
    pub headers: Arc<[(HeaderName, HeaderValue)]>,
    /// The body.
    pub body: Bytes,
    /// For everything: connecting, sending, the whole answer.
    pub timeout: Duration,
    /// For the answer's body, after inflating.
    pub max_answer_bytes: usize,
}

/// Posts requests from one thread.
pub trait Transport {
    /// Makes the future that posts; nothing happens before it is polled. It is polled under `catch_unwind` and a deadline of its own.
    fn post(&self, outgoing: Outgoing) -> LocalBoxFuture<'static, Result<Answer, Failure>>;

    /// Makes the future that gets, following at most `redirects` redirects. A transport that only posts fails.
    fn get(
        &self,
        outgoing: Outgoing,
        redirects: u8,
    ) -> LocalBoxFuture<'static, Result<Answer, Failure>> {
        let _ = (outgoing, redirects);
        async { Err(Failure::BadRequest) }.boxed_local()
    }
}

/// Makes a transport for the calling thread: clients are bound to the thread whose connections they keep.
pub type TransportFactory = Arc<dyn Fn() -> Rc<dyn Transport> + Send + Sync>;

thread_local! {
    static OF_THIS_THREAD: RefCell<Option<Rc<dyn Transport>>> = const { RefCell::new(None) };
}

/// The calling thread's transport, made when it is first asked for. All dispatchers of an arbiter share it, and an arbiter belongs
/// to one hub.
pub fn of_this_thread(factory: &TransportFactory) -> Rc<dyn Transport> {
    OF_THIS_THREAD
        .with(|transport| Rc::clone(transport.borrow_mut().get_or_insert_with(|| factory())))
}

struct Http(Rc<Client>);

impl Transport for Http {
    fn post(&self, outgoing: Outgoing) -> LocalBoxFuture<'static, Result<Answer, Failure>> {
        let client = Rc::clone(&self.0);
        async move {
            let request = Request {
                target: &outgoing.target,
                headers: &outgoing.headers,
                body: outgoing.body.clone(),
                timeout: outgoing.timeout,
                max_body_bytes: outgoing.max_answer_bytes,
            };
            client.post(request).await
        }
        .boxed_local()
    }

    fn get(
        &self,
        outgoing: Outgoing,
        redirects: u8,
    ) -> LocalBoxFuture<'static, Result<Answer, Failure>> {
        let client = Rc::clone(&self.0);
        async move {
            let request = Request {
                target: &outgoing.target,
                headers: &outgoing.headers,
                body: Bytes::new(),
                timeout: outgoing.timeout,
                max_body_bytes: outgoing.max_answer_bytes,
            };
            client.get(request, redirects).await
        }
        .boxed_local()
    }
}

/// Makes a client for the thread it is called on.
pub type ClientFactory = Arc<dyn Fn() -> Rc<Client> + Send + Sync>;

thread_local! {
    static CLIENT: RefCell<Option<Rc<Client>>> = const { RefCell::new(None) };
}

/// The calling thread's client for shops, made when it is first asked for.
pub fn client_of_this_thread(factory: &ClientFactory) -> Rc<Client> {
    CLIENT.with(|client| Rc::clone(client.borrow_mut().get_or_insert_with(|| factory())))
}

/// Transports over HTTP, within the egress rules.
#[must_use]
pub fn http(clients: ClientFactory) -> TransportFactory {
    Arc::new(move || Rc::new(Http(clients())) as Rc<dyn Transport>)
}

/// Clients within the egress rules.
///
/// # Errors
/// When the certificate authorities cannot be read.
pub fn clients(egress: &EgressConfig) -> Result<ClientFactory, TransportError> {
    let mut roots = Vec::new();
    if let Some(file) = &egress.ca_file {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let unreadable = |reason: String| TransportError::CaFile {
            file: file.display().to_string(),
            reason,
        };
        for root in
            CertificateDer::pem_file_iter(file).map_err(|error| unreadable(error.to_string()))?
        {
            roots.push(root.map_err(|error| unreadable(error.to_string()))?);
        }
    }
    let options = ClientOptions {
        connect_timeout: Duration::from_secs(egress.connect_timeout_secs),
        ..ClientOptions::new(Tls::new(&roots)?)
    };
    let policy = Arc::new(EgressPolicy::new(egress.allow_networks.clone()));
    Ok(Arc::new(move || {
        Rc::new(Client::new(Arc::clone(&policy), options.clone()))
    }))
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// `egress.ca_file` cannot be used.
    #[error("egress.ca_file {file} cannot be read: {reason}")]
    CaFile {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// No authorities to trust.
    #[error(transparent)]
    Tls(#[from] TlsError),
}
