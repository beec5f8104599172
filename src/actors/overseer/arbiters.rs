//! Threads: which actor lives on which, and a fresh one for each that is blocked.
//!
//! Intake, Router and Settler have a thread of their own (Sweeper, Scheduler, Foreman and Surveyor share the last), as do all pollers; dispatchers are spread over
//! `dispatch.threads`, each to the one with the fewest. A blocked thread cannot be ended from outside: it is told to end when it comes back to itself,
//! and what then is left on it finds that it was replaced.

use std::collections::HashMap;

use actix::{Arbiter, ArbiterHandle};

use super::super::vitals::Office;

/// A thread's number, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadKey(u64);

/// What a thread is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Purpose {
    Intake,
    Router,
    Writing,
    Polling,
    Dispatch(usize),
}

struct Thread {
    key: ThreadKey,
    arbiter: Arbiter,
    tenants: usize,
}

/// The node's threads. Owned by the Overseer.
pub struct Arbiters {
    threads: HashMap<Purpose, Thread>,
    dispatch: usize,
    last_key: u64,
}

impl Arbiters {
    /// No threads yet; dispatchers will use up to `dispatch` of them.
    #[must_use]
    pub fn new(dispatch: usize) -> Self {
        Self {
            threads: HashMap::new(),
            dispatch: dispatch.max(1),
            last_key: 0,
        }
    }

    /// A thread for the office's next actor.
    pub fn place(&mut self, office: Office) -> (ThreadKey, ArbiterHandle) {
        let purpose = self.purpose_of(office);
        if !self.threads.contains_key(&purpose) {
            self.last_key += 1;
            let thread = Thread {
                key: ThreadKey(self.last_key),
                arbiter: Arbiter::new(),
                tenants: 0,
            };
            self.threads.insert(purpose, thread);
        }
        let thread = self
            .threads
            .get_mut(&purpose)
            .expect("it was inserted above when it was missing");
        thread.tenants += 1;
        (thread.key, thread.arbiter.handle())
    }

    /// An actor has left its thread.
    pub fn leave(&mut self, key: ThreadKey) {
        if let Some(thread) = self.threads.values_mut().find(|thread| thread.key == key) {
            thread.tenants = thread.tenants.saturating_sub(1);
        }
    }

    /// A thread is blocked: it is not used again.
    pub fn abandon(&mut self, key: ThreadKey) {
        self.threads.retain(|_, thread| {
            if thread.key == key {
                thread.arbiter.stop();
            }
            thread.key != key
        });
    }

    /// Ends all threads, with what lives on them.
    pub fn stop_all(&mut self) {
        for (_, thread) in self.threads.drain() {
            thread.arbiter.stop();
        }
    }

    fn purpose_of(&self, office: Office) -> Purpose {
        match office {
            Office::Intake => Purpose::Intake,
            Office::Router => Purpose::Router,
            Office::Settler
            | Office::Sweeper
            | Office::Scheduler
            | Office::Foreman
            | Office::Surveyor => Purpose::Writing,
            Office::Poller(_) => Purpose::Polling,
            Office::Dispatcher(_) => {
                let tenants = |index: &usize| {
                    self.threads
                        .get(&Purpose::Dispatch(*index))
                        .map_or(0, |thread| thread.tenants)
                };
                Purpose::Dispatch((0..self.dispatch).min_by_key(tenants).unwrap_or(0))
            }
        }
    }
}
