//! `[dispatch]`: sending deliveries to endpoints.

use serde::Deserialize;

use super::{Bound, Section};

/// The limits of one attempt and of one endpoint's dispatcher.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DispatchConfig {
    /// Seconds that one attempt may take, headers and body of the answer included.
    pub timeout_secs: u64,
    /// Attempts under way at once, per endpoint.
    pub concurrency: usize,
    /// Due deliveries that one dispatcher reads from the queue at once.
    pub window: usize,
    /// The largest answer that is read, in bytes after decompression.
    pub max_answer_bytes: usize,
    /// How much of a body an attempt's record keeps, in bytes.
    pub kept_body_bytes: usize,
    /// Threads that send; 0 is as many as there are cores.
    pub threads: usize,
    /// Failures in a row, of different messages, after which the breaker opens.
    pub breaker_failures: u32,
    /// Seconds until the first probe; doubles with each probe that fails.
    pub breaker_open_secs: u64,
    /// The longest pause between two probes, in seconds; wins over `breaker_open_secs`.
    pub breaker_max_secs: u64,
}

impl Section for DispatchConfig {
    const NAME: &'static str = "dispatch";
    const BOUNDS: &'static [Bound] = &[
        Bound::new("timeout_secs", 1.0, 3_600.0),
        Bound::new("concurrency", 1.0, 1_000.0),
        Bound::new("window", 1.0, 10_000.0),
        Bound::new("max_answer_bytes", 1_024.0, 1_073_741_824.0),
        Bound::new("kept_body_bytes", 0.0, 16_777_216.0),
        Bound::new("threads", 0.0, 256.0),
        Bound::new("breaker_failures", 1.0, 1_000.0),
        Bound::new("breaker_open_secs", 1.0, 3_600.0),
        Bound::new("breaker_max_secs", 1.0, 86_400.0),
    ];
}
