//! `[identifiers]`: how long a mapping remembers what it has acted on.

use serde::Deserialize;

use super::{Bound, Section};

/// How long claims of identifier values last.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentifierConfig {
    /// Days that a claim lasts; 0 is for ever.
    pub expire_days: u64,
}

impl Section for IdentifierConfig {
    const NAME: &'static str = "identifiers";
    const BOUNDS: &'static [Bound] = &[Bound::new("expire_days", 0.0, 36_500.0)];
}
