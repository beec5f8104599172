//! What goes into and comes out of [`super::Backend`] about polled shops.

use sha2::{Digest, Sha256};

use crate::domain::{
    id::Id,
    key::{BackfillKey, StoreKey},
    message::NewMessage,
    snapshot::Snapshot,
    store_object::Noun,
    time::Micros,
};

/// Whose reading of a collection moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PollJob {
    /// The poll's.
    Live,
    /// A backfill's.
    Backfill(BackfillKey),
}

impl PollJob {
    /// The number that is stored: 0, or the backfill's key.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Live => 0,
            Self::Backfill(key) => key.0,
        }
    }

    /// The job of this number.
    #[must_use]
    pub fn of_number(number: i64) -> Self {
        match number {
            0 => Self::Live,
            key => Self::Backfill(BackfillKey(key)),
        }
    }
}

/// What one page of a poll, or one object that was looked at, comes to: written in one transaction or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct PollCommit {
    /// The store.
    pub store: StoreKey,
    /// Its poller's epoch.
    pub epoch: i64,
    /// How far the reading went; `None` when single objects were looked at.
    pub step: Option<PollStep>,
    /// Objects of which something is to be stored, said, or both.
    pub objects: Vec<ObjectSeen>,
    /// Documents that could not be read.
    pub odd: Vec<OddSeen>,
}

/// A reading that went on.
#[derive(Debug, Clone, PartialEq)]
pub struct PollStep {
    /// Whose.
    pub job: PollJob,
    /// Of what.
    pub noun: Noun,
    /// The cursor it was read with, JSON; `None` for the first time.
    pub from: Option<String>,
    /// The cursor to go on with, JSON.
    pub to: String,
    /// The newest time read.
    pub mark: Option<Micros>,
    /// Nothing is left of this collection (a backfill's).
    pub done: bool,
    /// Documents read.
    pub documents: u64,
    /// Requests made.
    pub requests: u64,
}

/// An object of which something is to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectSeen {
    /// What it is.
    pub noun: Noun,
    /// Its token.
    pub token: String,
    /// What is stored of it from now on.
    pub snapshot: Snapshot,
    /// What is said about it; becomes incoming with the rest.
    pub message: Option<NewMessage>,
}

/// A document that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OddSeen {
    /// What it is.
    pub noun: Noun,
    /// Its token or id, as far as it is known.
    pub token: String,
    /// Why, in a sentence.
    pub why: String,
    /// Whether it is looked at again only when it changes.
    pub lasting: bool,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollOutcome {
    /// Written.
    Written {
        /// Messages that are incoming now.
        messages: u64,
    },
    /// Another poller has the store by now; nothing was written.
    Fenced,
    /// The cursor is not the one that was read with, or the backfill was stopped; nothing was written.
    Moved,
}

/// How far a collection was read.
#[derive(Debug, Clone, PartialEq)]
pub struct PollCursor {
    /// What.
    pub noun: Noun,
    /// By whom.
    pub job: PollJob,
    /// Where the reading stands, JSON.
    pub cursor: String,
    /// The newest time read.
    pub mark: Option<Micros>,
    /// Nothing is left (of a backfill).
    pub done: bool,
}

/// Whether something that is polled answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PulseState {
    /// It was never asked, or has not failed often enough to say.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// The heartbeat of a collection, or of the shop as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pulse {
    /// The collection's name; empty for the shop.
    pub name: String,
    /// How it is.
    pub state: PulseState,
    /// Failures in a row.
    pub failures: u32,
    /// Since when it is so.
    pub since: Option<Micros>,
    /// When it last answered well.
    pub last_success_at: Option<Micros>,
    /// When it last did not.
    pub last_failure_at: Option<Micros>,
    /// How, in a sentence.
    pub last_error: Option<String>,
}

/// What a probe found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRow {
    /// A digest of the address, key and kind it was made with.
    pub settings: Vec<u8>,
    /// What was found, JSON; `None` for nothing.
    pub found: Option<String>,
    /// Each step, JSON, for people.
    pub report: String,
    /// When.
    pub probed_at: Micros,
}

/// Everything a poller starts from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PollState {
    /// Each cursor.
    pub cursors: Vec<PollCursor>,
    /// Each heartbeat.
    pub pulses: Vec<Pulse>,
    /// The last probe.
    pub found: Option<FoundRow>,
    /// Backfills, newest first.
    pub backfills: Vec<Backfill>,
}

/// How far a backfill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackfillState {
    /// At work.
    Running,
    /// Everything was read.
    Done,
    /// On somebody's word.
    Stopped,
}

/// A backfill to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBackfill {
    /// The store.
    pub store: StoreKey,
    /// What is read.
    pub nouns: Vec<Noun>,
    /// From when on, the shop's time.
    pub since: Micros,
    /// At most so many pages a minute.
    pub per_minute: u32,
}

/// A backfill: a poll of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// Its key.
    pub key: BackfillKey,
    /// Its id.
    pub id: Id,
    /// What was asked for.
    pub job: NewBackfill,
    /// How far it is.
    pub state: BackfillState,
    /// Documents read so far.
    pub documents: u64,
    /// Messages made of them.
    pub messages: u64,
    /// Requests made.
    pub requests: u64,
    /// When it was asked for.
    pub created_at: Micros,
    /// When it was done or stopped.
    pub ended_at: Option<Micros>,
}

/// A document set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAsideRow {
    /// Its key; greater is newer.
    pub key: i64,
    /// What it is, as it was noted.
    pub noun: String,
    /// Its token or id.
    pub token: String,
    /// Why.
    pub why: String,
    /// Whether it is looked at again only when it changes.
    pub lasting: bool,
    /// How often it was met.
    pub occurrences: u64,
    /// First.
    pub first_at: Micros,
    /// Last.
    pub last_at: Micros,
}

/// What an erased object is stored as: a name may itself be personal (a customer's is the address).
pub(in crate::db) fn erased_token(store: StoreKey, noun: Noun, token: &str) -> String {
    let hash = Sha256::new_with_prefix(b"erased-1\0")
        .chain_update(store.0.to_be_bytes())
        .chain_update(noun.name().as_bytes())
        .chain_update(b"\0")
        .chain_update(token.as_bytes())
        .finalize();
    format!("erased:{}", hex::encode(hash.get(..16).unwrap_or_default()))
}
