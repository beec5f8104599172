//! `[poll]`: asking stores for changes.

use serde::Deserialize;

use super::{Bound, Section};

/// How often a store is asked, and how politely.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollConfig {
    /// Seconds between two polls of a store's orders, carts and users; of what changes more slowly twelve times as many.
    pub interval_secs: u64,
    /// The largest random share of the interval that is added to it, in percent.
    pub jitter_percent: u64,
    /// The longest pause in seconds between two tries while a store does not answer.
    pub backoff_max_secs: u64,
    /// Failures in a row after which a store or a collection counts as down.
    pub down_after: u32,
    /// How far before its mark each poll starts, in seconds.
    pub overlap_secs: u64,
    /// Rows that are asked for at once.
    pub per_page: u32,
    /// Requests for single documents at a time.
    pub in_flight: usize,
    /// Pages of the long walk in each poll.
    pub walk_pages: u32,
    /// Seconds for a whole answer.
    pub timeout_secs: u64,
    /// The largest answer, inflated, in bytes.
    pub max_answer_bytes: usize,
    /// Requests a minute of a backfill that names no other number.
    pub backfill_per_minute: u32,
}

impl Section for PollConfig {
    const NAME: &'static str = "poll";
    const BOUNDS: &'static [Bound] = &[
        Bound::new("interval_secs", 1.0, 604_800.0),
        Bound::new("jitter_percent", 0.0, 100.0),
        Bound::new("backoff_max_secs", 1.0, 86_400.0),
        Bound::new("down_after", 1.0, 1_000.0),
        Bound::new("overlap_secs", 1.0, 86_400.0),
        Bound::new("per_page", 1.0, 500.0),
        Bound::new("in_flight", 1.0, 32.0),
        Bound::new("walk_pages", 1.0, 1_000.0),
        Bound::new("timeout_secs", 1.0, 600.0),
        Bound::new("max_answer_bytes", 65_536.0, 1_073_741_824.0),
        Bound::new("backfill_per_minute", 1.0, 6_000.0),
    ];
}
