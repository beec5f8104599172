//! What the console keeps about people: who is signed in, and what was changed by whom.

use crate::domain::{
    key::{AccountKey, StoreKey},
    time::Micros,
};

use super::PageKey;

/// Somebody is signed in. The cookie's text is not kept, only its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of the cookie's text, 64 hex digits.
    pub digest: String,
    /// Whose session it is.
    pub account: AccountKey,
    /// When they signed in.
    pub created_at: Micros,
    /// When it ends by itself.
    pub expires_at: Micros,
}

/// Which sessions end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// The one with this digest: a sign-out.
    One(String),
    /// All of an account but the one with this digest: a changed password.
    Others {
        /// Whose.
        account: AccountKey,
        /// The digest of the one that stays; empty: none does.
        keep: String,
    },
    /// All that are over at this time.
    Expired(Micros),
}

/// A change to be recorded. Secrets are masked before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAudit {
    /// The store it belongs to; `None` for what concerns the whole hub.
    pub store: Option<StoreKey>,
    /// Who did it: an account's name, or a token's.
    pub who: String,
    /// What was done: `created`, `changed`, `deleted`, `tried now`, ...
    pub action: String,
    /// What it was done to, such as `mapping acme.send_order`.
    pub subject: String,
    /// How it was before, as JSON; `None` when it was not there.
    pub was: Option<String>,
    /// How it is since, as JSON; `None` when it is gone.
    pub is: Option<String>,
}

/// A recorded change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its key, for paging.
    pub key: i64,
    /// When.
    pub at: Micros,
    /// What.
    pub change: NewAudit,
}

/// Which changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    /// Of these stores only; `None`: of all, and of the hub itself.
    pub stores: Option<Vec<StoreKey>>,
    /// Older than this one.
    pub after: Option<PageKey>,
    /// Rows to return at most.
    pub limit: usize,
}
