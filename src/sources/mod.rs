//! Store APIs: what changed since this mark, in pages.
//!
//! What lives here: asking a shop, of whatever version, and making of its answers documents that can be compared with what is
//! stored ([`crate::domain::snapshot::compare`]). What does not: when to ask, what to store, the heartbeat. A source keeps no
//! state between two pages: where it stands is a [`Cursor`], which the caller stores in the transaction that stores what the
//! page brought. So after a crash the page is simply read again.
//!
//! ```text
//! probe(shop) -> Found            once, and again after SourceError::Ignored
//! open(found, shop) -> Source
//! loop { page = source.poll_page(noun, &cursor, &limits, &versions)
//!        one transaction: compare each document, store snapshots, messages, page.next
//!        until page.progress == CaughtUp }
//! ```
//!
//! Two ways to find changes stand behind all versions. Where `updated_at` can be filtered and sorted, [`ascent`] reads the
//! list upwards and a change costs one request (and one more where lists hold no whole documents): `ascending.rs`. Where it
//! cannot, `walking.rs` asks for what was completed, for what is open, and walks through the rest a few pages at a time,
//! comparing rows with what is stored. What differs between versions, addresses, parameters, shapes of lists, is a `Lister`
//! each: `spree_v1.rs`, `connector.rs`, `platform_v2.rs`, `admin_v3.rs`.
//!
//! Requests per poll of orders, as `tests/polling.rs` counts them:
//!
//! | shop | first poll | nothing changed | one order changed | five changed |
//! |---|---|---|---|---|
//! | hub connector, either form | 3 | 1 | 1 | 1 |
//! | Spree 1.3 to 4.4 | 2 | 1 | 2 | 6 |
//! | Platform API v2 | 2, and 1 for the token | 1 | 1 | 1 |
//! | Admin API v3 | 2 | 1 | 1 | 1 |
//! | Solidus, Spree 2.2.14 to 3.1.5 | 1, and all pages once | 5 and `walk_pages` | one more | five more |
//!
//! Where times are shown in whole seconds, an order read within the second of its change is read once more.
//!
//! Read next: `ascent.rs`, `ascending.rs`, `probe.rs`.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    store_object::{Noun, StoreDocument},
    time::Micros,
};

mod admin_v3;
mod ascending;
pub mod ascent;
mod connector;
mod error;
pub mod fake_shop;
mod lister;
mod platform_v2;
mod probe;
mod shop;
mod spree_v1;
mod walking;

#[cfg(test)]
mod tests;

pub use error::SourceError;
pub use probe::{
    ApiPath, Changes, ConnectorIndex, Found, KINDS, Probe, ProbeStep, open, probe, probe_for,
};
pub use shop::{Credentials, RequestLimits, Shop};

/// Where the reading of one collection stands. Opaque; the caller stores it as JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(Value);

impl Cursor {
    /// From now on: the first poll finds out where "now" is.
    #[must_use]
    pub fn now() -> Self {
        Self(Value::Null)
    }

    /// From this instant on (the shop's time): a backfill. It ends with [`Progress::CaughtUp`].
    #[must_use]
    pub fn since(from: Micros) -> Self {
        Self(serde_json::json!({ "since": from.0 }))
    }

    /// As stored.
    #[must_use]
    pub fn from_json(value: Value) -> Self {
        Self(value)
    }

    /// To be stored.
    #[must_use]
    pub fn to_json(&self) -> &Value {
        &self.0
    }
}

/// Bounds of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows per page, as a rule.
    pub per_page: u32,
    /// How far before the mark each poll starts: the longest transaction of the shop that is to be expected.
    pub overlap: Duration,
    /// The most rows that a cursor remembers.
    pub seen_max: usize,
    /// Requests for single documents at a time.
    pub in_flight: usize,
    /// Pages of the long walk per poll, for shops that cannot tell what changed.
    pub walk_pages: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_page: 50,
            overlap: Duration::from_secs(60),
            seen_max: 5000,
            in_flight: 2,
            walk_pages: 4,
        }
    }
}

/// Whether another page waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Ask again at once, with the new cursor.
    More,
    /// This poll is over.
    CaughtUp,
}

/// Something that could not be read, or that the shop could not show. It does not stop the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// What it is.
    pub noun: Noun,
    /// Its token or id, as far as it is known.
    pub token: String,
    /// Why.
    pub why: String,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of something set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is asked for again with the next polls.
    TriedAgain,
    /// It is looked at again when it changes.
    LeftAlone,
}

/// What one step of a poll brought.
#[derive(Debug)]
pub struct Page {
    /// To be compared and stored.
    pub documents: Vec<StoreDocument>,
    /// To be stored with them.
    pub next: Cursor,
    /// Whether to go on at once.
    pub progress: Progress,
    /// Requests that it took.
    pub requests: u32,
    /// To be listed for the operator.
    pub set_aside: Vec<SetAside>,
    /// For [`crate::domain::snapshot::Reading::first_mark`].
    pub first_mark: Option<Micros>,
    /// The newest time read, the shop's own; for showing.
    pub mark: Option<Micros>,
    /// How many more requests the shop allows for now, where it says so.
    pub remaining: Option<u32>,
}

/// A single document that was asked for.
#[derive(Debug)]
pub enum Fetched {
    /// To be compared and stored.
    Found(Box<StoreDocument>),
    /// The shop has none of this name, or it belongs to another collection (a cart by now an order).
    Gone,
    /// The shop shows whole documents in lists only: poll the collection now.
    OnlyInLists,
    /// It cannot be read.
    Odd(SetAside),
}

/// What a source asks about stored snapshots: when did the shop last change this, as far as we know?
#[async_trait(?Send)]
pub trait Versions {
    /// The stored `updated_at` text for each token, in order; `None` for objects never seen.
    ///
    /// # Errors
    /// A sentence; the poll then fails as a whole.
    async fn versions(&self, noun: Noun, tokens: &[String]) -> Result<Vec<Option<String>>, String>;
}

/// A collection that a shop offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collection {
    /// What it holds.
    pub noun: Noun,
    /// How often it is worth asking.
    pub interval: Duration,
}

/// One shop, in the terms of its version. Belongs to one thread.
#[async_trait(?Send)]
pub trait Source {
    /// What can be polled.
    fn collections(&self) -> Vec<Collection>;

    /// The next step of a poll: one list request, and what it takes to read what is new on it.
    ///
    /// # Errors
    /// [`SourceError`]; the cursor stays where it was, and nothing is lost.
    async fn poll_page(
        &self,
        noun: Noun,
        cursor: &Cursor,
        limits: &Limits,
        versions: &dyn Versions,
    ) -> Result<Page, SourceError>;

    /// One object, by its token (or the shop's id, where a webhook told no more): one request.
    ///
    /// # Errors
    /// [`SourceError`].
    async fn fetch_one(&self, noun: Noun, token: &str) -> Result<Fetched, SourceError>;
}
