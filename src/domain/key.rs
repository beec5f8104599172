//! Keys of rows: sequence numbers that say which kind of row they belong to.
//!
//! All are drawn from one sequence per database, so no two rows of any kind share a number, and an id
//! ([`super::id::Id`]) opens to exactly one row.

use serde::{Deserialize, Serialize};

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

keys! {
    /// A store (tenant).
    StoreKey,
    /// A message. Within a store and a lane, order of messages is order of keys.
    MessageKey,
    /// A delivery: one message on its way to one mapping's service.
    DeliveryKey,
    /// A mapping (subscription).
    MappingKey,
    /// What one dispatcher serves: an integration's key, or a mapping's when it stands alone.
    EndpointKey,
    /// An integration (a registered endpoint application).
    IntegrationKey,
    /// A scheduler of a store.
    SchedulerKey,
    /// A rule of a store.
    RuleKey,
    /// A parameter of a store.
    ParameterKey,
    /// An API token.
    TokenKey,
    /// An event (a log entry for people).
    EventKey,
    /// A person's account.
    AccountKey,
    /// A backfill of a polled store.
    BackfillKey,
    /// A stored job.
    JobKey,
}

impl From<IntegrationKey> for EndpointKey {
    fn from(key: IntegrationKey) -> Self {
        Self(key.0)
    }
}

impl From<MappingKey> for EndpointKey {
    fn from(key: MappingKey) -> Self {
        Self(key.0)
    }
}
