//! Stored jobs: one thing done to many deliveries, in small steps that survive a crash.
//!
//! ```text
//! asked -> Waiting -- undo window over --> Running -- nothing left --> Done
//!             |                              |-----------------------> Failed
//!             `------------ stopped ---------+-----------------------> Stopped
//! ```
//!
//! What a job touches is fixed when it is asked for: a filter and the newest row it may reach ([`Chosen::upper`]), or a list of
//! rows. It goes through them in order of key; after each step the key it has come to is its cursor, written in the same
//! transaction as what was done. So a step is done wholly or not at all, and none twice.
//!
//! Nothing here reads a clock: [`Job::turn`] says what a step may do at a time, [`Job::stepped`] what the job is after it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    delivery::{ArchiveReason, WaitState},
    id::Id,
    key::{EndpointKey, JobKey, MappingKey, StoreKey},
    time::Micros,
};

/// The most deliveries of one step.
pub const STEP_ROWS: u32 = 200;
/// Steps a second that a job aims at.
const STEPS_PER_SEC: u32 = 5;
/// The fastest a job may be, in deliveries a second.
pub const FASTEST: u32 = 10_000;
/// The most rows that may be named one by one.
pub const MOST_NAMED: usize = 10_000;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Waiting deliveries are tried now.
    Retry,
    /// Waiting deliveries are archived, undelivered.
    Archive,
    /// Archived deliveries are sent again, as new ones.
    Replay,
}

impl JobKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Retry, Self::Archive, Self::Replay];

    /// The number the database stores.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Retry => 0,
            Self::Archive => 1,
            Self::Replay => 2,
        }
    }

    /// The kind stored as this number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Archive => "archive",
            Self::Replay => "replay",
        }
    }

    /// Whether it acts on deliveries that wait in this state. A delivery whose mapping is disabled cannot be tried.
    #[must_use]
    pub fn acts_on(self, state: WaitState) -> bool {
        match self {
            Self::Retry => state != WaitState::Held,
            Self::Archive => true,
            Self::Replay => false,
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Not begun: it can be undone without a trace.
    Waiting,
    /// At work.
    Running,
    /// Ended on somebody's word; what was done stays done.
    Stopped,
    /// Through.
    Done,
    /// Ended because it cannot go on; [`Job::error`] says why.
    Failed,
}

impl JobState {
    /// All states, in the order of their numbers; those before [`JobState::Stopped`] are open.
    pub const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Running,
        Self::Stopped,
        Self::Done,
        Self::Failed,
    ];

    /// The number the database stores.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Waiting => 0,
            Self::Running => 1,
            Self::Stopped => 2,
            Self::Done => 3,
            Self::Failed => 4,
        }
    }

    /// The state stored as this number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Whether something is still to come.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Running)
    }
}

/// Which rows: those of the accepted queue for [`JobKind::Retry`] and [`JobKind::Archive`], of the archive for
/// [`JobKind::Replay`]. Stored as JSON. Every `None` means "any".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Rows by key, ascending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<i64>>,
    /// Types of message, in all their spellings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// States of waiting deliveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub states: Option<Vec<WaitState>>,
    /// Reasons of archived ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Vec<ArchiveReason>>,
    /// The mapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<MappingKey>,
    /// Made at or after.
    #[serde(default, with = "exact_option")]
    pub from: Option<Micros>,
    /// Made before.
    #[serde(default, with = "exact_option")]
    pub until: Option<Micros>,
    /// Only rows with keys greater than this one.
    pub above: i64,
    /// Only rows with keys up to this one: later arrivals stay out.
    pub upper: i64,
    /// Archived rows that got there later stay out.
    #[serde(with = "exact")]
    pub asked_at: Micros,
}

/// Instants as stored numbers: their own form for the outside drops what is below a millisecond.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Micros;

    pub(super) fn serialize<S: Serializer>(at: &Micros, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Micros, D::Error> {
        i64::deserialize(from).map(Micros)
    }
}

mod exact_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Micros;

    pub(super) fn serialize<S: Serializer>(at: &Option<Micros>, to: S) -> Result<S::Ok, S::Error> {
        at.map(|at| at.0).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Micros>, D::Error> {
        Ok(Option::<i64>::deserialize(from)?.map(Micros))
    }
}

