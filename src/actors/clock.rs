//! The clock of a node: the one place where the time of day comes in. Everything below takes instants as arguments.

use std::sync::Arc;

use chrono::Utc;

use crate::domain::time::Micros;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> Micros;
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Micros {
        Utc::now().into()
    }
}

impl<F: Fn() -> Micros + Send + Sync + 'static> Clock for F {
    fn now(&self) -> Micros {
        self()
    }
}
