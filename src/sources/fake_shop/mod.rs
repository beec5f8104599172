//! A shop to try things on: over real HTTP, in memory, answering like each version, with the traps that real ones have.
//!
//! For tests and for the demo, not for serving anything. It ignores what the real one ignores (forbidden search fields, a
//! comma between sort keys), shows whole seconds where that one does, has no order where that one has none, and repeats the key
//! in its 401. It can be told to fail, to be slow, to answer with a page for people, to shuffle ties, and to change while it is
//! being read ([`Control::on_request`]). Its clock is its own and moves when told.
//!
//! `stock.rs` holds what is in the shop, `select.rs` which rows a query finds, `show.rs` how a version writes them, `serve.rs`
//! the routes.

mod select;
mod serve;
mod show;
mod stock;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use stock::{Article, Customer, Oddity, Sale, Stock};

/// Which shop is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Spree 1.3 with `/api`, whole seconds, no currency.
    Spree13,
    /// Spree 2.0 with `/api` and whole seconds.
    Spree20,
    /// Spree 3.0.4: `/api`, and a search that ignores `updated_at`.
    Spree304,
    /// Spree 3.7 with `/api/v1`.
    Spree37,
    /// Spree 2.x with the hub connector.
    Connector,
    /// Spree with the older connector: one answer with everything.
    OldConnector,
    /// Solidus 4.
    Solidus,
    /// Spree 4.6 with the Platform API.
    PlatformV2,
    /// Spree 5.4, with an API for storefronts only.
    Spree54,
    /// Spree 5.6 with the Admin API.
    AdminV3,
}

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status with a JSON error.
    Status(u16),
    /// This status with a page for people.
    Html(u16),
    /// 429 with `Retry-After` in seconds.
    RateLimited(u64),
    /// The answer comes after so long.
    Slow(Duration),
    /// A body that never ends.
    Endless,
    /// A body that is cut off in its middle, as valid HTTP.
    HalfJson,
}

/// The key that opens every fake shop.
pub const KEY: &str = "fake-shop-key-5f1e";
/// The key that opens the Admin API.
pub const ADMIN_KEY: &str = "sk_fake-shop-key-5f1e";
/// `client_id` of the Platform API.
pub const CLIENT_ID: &str = "fake-client-id-77";
/// `client_secret` of the Platform API.
pub const CLIENT_SECRET: &str = "fake-client-secret-77";

type Hook = Box<dyn FnMut(&mut Stock, &str) + Send>;

/// Everything behind the routes.
pub struct Control {
    /// Which shop.
    pub flavor: Flavor,
    /// What is in it.
    pub stock: Stock,
    /// Path and query of each request so far.
    pub requests: Vec<String>,
    /// Whether rows of one time come in another order each time where the shop names no second sort key.
    pub shuffles_ties: bool,
    /// `X-RateLimit-Remaining`, if it is shown.
    pub remaining: Option<u32>,
    /// Seconds that an access token lives.
    pub token_secs: u64,
    faults: VecDeque<Fault>,
    lasting: Vec<(String, Fault)>,
    hook: Option<Hook>,
    tokens: u32,
}

impl Control {
    /// The next request meets this; several stand in line.
    pub fn fail_next(&mut self, fault: Fault) {
        self.faults.push_back(fault);
    }

    /// Each request whose path or query contains `part` meets this.
    pub fn fail_always(&mut self, part: &str, fault: Fault) {
        self.lasting.push((part.to_owned(), fault));
    }

    /// No more faults.
    pub fn heal(&mut self) {
        self.faults.clear();
        self.lasting.clear();
    }

    /// Called before each answer, with the stock and the request: to change what is being read.
    pub fn on_request(&mut self, hook: impl FnMut(&mut Stock, &str) + Send + 'static) {
        self.hook = Some(Box::new(hook));
    }

    /// Revokes all access tokens.
    pub fn revoke_tokens(&mut self) {
        self.tokens += 1;
    }

    fn notice(&mut self, request: &str) -> Option<Fault> {
        self.requests.push(request.to_owned());
        if let Some(mut hook) = self.hook.take() {
            hook(&mut self.stock, request);
            self.hook.get_or_insert(hook);
        }
        self.faults.pop_front().or_else(|| {
            let lasting = self
                .lasting
                .iter()
                .find(|(part, _)| request.contains(part.as_str()));
            lasting.map(|(_, fault)| fault.clone())
        })
    }
}

/// A running shop. Dropping it closes it.
pub struct FakeShop {
    port: u16,
    control: Arc<Mutex<Control>>,
    server: actix_web::dev::ServerHandle,
}

impl FakeShop {
    /// Opens on a free port of the loopback interface. Needs an actix system around it.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(flavor: Flavor) -> std::io::Result<Self> {
        let precision = match flavor {
            Flavor::Spree13 | Flavor::Spree20 => stock::Precision::Seconds,
            _ => stock::Precision::Millis,
        };
        let control = Arc::new(Mutex::new(Control {
            flavor,
            stock: Stock::new(precision),
            requests: Vec::new(),
            shuffles_ties: false,
            remaining: None,
            token_secs: 2_592_000,
            faults: VecDeque::new(),
            lasting: Vec::new(),
            hook: None,
            tokens: 1,
        }));
        let (port, server) = serve::open(Arc::clone(&control))?;
        Ok(Self {
            port,
            control,
            server,
        })
    }

    /// Where it stands.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its inside. Not to be held across an await: the shop answers nobody meanwhile.
    pub fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests since the last call.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.control().requests)
    }
}

impl Drop for FakeShop {
    fn drop(&mut self) {
        // The command is sent at once; nobody has to wait for the end.
        drop(self.server.stop(false));
    }
}
