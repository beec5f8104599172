//! `[supervision]`: keeping the hub's own parts alive.

use serde::Deserialize;

use super::{Bound, Section};

/// When a part of the hub counts as hanging, and how soon one that has ended is started again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisionConfig {
    /// Seconds between two heartbeats.
    pub heartbeat_secs: u64,
    /// Seconds without an answer after which a part is replaced; above `heartbeat_secs`.
    pub hang_secs: u64,
    /// Milliseconds until the first restart; doubles while the part keeps ending.
    pub backoff_base_ms: u64,
    /// The longest pause before a restart, in seconds; wins over `backoff_base_ms`.
    pub backoff_max_secs: u64,
}

impl Section for SupervisionConfig {
    const NAME: &'static str = "supervision";
    const BOUNDS: &'static [Bound] = &[
        Bound::new("heartbeat_secs", 1.0, 3_600.0),
        Bound::new("hang_secs", 2.0, 86_400.0),
        Bound::new("backoff_base_ms", 1.0, 60_000.0),
        Bound::new("backoff_max_secs", 1.0, 3_600.0),
    ];

    fn contradictions(&self) -> Vec<(&'static str, String)> {
        if self.hang_secs > self.heartbeat_secs {
            return Vec::new();
        }
        let reason = format!(
            "expected more than supervision.heartbeat_secs ({}), found {}: a part would count as hanging before it is asked again",
            self.heartbeat_secs, self.hang_secs
        );
        vec![("hang_secs", reason)]
    }
}
