//! What is known of an endpoint's dispatcher. It outlives the actor, so that people can see what happened to it.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Serialize;

use super::breaker::BreakerState;
use crate::domain::{key::EndpointKey, time::Micros};

use super::super::vitals::{LastEnd, Vitals};

/// What a dispatcher is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DispatcherState {
    /// There is none: nothing waits and no mapping is live.
    #[default]
    Absent,
    /// It starts, or starts again after a pause.
    Starting,
    /// It posts whatever is due.
    Running,
    /// An operator paused the endpoint.
    Paused,
    /// The endpoint asked to be left alone for a while (429 or 503 with `Retry-After`).
    AskedToWait,
    /// Its breaker is open: the endpoint failed with everything.
    BreakerOpen,
    /// The hub's own database is away.
    DatabaseAway,
}

/// A dispatcher's counters and state, as it last told them.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    pub state: DispatcherState,
    pub breaker: BreakerState,
    pub in_flight: usize,
    pub waiting: usize,
    pub settling: usize,
    pub paused_until: Option<Micros>,
    pub next_due_at: Option<Micros>,
    pub completed: u64,
    pub failed: u64,
    pub last_completed_at: Option<Micros>,
    pub last_failed_at: Option<Micros>,
    pub last_error: Option<String>,
    pub rate: Rate,
    pub times: Times,
}

/// How long the last attempts took, those that a percentile is taken of.
#[derive(Debug, Clone, Default)]
pub(super) struct Times(VecDeque<Duration>);

impl Times {
    const KEPT: usize = 128;

    /// One more attempt has ended.
    pub fn count(&mut self, took: Duration) {
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(took);
    }

    /// What 95 of 100 stayed within; `None` before the first.
    fn p95(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let at = (sorted.len() * 95).div_ceil(100);
        sorted.get(at.checked_sub(1)?).copied()
    }
}

/// Attempts a minute: each weighs less the longer ago it was (a mean life of one minute).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    weight: f64,
    at: Micros,
}

impl Rate {
    /// One more attempt has ended.
    pub fn count(&mut self, now: Micros) {
        self.weight = self.at(now) + 1.0;
        self.at = now;
    }

    /// How many a minute.
    pub fn at(self, now: Micros) -> f64 {
        self.weight * (-now.since(self.at).as_secs_f64() / 60.0).exp()
    }
}

/// Written by the endpoint's dispatcher, read by anyone.
#[derive(Debug, Default)]
pub struct EndpointCell {
    told: Mutex<Told>,
    /// A person wants the endpoint tried now.
    probe: AtomicBool,
}

impl EndpointCell {
    pub(super) fn tell(&self, write: impl FnOnce(&mut Told)) {
        write(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A person wants the endpoint tried now: its dispatcher, once woken, waits no longer.
    pub fn ask_for_probe(&self) {
        self.probe.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked since the last look.
    pub(super) fn take_probe(&self) -> bool {
        self.probe.swap(false, Ordering::SeqCst)
    }

    /// What is known, together with the signs of life.
    #[must_use]
    pub fn show(&self, endpoint: EndpointKey, vitals: &Vitals, now: Micros) -> EndpointState {
        let told = self
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let state = match told.state {
            DispatcherState::Absent => DispatcherState::Absent,
            _ if !vitals.is_alive() => DispatcherState::Starting,
            state => state,
        };
        EndpointState {
            endpoint,
            state,
            breaker: told.breaker,
            in_flight: told.in_flight,
            window: told.waiting,
            settling: told.settling,
            paused_until: told.paused_until,
            next_due_at: told.next_due_at,
            completed: told.completed,
            failed: told.failed,
            last_completed_at: told.last_completed_at,
            last_failed_at: told.last_failed_at,
            last_error: told.last_error,
            p95: told.times.p95(),
            rate_per_min: (told.rate.at(now) * 10.0).round() / 10.0,
            restarts: vitals.restarts(),
            last_end: vitals.last_end(),
        }
    }
}

/// An endpoint's dispatcher for people: what [`super::super::Hub::endpoint_states`] gives. Counters count since the process started.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EndpointState {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// What its dispatcher is doing.
    pub state: DispatcherState,
    /// Its breaker.
    pub breaker: BreakerState,
    /// Requests under way.
    pub in_flight: usize,
    /// Deliveries read and about to be posted; what waits in the database is not counted.
    pub window: usize,
    /// Posted, outcome not written yet.
    pub settling: usize,
    /// Until when the endpoint asked to be left alone, or its breaker stays open.
    pub paused_until: Option<Micros>,
    /// When the next delivery is due that is not due yet.
    pub next_due_at: Option<Micros>,
    /// Deliveries completed.
    pub completed: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// When one last was completed.
    pub last_completed_at: Option<Micros>,
    /// When one last failed.
    pub last_failed_at: Option<Micros>,
    /// One sentence on the last failure.
    pub last_error: Option<String>,
    /// Attempts a minute, the last ones weighing most.
    pub rate_per_min: f64,
    /// How long 95 of 100 of the last attempts took at most; `None` before the first.
    #[serde(skip)]
    pub p95: Option<Duration>,
    /// How often the dispatcher was replaced or started anew.
    pub restarts: u32,
    /// How it last ended.
    pub last_end: Option<LastEnd>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_minutes_and_fades() {
        let second = |n: i64| Micros(n * 1_000_000);
        let mut rate = Rate::default();
        (0..600).for_each(|n| rate.count(second(n)));
        let steady = rate.at(second(600));
        assert!((58.0..62.0).contains(&steady), "one a second: {steady}");
        assert!(rate.at(second(600 + 600)) < 0.1, "ten quiet minutes later");
    }

    #[test]
    fn the_percentile_is_of_the_last_attempts() {
        let mut times = Times::default();
        assert_eq!(times.p95(), None);
        times.count(Duration::from_secs(9));
        assert_eq!(times.p95(), Some(Duration::from_secs(9)));
        for ms in 1..=128 {
            times.count(Duration::from_millis(ms));
        }
        assert_eq!(times.p95(), Some(Duration::from_millis(122)));
    }
}
