//! Slows down who guesses passwords: after a few failures a name, and an address, must wait ever longer.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::domain::time::Micros;

/// Failures that cost nothing.
const FREE: u32 = 5;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// Names and addresses remembered at most: a flood of made-up names pushes out the oldest, and costs no more memory.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Micros,
}

/// Failures to sign in, by name and by address. In memory: a restart forgives.
#[derive(Debug, Default)]
pub struct Throttle {
    failures: Mutex<HashMap<String, Failures>>,
}

impl Throttle {
    /// How long whoever this is must still wait; `None` when they may try.
    #[must_use]
    pub fn wait(&self, keys: &[&str], now: Micros) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter()
            .filter_map(|key| failures.get(*key))
            .map(|past| past.last.plus(penalty(past.count)).since(now))
            .max()
            .filter(|left| !left.is_zero())
    }

    /// Counts a failure.
    pub fn fail(&self, keys: &[&str], now: Micros) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED {
            let horizon = now.minus(LONGEST);
            failures.retain(|_, past| past.last > horizon);
            if failures.len() >= REMEMBERED
                && let Some(oldest) = failures
                    .iter()
                    .min_by_key(|(_, past)| past.last)
                    .map(|(key, _)| key.clone())
            {
                failures.remove(&oldest);
            }
        }
        for key in keys {
            let past = failures.entry((*key).to_owned()).or_insert(Failures {
                count: 0,
                last: now,
            });
            // Who has waited long is a beginner again.
            if now.since(past.last) > LONGEST {
                past.count = 0;
            }
            past.count = past.count.saturating_add(1);
            past.last = now;
        }
    }

    /// Forgets failures: they signed in.
    pub fn succeed(&self, keys: &[&str]) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            failures.remove(*key);
        }
    }
}

fn penalty(count: u32) -> Duration {
    match count.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(over) => Duration::from_secs(2u64.saturating_pow(over.min(20))).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_gets_slower_and_success_forgives() {
        let throttle = Throttle::default();
        let mut now = Micros(1_000_000_000);
        for _ in 0..4 {
            throttle.fail(&["ann"], now);
            assert_eq!(throttle.wait(&["ann"], now), None);
        }
        let mut waits = Vec::new();
        for _ in 0..4 {
            throttle.fail(&["ann"], now);
            let wait = throttle.wait(&["ann", "10.0.0.1"], now).expect("a wait");
            waits.push(wait.as_secs());
            now = now.plus(wait);
        }
        assert_eq!(waits, [1, 2, 4, 8]);
        assert_eq!(throttle.wait(&["bob"], now), None);
        throttle.succeed(&["ann"]);
        assert_eq!(throttle.wait(&["ann"], now), None);
    }

    #[test]
    fn no_wait_is_longer_than_a_quarter_of_an_hour() {
        let throttle = Throttle::default();
        let now = Micros(1_000_000_000);
        for _ in 0..100 {
            throttle.fail(&["ann"], now);
        }
        assert_eq!(throttle.wait(&["ann"], now), Some(LONGEST));
    }
}
