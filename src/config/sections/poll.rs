//! `[poll]`: asking stores for changes.

use serde::Deserialize;

use super::{Bound, Section};

/// How often a store is asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollConfig {
    /// Seconds between two polls of a store.
    pub interval_secs: u64,
}

impl Section for PollConfig {
    const NAME: &'static str = "poll";
    const BOUNDS: &'static [Bound] = &[Bound::new("interval_secs", 1.0, 604_800.0)];
}
