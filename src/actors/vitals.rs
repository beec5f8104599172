//! Signs of life: what an actor and its Overseer share, and the guard that reports an actor's end however it comes.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use actix::{Message, Recipient};
use serde::Serialize;

use crate::domain::{
    key::{EndpointKey, StoreKey},
    time::Micros,
};

/// An actor of a node, by its office. The office stays when the actor in it is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Office {
    /// Takes messages in.
    Intake,
    /// Routes them.
    Router,
    /// Writes finished attempts.
    Settler,
    /// Tidies up.
    Sweeper,
    /// Pushes what schedules say.
    Scheduler,
    /// Takes stored jobs forward.
    Foreman,
    /// Reads how endpoint applications describe themselves.
    Surveyor,
    /// Posts one endpoint's deliveries.
    Dispatcher(EndpointKey),
    /// Asks one store's shop.
    Poller(StoreKey),
}

impl Office {
    /// The offices that every node fills, in the order in which they start: whoever is sent to comes before whoever sends.
    pub const FIXED: [Self; 7] = [
        Self::Settler,
        Self::Router,
        Self::Intake,
        Self::Sweeper,
        Self::Scheduler,
        Self::Foreman,
        Self::Surveyor,
    ];
}

impl fmt::Display for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intake => f.write_str("intake"),
            Self::Router => f.write_str("router"),
            Self::Settler => f.write_str("settler"),
            Self::Sweeper => f.write_str("sweeper"),
            Self::Scheduler => f.write_str("scheduler"),
            Self::Foreman => f.write_str("foreman"),
            Self::Surveyor => f.write_str("surveyor"),
            Self::Dispatcher(endpoint) => write!(f, "dispatcher of endpoint {endpoint}"),
            Self::Poller(store) => write!(f, "poller of store {store}"),
        }
    }
}

/// How an actor's life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// A handler panicked.
    Panicked,
    /// It stopped, or its thread ended.
    Stopped,
    /// It did not answer for too long: its thread is blocked.
    Hung,
    /// It was told to: nothing is left to do.
    Retired,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panicked => "panicked",
            Self::Stopped => "stopped",
            Self::Hung => "was on a blocked thread",
            Self::Retired => "retired",
        })
    }
}

/// The last end of an office's actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LastEnd {
    /// When it was noticed.
    pub at: Micros,
    /// How it ended.
    pub how: End,
}

/// What is known of an office's actor. Written by the actor (alive, heard) and its Overseer (the rest); read by anyone.
#[derive(Debug, Default)]
pub struct Vitals {
    generation: AtomicU64,
    alive: AtomicBool,
    heard: AtomicU64,
    restarts: AtomicU32,
    last_end: Mutex<Option<LastEnd>>,
}

impl Vitals {
    /// The number of the actor that holds the office now. Whoever has an older one was replaced and must do nothing more.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// A new actor takes the office; returns its number.
    pub fn succeed(&self) -> u64 {
        self.alive.store(false, Ordering::SeqCst);
        self.generation.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Whether the office's actor is up and working.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    /// The actor of this generation is up, or not any more.
    pub fn set_alive(&self, generation: u64, alive: bool) {
        if self.generation() == generation {
            self.alive.store(alive, Ordering::SeqCst);
        }
    }

    /// How often the office's actor was replaced or started anew.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::SeqCst)
    }

    /// The last end.
    #[must_use]
    pub fn last_end(&self) -> Option<LastEnd> {
        *self.last_end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an end that is followed by a restart.
    pub fn count_restart(&self, at: Micros, how: End) {
        self.alive.store(false, Ordering::SeqCst);
        self.restarts.fetch_add(1, Ordering::SeqCst);
        *self.last_end.lock().unwrap_or_else(PoisonError::into_inner) = Some(LastEnd { at, how });
    }

    /// The newest heartbeat answered.
    #[must_use]
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::SeqCst)
    }

    fn hear(&self, beat: u64) {
        self.heard.fetch_max(beat, Ordering::SeqCst);
    }
}

/// A heartbeat. Answered by noting its number in the [`Vitals`]: no answer travels back, so thousands cost little.
#[derive(Debug, Clone, Copy)]
pub struct Ping(pub u64);

impl Message for Ping {
    type Result = ();
}

/// An actor's life ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Which office is vacant.
    pub office: Office,
    /// Which actor it was.
    pub generation: u64,
    /// How.
    pub how: End,
}

impl Message for Ended {
    type Result = ();
}

/// Held by each actor; reports the actor's end when it is dropped, a panic included. Made before the actor, so an actor whose thread
/// is gone before it could start is reported as well.
pub struct Guard {
    /// The office.
    pub office: Office,
    /// The holder's number.
    pub generation: u64,
    /// What the office shares with its Overseer.
    pub vitals: Arc<Vitals>,
    report: Recipient<Ended>,
    retired: bool,
}

impl Guard {
    /// A guard for the next holder of the office.
    #[must_use]
    pub fn new(office: Office, vitals: Arc<Vitals>, report: Recipient<Ended>) -> Self {
        Self {
            office,
            generation: vitals.succeed(),
            vitals,
            report,
            retired: false,
        }
    }

    /// Its actor is up and working.
    pub fn up(&self) {
        self.vitals.set_alive(self.generation, true);
    }

    /// Answers a heartbeat.
    pub fn hear(&self, ping: Ping) {
        self.vitals.hear(ping.0);
    }

    /// Whether another actor holds the office by now.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.vitals.generation() != self.generation
    }

    /// Its end is wanted.
    pub fn retire(&mut self) {
        self.retired = true;
    }

    /// Whether its end is wanted.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.vitals.set_alive(self.generation, false);
        let how = if std::thread::panicking() {
            End::Panicked
        } else if self.retired {
            End::Retired
        } else {
            End::Stopped
        };
        self.report.do_send(Ended {
            office: self.office,
            generation: self.generation,
            how,
        });
    }
}
