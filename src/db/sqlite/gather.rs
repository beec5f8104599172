//! How long the writer gathers commands before it begins a transaction.
//!
//! A commit costs about the same whatever it carries: an fsync, and a copy of every page that was touched, among them the last pages of a
//! dozen tables and indexes. On a fast disk the fsync alone gathers little company, and a busy hub would spend its time on commits
//! of three messages. So the writer waits a moment, longer the more there was to write lately: not at all below a few
//! hundred messages a second, up to [`LONGEST`] at many thousands.

use std::time::Duration;

/// What was written counts less the longer ago it was, with this mean life.
const MEMORY: Duration = Duration::from_millis(20);
/// Rows within [`MEMORY`] that are no reason to wait: about 650 messages a second, with three commands each.
const FREE_ROWS: f64 = 40.0;
/// The wait for each row beyond.
const PER_ROW: Duration = Duration::from_micros(4);
/// The longest wait.
const LONGEST: Duration = Duration::from_micros(1500);

/// What was written lately.
#[derive(Debug, Default)]
pub(super) struct Gather {
    rows: f64,
}

impl Gather {
    /// Notes a transaction of so many rows that began `since_last` after the one before.
    pub(super) fn note(&mut self, rows: usize, since_last: Duration) {
        self.rows = self.rows_after(since_last) + u32::try_from(rows).map_or(0.0, f64::from);
    }

    /// How long to gather when the last transaction began `since_last` ago: no two begin closer than that.
    pub(super) fn pause(&self, since_last: Duration) -> Duration {
        let beyond = (self.rows_after(since_last) - FREE_ROWS).max(0.0);
        PER_ROW
            .mul_f64(beyond)
            .min(LONGEST)
            .saturating_sub(since_last)
    }

    fn rows_after(&self, time: Duration) -> f64 {
        self.rows * (-time.as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pause that settles in when every transaction takes `work` and commands come at `rows_per_sec`.
    fn settled(rows_per_sec: f64, work: Duration) -> Duration {
        let mut gather = Gather::default();
        let mut pause = Duration::ZERO;
        for _ in 0..500 {
            let between = work + pause;
            let rows = (rows_per_sec * between.as_secs_f64()).round();
            gather.note(rows as usize, between);
            pause = gather.pause(work);
        }
        pause
    }

    #[test]
    fn a_quiet_hub_never_waits() {
        let mut gather = Gather::default();
        assert_eq!(gather.pause(Duration::ZERO), Duration::ZERO);
        gather.note(3, Duration::from_secs(1));
        assert_eq!(gather.pause(Duration::from_micros(100)), Duration::ZERO);
        // 200 messages a second: each a command to accept, to route and to settle.
        assert_eq!(settled(600.0, Duration::from_micros(1700)), Duration::ZERO);
    }

    #[test]
    fn waits_grow_with_the_load_up_to_a_bound() {
        let busy = settled(9_000.0, Duration::from_micros(300));
        let busier = settled(60_000.0, Duration::from_micros(300));
        assert!(
            busy > Duration::ZERO && busy < busier,
            "{busy:?} {busier:?}"
        );
        assert_eq!(busier, LONGEST - Duration::from_micros(300));
    }

    #[test]
    fn a_long_transaction_has_gathered_already() {
        assert_eq!(settled(60_000.0, LONGEST), Duration::ZERO);
    }

    #[test]
    fn a_burst_is_soon_forgotten() {
        let mut gather = Gather::default();
        gather.note(2000, Duration::from_millis(1));
        assert_eq!(gather.pause(Duration::from_millis(200)), Duration::ZERO);
    }
}
