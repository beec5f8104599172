//! Why a shop could not be polled, in sentences for operators.
//!
//! None of them holds a key: what a shop says is masked before it gets here (Spree's 401 repeats the key it was given).

use std::time::Duration;

use thiserror::Error;

use crate::net::Failure;

/// Why an answer is missing or of no use.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SourceError {
    /// Nobody there, or somebody else.
    #[error("there is no shop's API at {address}: {why}; check the store's address")]
    WrongAddress {
        /// Scheme, host, port and path, without query.
        address: String,
        /// What was seen.
        why: String,
    },
    /// The shop does not know the key.
    #[error("the shop does not accept the key: {says}")]
    WrongKey {
        /// The shop's words, masked.
        says: String,
    },
    /// The shop knows the key, and does not let it read this.
    #[error("the key may not read {what}{}", .scope.as_ref().map(|scope| format!(": it lacks the scope {scope}")).unwrap_or_default())]
    Forbidden {
        /// The path asked for.
        what: String,
        /// The scope that is missing, where the shop says so.
        scope: Option<String>,
    },
    /// A page for people where JSON was due: a login, a proxy, a theme.
    #[error("{address} answered {status} with something other than JSON, beginning \"{snippet}\"")]
    NotJson {
        /// The address asked, without query.
        address: String,
        /// The status.
        status: u16,
        /// The beginning of what a person would read there, masked.
        snippet: String,
    },
    /// Too many requests.
    #[error("the shop asks for fewer requests{}", .retry_after.map(|wait| format!(", and to wait for {} s", wait.as_secs())).unwrap_or_default())]
    RateLimited {
        /// The shop's wish.
        retry_after: Option<Duration>,
    },
    /// The shop is there and cannot answer.
    #[error("the shop answered {status}: {says}")]
    Unavailable {
        /// 5xx, or another that should pass.
        status: u16,
        /// What it says, masked.
        says: String,
        /// The shop's wish.
        retry_after: Option<Duration>,
    },
    /// No connection, or one that broke.
    #[error("the shop cannot be reached: {0}")]
    Unreachable(Failure),
    /// No complete answer in time.
    #[error("the shop gave no complete answer within {} s", .after.as_secs_f32())]
    Timeout {
        /// The time allowed.
        after: Duration,
    },
    /// 404: the object, or the route, is not there.
    #[error("the shop has no {what}")]
    NotFound {
        /// The path asked for.
        what: String,
    },
    /// The shop refuses this request (422 and the like).
    #[error("the shop refused {what} with {status}: {says}")]
    Refused {
        /// The path asked for.
        what: String,
        /// The status.
        status: u16,
        /// What it says, masked.
        says: String,
    },
    /// JSON, but not what it should be.
    #[error("the answer to {place} is not what it should be: {why}")]
    Malformed {
        /// The path asked for.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The shop takes no notice of how it is asked. It must be probed again.
    #[error(
        "the shop ignores {parameter} in {place}: its version may have changed, and it must be probed again"
    )]
    Ignored {
        /// The path asked for.
        place: String,
        /// The parameter.
        parameter: &'static str,
    },
    /// Nothing can be polled here.
    #[error("{0}")]
    Unsupported(String),
    /// The hub's own snapshots could not be read, or the cursor is none of this source.
    #[error("the hub could not read what it stored about the shop: {0}")]
    Own(String),
}

impl SourceError {
    /// A stable word per kind, for metrics and filters.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::WrongAddress { .. } => "wrong_address",
            Self::WrongKey { .. } => "wrong_key",
            Self::Forbidden { .. } => "forbidden",
            Self::NotJson { .. } => "not_json",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } => "unavailable",
            Self::Unreachable(_) => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::NotFound { .. } => "not_found",
            Self::Refused { .. } => "refused",
            Self::Malformed { .. } => "malformed",
            Self::Ignored { .. } => "ignored",
            Self::Unsupported(_) => "unsupported",
            Self::Own(_) => "own",
        }
    }

    /// How long the shop wishes to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// Whether a single document of which this was said may be to blame, rather than the shop.
    pub(super) fn may_be_the_documents(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::Malformed { .. }
                | Self::NotJson { status: 500, .. }
                | Self::Unavailable { status: 500, .. }
        )
    }
}
