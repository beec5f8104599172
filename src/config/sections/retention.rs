//! `[retention]`: how long finished work is kept.

use serde::Deserialize;

use super::{Bound, Section};

/// How long each kind of record is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// Days that archived deliveries, their messages and their attempts are kept.
    pub archived_days: u64,
    /// Days that notifications and other events are kept.
    pub events_days: u64,
    /// Hours that an `Idempotency-Key` is remembered.
    pub idempotency_hours: u64,
}

impl Section for RetentionConfig {
    const NAME: &'static str = "retention";
    const BOUNDS: &'static [Bound] = &[
        Bound::new("archived_days", 1.0, 36_500.0),
        Bound::new("events_days", 1.0, 36_500.0),
        Bound::new("idempotency_hours", 1.0, 8_760.0),
    ];
}
