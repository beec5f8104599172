//! `[router]`: finding each message's subscribers.

use serde::Deserialize;

use super::{Bound, Section};

/// How much one routing transaction does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterConfig {
    /// The most messages routed in one transaction.
    pub batch_max: usize,
    /// The most deliveries of one message that one transaction makes.
    pub fanout_chunk: usize,
}

impl Section for RouterConfig {
    const NAME: &'static str = "router";
    const BOUNDS: &'static [Bound] = &[
        Bound::new("batch_max", 1.0, 10_000.0),
        Bound::new("fanout_chunk", 1.0, 100_000.0),
    ];
}
