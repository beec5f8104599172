//! What goes into and comes out of [`super::Backend`] about known objects, schedules and backlogs.

use crate::domain::{
    key::{SchedulerKey, StoreKey},
    message::NewMessage,
    time::Micros,
};

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectState {
    /// The whole object as JSON text.
    pub raw: String,
    /// The first 16 bytes of its SHA-256.
    pub digest: [u8; 16],
    /// When it last changed.
    pub updated_at: Micros,
}

/// What news of objects came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Learnt {
    /// Messages that became incoming.
    pub messages: u64,
    /// Objects of which nothing new was said.
    pub unchanged: u64,
}

/// The newest tick of a scheduler that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduleRun {
    /// The scheduler.
    pub scheduler: SchedulerKey,
    /// Its store.
    pub store: StoreKey,
    /// When it was due.
    pub tick: Micros,
    /// When it was pushed.
    pub ran_at: Micros,
    /// How many older ones were missed and not made up for.
    pub missed: u64,
}

/// A tick to push.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// The scheduler.
    pub scheduler: SchedulerKey,
    /// When it was due.
    pub tick: Micros,
    /// How many older ones were missed.
    pub missed: u64,
    /// What it pushes.
    pub message: NewMessage,
}

/// What became of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushedTick {
    /// Its message is incoming.
    Pushed,
    /// It, or a newer one, was pushed before.
    Known,
    /// Somebody else has the store's schedules by now.
    Fenced,
}

/// What waits for an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Deliveries that wait in lanes or by themselves (parked and held ones are not counted), counted up to a bound.
    pub waiting: u64,
    /// When the oldest of those at the head of a lane was accepted, as far as was counted.
    pub oldest_at: Option<Micros>,
}