/// A job to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// The store whose deliveries it touches.
    pub store: StoreKey,
    /// What is done.
    pub kind: JobKind,
    /// To which.
    pub chosen: Chosen,
    /// The filters in the words of whoever asked, a JSON object, for people.
    pub asked: String,
    /// Rows counted.
    pub count: u64,
    /// At most so many deliveries a second, 1 to [`FASTEST`].
    pub per_sec: u32,
    /// Who asked: an account's name, or a token's.
    pub who: String,
    /// When it begins: the end of the undo window.
    pub begins_at: Micros,
}

/// A stored job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its key.
    pub key: JobKey,
    /// Its id.
    pub id: Id,
    /// What was asked for.
    pub new: NewJob,
    /// How far it is.
    pub state: JobState,
    /// The key of the last row it has dealt with.
    pub cursor: i64,
    /// No step before this.
    pub next_at: Micros,
    /// Deliveries it acted on.
    pub done: u64,
    /// Deliveries that were counted and had gone on, or could not be acted on any more.
    pub skipped: u64,
    /// When it was asked for.
    pub created_at: Micros,
    /// When its first step was done.
    pub began_at: Option<Micros>,
    /// When it ended, however.
    pub ended_at: Option<Micros>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What a job may do at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A step over at most so many rows.
    Step(usize),
    /// Nothing before this time.
    NotBefore(Micros),
    /// Nothing any more.
    Over,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stepped {
    /// The key of the last row dealt with.
    pub up_to: i64,
    /// Deliveries acted on.
    pub done: u64,
    /// Deliveries found that could not be acted on.
    pub skipped: u64,
    /// Nothing is left.
    pub is_last: bool,
}

/// Where a replay goes: a live mapping that takes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayTarget {
    /// The mapping.
    pub mapping: MappingKey,
    /// Whose dispatcher serves it.
    pub endpoint: EndpointKey,
    /// Whether what concerns one object keeps its order.
    pub ordered: bool,
}

/// How a speed is kept: rows of a step and the pause after it.
#[must_use]
pub fn pace(per_sec: u32) -> (u32, Duration) {
    let per_sec = per_sec.clamp(1, FASTEST);
    let rows = per_sec.div_ceil(STEPS_PER_SEC).min(STEP_ROWS);
    (
        rows,
        Duration::from_micros(u64::from(rows) * 1_000_000 / u64::from(per_sec)),
    )
}

impl Job {
    /// A job as it is when it was just asked for.
    #[must_use]
    pub fn asked(new: NewJob, key: JobKey, id: Id, now: Micros) -> Self {
        Self {
            key,
            id,
            state: JobState::Waiting,
            cursor: new.chosen.above,
            next_at: new.begins_at,
            done: 0,
            skipped: 0,
            created_at: now,
            began_at: None,
            ended_at: None,
            error: None,
            new,
        }
    }

    /// What it may do at `now`.
    #[must_use]
    pub fn turn(&self, now: Micros) -> Turn {
        if !self.state.is_open() {
            Turn::Over
        } else if now < self.next_at {
            Turn::NotBefore(self.next_at)
        } else {
            Turn::Step(pace(self.new.per_sec).0 as usize)
        }
    }

    /// The job after a step at `now`. What was counted and never met had gone on before its turn came: skipped.
    #[must_use]
    pub fn stepped(&self, step: Stepped, now: Micros) -> Self {
        let mut after = self.clone();
        after.cursor = step.up_to.max(self.cursor);
        after.done += step.done;
        after.skipped += step.skipped;
        after.began_at = self.began_at.or(Some(now));
        after.next_at = now.plus(pace(self.new.per_sec).1);
        after.state = JobState::Running;
        if step.is_last {
            after.state = JobState::Done;
            after.ended_at = Some(now);
            after.skipped = after
                .skipped
                .max(after.new.count.saturating_sub(after.done));
        }
        after
    }

    /// The job after somebody stopped it, or it failed.
    #[must_use]
    pub fn ended(&self, end: JobEnd, now: Micros) -> Self {
        let mut after = self.clone();
        (after.state, after.error) = match end {
            JobEnd::Stopped => (JobState::Stopped, None),
            JobEnd::Failed(why) => (JobState::Failed, Some(why)),
        };
        after.ended_at = Some(now);
        after
    }

    /// Deliveries still to come, as far as that is known.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.new.count.saturating_sub(self.done + self.skipped)
    }

    /// Whether it was stopped before it touched anything.
    #[must_use]
    pub fn is_undone(&self) -> bool {
        self.state == JobState::Stopped && self.began_at.is_none()
    }
}

/// How a job ends before it is through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// On somebody's word.
    Stopped,
    /// It cannot go on, for this reason.
    Failed(String),
}

#[cfg(test)]
#[path = "tests/job.rs"]
mod tests;
