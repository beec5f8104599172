//! `[loops]`: bounds for messages that are derived from messages.

use serde::Deserialize;

use super::{Bound, Section};

/// How far one message may multiply through endpoints and consumers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopConfig {
    /// The longest chain of messages, each derived from the one before.
    pub max_depth: u32,
    /// Messages derived from one root, over all generations.
    pub max_descendants: u64,
    /// Derived messages of one type about one object within an hour.
    pub max_per_object_hour: u64,
}

impl Section for LoopConfig {
    const NAME: &'static str = "loops";
    const BOUNDS: &'static [Bound] = &[
        Bound::new("max_depth", 1.0, 10_000.0),
        Bound::new("max_descendants", 1.0, 100_000_000.0),
        Bound::new("max_per_object_hour", 1.0, 1_000_000.0),
    ];
}
