//! Growing pauses: how long to wait before the next try of something that keeps failing.

use std::time::Duration;

/// A pause that doubles with each failure in a row, up to a cap.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// A pause of `base` after the first failure, never more than `cap`.
    #[must_use]
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            failures: 0,
        }
    }

    /// For calls of the database: 50 ms to 5 s.
    #[must_use]
    pub fn for_database() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(5))
    }

    /// Counts a failure and says how long to wait.
    pub fn fail(&mut self) -> Duration {
        let factor = 2u32.checked_pow(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.base
            .checked_mul(factor)
            .unwrap_or(self.cap)
            .min(self.cap)
    }

    /// It went well: the next pause is the shortest again.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_its_cap_and_starts_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(50));
        let pauses: Vec<u128> = (0..5).map(|_| backoff.fail().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 50, 50]);
        backoff.succeed();
        assert_eq!(backoff.fail(), Duration::from_millis(10));
    }

    #[test]
    fn a_thousand_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let last = (0..1000).map(|_| backoff.fail()).last();
        assert_eq!(last, Some(Duration::from_secs(30)));
    }
}
