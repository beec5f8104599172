//! The breaker: an endpoint that fails with everything is left alone, and asked now and then with one message.
//!
//! ```text
//! Closed -- failures of N different deliveries in a row --> Open -- time passes --> one probe -- succeeds --> Closed
//!                                                            ^                          |
//!                                                            `---- fails (pause doubles)'
//! ```
//!
//! Only failures that speak of the endpoint as a whole count: no connection, no answer, a 5xx. Different deliveries, because
//! one poisonous message that fails again and again says nothing about the others. The probe comes from another lane
//! than the one before, for the same reason. While it is open no attempts are spent: messages wait as they are.

use std::{collections::HashSet, time::Duration};

use serde::Serialize;

use crate::domain::{key::DeliveryKey, time::Micros};

use super::super::backoff::Backoff;

/// What the breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allows {
    /// Everything.
    All,
    /// One delivery, from another lane than this if there is one.
    Probe {
        /// The lane of the last probe.
        not_lane: Option<i64>,
    },
    /// Nothing before then.
    NothingUntil(Micros),
    /// Nothing until the probe under way has ended.
    NothingNow,
}

/// The breaker's state for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Everything passes.
    #[default]
    Closed,
    /// Nothing passes.
    Open,
    /// One message tries whether the endpoint is well again.
    Probing,
}

enum State {
    Closed { failed: HashSet<DeliveryKey> },
    Open { until: Micros },
    Probing { probe: DeliveryKey },
}

/// See the module.
pub struct Breaker {
    state: State,
    threshold: usize,
    pause: Backoff,
    last_probe_lane: Option<i64>,
}

impl Breaker {
    /// Opens after failures of `threshold` different deliveries in a row; the first pause is `pause`, the longest `cap`.
    #[must_use]
    pub fn new(threshold: u32, pause: Duration, cap: Duration) -> Self {
        Self {
            state: State::Closed {
                failed: HashSet::new(),
            },
            threshold: usize::try_from(threshold).unwrap_or(usize::MAX).max(1),
            pause: Backoff::new(pause, cap),
            last_probe_lane: None,
        }
    }

    /// What may begin at `now`.
    #[must_use]
    pub fn allows(&self, now: Micros) -> Allows {
        match &self.state {
            State::Closed { .. } => Allows::All,
            State::Open { until } if now < *until => Allows::NothingUntil(*until),
            State::Open { .. } => Allows::Probe {
                not_lane: self.last_probe_lane,
            },
            State::Probing { .. } => Allows::NothingNow,
        }
    }

    /// An attempt begins.
    pub fn begin(&mut self, delivery: DeliveryKey, lane: Option<i64>) {
        if matches!(self.state, State::Open { .. }) {
            self.last_probe_lane = lane;
            self.state = State::Probing { probe: delivery };
        }
    }

    /// The endpoint answered like one that is well. Answers to attempts begun before the breaker opened count too.
    pub fn succeed(&mut self) {
        self.pause.succeed();
        self.state = State::Closed {
            failed: HashSet::new(),
        };
    }

    /// The endpoint failed at `now`.
    pub fn fail(&mut self, delivery: DeliveryKey, now: Micros) {
        match &mut self.state {
            State::Closed { failed } => {
                failed.insert(delivery);
                if failed.len() >= self.threshold {
                    self.open(now);
                }
            }
            State::Probing { probe } if *probe == delivery => self.open(now),
            // Attempts begun before it opened: known by now.
            State::Probing { .. } | State::Open { .. } => {}
        }
    }

    /// An attempt ended without a word about the endpoint (the hub's own failure, a stopped attempt).
    pub fn abstain(&mut self, delivery: DeliveryKey, now: Micros) {
        if matches!(&self.state, State::Probing { probe } if *probe == delivery) {
            self.state = State::Open { until: now };
        }
    }

    /// Its dispatcher starts over: a probe that was under way will never be told of, so another may begin.
    pub fn forget_probe(&mut self, now: Micros) {
        if matches!(self.state, State::Probing { .. }) {
            self.state = State::Open { until: now };
        }
    }

