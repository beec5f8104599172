//! `[jobs]`: what is done to many deliveries at once.

use serde::Deserialize;

use super::{Bound, Section};

/// When stored jobs begin, and how fast they are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobConfig {
    /// Seconds between the asking and the first step, in which a job can be undone.
    pub undo_secs: u64,
    /// Deliveries a second of a job that names no other number.
    pub rate_per_sec: u32,
}

impl Section for JobConfig {
    const NAME: &'static str = "jobs";
    const BOUNDS: &'static [Bound] = &[
        Bound::new("undo_secs", 0.0, 3_600.0),
        Bound::new("rate_per_sec", 1.0, 10_000.0),
    ];
}
