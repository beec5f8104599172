//! `[intake]`: taking messages in.

use serde::Deserialize;

use super::{Bound, Section};

/// How many messages and bytes may wait for their commit, and what happens then.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntakeConfig {
    /// Messages that may wait for the commit of their batch; further ones are answered with 503.
    pub max_waiting: usize,
    /// Bytes of their payloads that may wait; further messages are answered with 503.
    pub max_waiting_bytes: usize,
    /// The most messages written in one transaction.
    pub batch_max: usize,
    /// The `Retry-After` of those 503 answers, in seconds.
    pub retry_after_secs: u64,
}

impl Section for IntakeConfig {
    const NAME: &'static str = "intake";
    const BOUNDS: &'static [Bound] = &[
        Bound::new("max_waiting", 1.0, 1_000_000.0),
        Bound::new("max_waiting_bytes", 1_024.0, 1_099_511_627_776.0),
        Bound::new("batch_max", 1.0, 10_000.0),
        Bound::new("retry_after_secs", 1.0, 3_600.0),
    ];
}
