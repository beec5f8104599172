//! `[retry]`: what happens after a failed attempt.

use serde::Deserialize;

use super::{Bound, Section};

/// The pauses between attempts, and when a delivery is parked.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryConfig {
    /// Seconds until the second attempt; doubles with each further one. 0 is at once.
    pub base_secs: u64,
    /// The longest pause in seconds, also for a `Retry-After`; wins over `base_secs`.
    pub max_secs: u64,
    /// Attempts until a delivery is parked.
    pub max_attempts: u32,
    /// Seconds after acceptance until a delivery is parked.
    pub deadline_secs: u64,
    /// The largest random share of a pause that is added to it, 0 to 1.
    pub jitter: f64,
}

impl Section for RetryConfig {
    const NAME: &'static str = "retry";
    const BOUNDS: &'static [Bound] = &[
        Bound::new("base_secs", 0.0, 86_400.0),
        Bound::new("max_secs", 0.0, 2_592_000.0),
        Bound::new("max_attempts", 1.0, 1_000.0),
        Bound::new("deadline_secs", 1.0, 31_536_000.0),
        Bound::new("jitter", 0.0, 1.0),
    ];
}