    /// A person wants it tried at `now`: the pause ends.
    pub fn hurry(&mut self, now: Micros) {
        if let State::Open { until } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// For people.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing { .. } => BreakerState::Probing,
        }
    }

    fn open(&mut self, now: Micros) {
        self.state = State::Open {
            until: now.plus(self.pause.fail()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn breaker() -> Breaker {
        Breaker::new(3, Duration::from_secs(10), Duration::from_secs(30))
    }

    fn opened() -> Breaker {
        let mut breaker = breaker();
        (1..=3).for_each(|key| breaker.fail(DeliveryKey(key), Micros(0)));
        breaker
    }

    #[test]
    fn one_message_that_fails_again_and_again_does_not_open_it() {
        let mut breaker = breaker();
        (0..100).for_each(|_| breaker.fail(DeliveryKey(1), Micros(0)));
        assert_eq!(breaker.allows(Micros(0)), Allows::All);
    }

    #[test]
    fn on_a_persons_word_the_probe_comes_at_once() {
        let mut breaker = opened();
        assert_eq!(
            breaker.allows(Micros(SECOND)),
            Allows::NothingUntil(Micros(10 * SECOND))
        );
        breaker.hurry(Micros(SECOND));
        assert_eq!(
            breaker.allows(Micros(SECOND)),
            Allows::Probe { not_lane: None }
        );
    }

    #[test]
    fn a_success_in_between_starts_the_count_over() {
        let mut breaker = breaker();
        breaker.fail(DeliveryKey(1), Micros(0));
        breaker.fail(DeliveryKey(2), Micros(0));
        breaker.succeed();
        breaker.fail(DeliveryKey(3), Micros(0));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn an_open_one_lets_a_single_probe_through_after_its_pause() {
        let mut breaker = opened();
        assert_eq!(
            breaker.allows(Micros(0)),
            Allows::NothingUntil(Micros(10 * SECOND))
        );
        assert_eq!(
            breaker.allows(Micros(10 * SECOND)),
            Allows::Probe { not_lane: None }
        );
        breaker.begin(DeliveryKey(4), Some(7));
        assert_eq!(breaker.allows(Micros(11 * SECOND)), Allows::NothingNow);
        breaker.succeed();
        assert_eq!(breaker.allows(Micros(11 * SECOND)), Allows::All);
    }

    #[test]
    fn a_failed_probe_doubles_the_pause_and_the_next_comes_from_another_lane() {
        let mut breaker = opened();
        breaker.begin(DeliveryKey(4), Some(7));
        breaker.fail(DeliveryKey(4), Micros(10 * SECOND));
        assert_eq!(
            breaker.allows(Micros(29 * SECOND)),
            Allows::NothingUntil(Micros(30 * SECOND))
        );
        assert_eq!(
            breaker.allows(Micros(30 * SECOND)),
            Allows::Probe { not_lane: Some(7) }
        );
    }

    #[test]
    fn a_probe_that_ends_without_a_verdict_is_followed_by_another_at_once() {
        let mut breaker = opened();
        breaker.begin(DeliveryKey(4), Some(7));
        breaker.abstain(DeliveryKey(4), Micros(12 * SECOND));
        assert_eq!(
            breaker.allows(Micros(12 * SECOND)),
            Allows::Probe { not_lane: Some(7) }
        );
    }

    #[test]
    fn a_probe_lost_with_its_dispatchers_life_is_followed_by_another() {
        let mut breaker = opened();
        breaker.begin(DeliveryKey(4), Some(7));
        breaker.forget_probe(Micros(11 * SECOND));
        assert_eq!(
            breaker.allows(Micros(11 * SECOND)),
            Allows::Probe { not_lane: Some(7) }
        );
        let mut closed = self::breaker();
        closed.forget_probe(Micros(0));
        assert_eq!(closed.state(), BreakerState::Closed);
    }

    #[test]
    fn late_failures_of_earlier_attempts_do_not_prolong_the_pause() {
        let mut breaker = opened();
        breaker.fail(DeliveryKey(9), Micros(9 * SECOND));
        assert_eq!(
            breaker.allows(Micros(9 * SECOND)),
            Allows::NothingUntil(Micros(10 * SECOND))
        );
    }
}
