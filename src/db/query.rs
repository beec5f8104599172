//! Questions that lists ask, and pages that answer them. Paging goes by key, never by offset.

use crate::domain::{
    delivery::{ArchiveReason, Attempt, WaitState},
    event::Level,
    id::Id,
    key::{MappingKey, StoreKey},
    message::Source,
    reference::ObjectRef,
    time::Micros,
};

use super::rows::{EventRow, Locator, Skip};

/// The key of the last row of a page: the next page begins behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageKey(pub i64);

/// One of the three queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Accepted by the hub, not yet routed.
    Incoming,
    /// Deliveries that wait.
    Accepted,
    /// Done, whatever the outcome.
    Archived,
}

/// The queue an archived row left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArchivedSource {
    /// Nobody wanted it.
    Incoming,
    /// A delivery that ended.
    Accepted,
}

/// Which rows of a queue. Every `None` means "any".
#[derive(Debug, Clone, PartialEq)]
pub struct QueueQuery {
    /// The store.
    pub store: StoreKey,
    /// The queue.
    pub queue: Queue,
    /// The message's type, in all its spellings.
    pub kinds: Option<Vec<String>>,
    /// Accepted only: states.
    pub states: Option<Vec<WaitState>>,
    /// Archived only: reasons.
    pub reasons: Option<Vec<ArchiveReason>>,
    /// Archived only: the queue it left.
    pub source: Option<ArchivedSource>,
    /// Made at or after.
    pub from: Option<Micros>,
    /// Made before.
    pub until: Option<Micros>,
    /// The message or delivery with this id, or deliveries of the message with this id.
    pub message: Option<Id>,
    /// The mapping.
    pub mapping: Option<MappingKey>,
    /// The object it is about.
    pub object: Option<ObjectRef>,
    /// Rows older than this one.
    pub after: Option<PageKey>,
    /// Rows to skip after that: for clients of 2013 that count pages (at most 39 pages).
    pub skip: usize,
    /// Rows to return at most.
    pub limit: usize,
}

/// A row of a queue as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueRow {
    /// Its key: what the next page begins behind.
    pub page_key: PageKey,
    /// Its public id.
    pub id: Id,
    /// The message's type.
    pub kind: String,
    /// Where it is.
    pub location: Locator,
    /// The mapping; `None` for messages.
    pub mapping: Option<MappingKey>,
    /// The object it is about.
    pub object: Option<ObjectRef>,
    /// The message's source.
    pub source: Source,
    /// The message it carries, for a delivery; the one it descends from, for a message.
    pub parent_id: Option<Id>,
    /// When it was made.
    pub created_at: Micros,
    /// When it left the accepted (or incoming) queue.
    pub completed_at: Option<Micros>,
    /// When the last attempt began.
    pub attempted_at: Option<Micros>,
    /// When the next one is due.
    pub due_at: Option<Micros>,
    /// Attempts made.
    pub attempts: u32,
    /// One sentence on the last failure.
    pub last_error: Option<String>,
}

/// A page of a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuePage {
    /// Newest first.
    pub rows: Vec<QueueRow>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<PageKey>,
    /// Rows that match from `after` on, counted up to `counted_up_to`: what pages are computed from.
    pub matching: usize,
    /// Where counting stopped (40 pages).
    pub counted_up_to: usize,
}

/// Counts of a store's queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// Incoming.
    pub incoming: u64,
    /// Accepted: never tried (held ones included).
    pub pending: u64,
    /// Accepted: tried again later.
    pub failing: u64,
    /// Accepted: the endpoint works on it.
    pub scheduled: u64,
    /// Accepted: waits for a person.
    pub parked: u64,
    /// Archived, whatever the outcome.
    pub archived: u64,
}

/// Which events. Every `None` means "any".
#[derive(Debug, Clone, PartialEq)]
pub struct EventQuery {
    /// The store.
    pub store: StoreKey,
    /// The level.
    pub level: Option<Level>,
    /// The object's type.
    pub reference_type: Option<String>,
    /// The object's token, any case.
    pub reference_token: Option<String>,
    /// The message or delivery it arose from.
    pub message: Option<Id>,
    /// Older than this one.
    pub after: Option<PageKey>,
    /// Rows to skip after that.
    pub skip: usize,
    /// Rows to return at most.
    pub limit: usize,
}

/// A page of events.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// Newest first.
    pub rows: Vec<EventRow>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<PageKey>,
    /// Rows that match, counted up to `counted_up_to`.
    pub matching: usize,
    /// Where counting stopped.
    pub counted_up_to: usize,
}

/// A message as the timeline shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRef {
    /// Its key.
    pub key: i64,
    /// Its id.
    pub id: Id,
    /// Its type.
    pub kind: String,
    /// Where it came from.
    pub source: Source,
    /// The message it descends from.
    pub parent_id: Option<Id>,
    /// Where it is.
    pub location: Locator,
    /// When it was accepted.
    pub at: Micros,
    /// Who subscribed and did not get it.
    pub skipped: Vec<Skip>,
}

/// An entry of an object's timeline.
#[derive(Debug, Clone, PartialEq)]
pub enum TimelineEntry {
    /// A message about it.
    Message(MessageRef),
    /// A delivery of such a message.
    Delivery {
        /// Its id.
        id: Id,
        /// The message's id.
        message_id: Id,
        /// The message's type.
        kind: String,
        /// The mapping.
        mapping: MappingKey,
        /// Where it is.
        location: Locator,
        /// Attempts made.
        attempts: u32,
        /// When it is tried next.
        due_at: Option<Micros>,
        /// One sentence on the last failure.
        last_error: Option<String>,
        /// When routing accepted it.
        at: Micros,
        /// When it was done.
        completed_at: Option<Micros>,
    },
    /// An attempt of such a delivery.
    Attempt {
        /// The delivery's id.
        delivery_id: Id,
        /// The mapping.
        mapping: MappingKey,
        /// What happened.
        attempt: Attempt,
    },
    /// An event about it.
    Event(EventRow),
}

impl TimelineEntry {
    /// When it happened: what a timeline is sorted by.
    #[must_use]
    pub fn at(&self) -> Micros {
        match self {
            Self::Message(message) => message.at,
            Self::Delivery { at, .. } => *at,
            Self::Attempt { attempt, .. } => attempt.started_at,
            Self::Event(event) => event.first_at,
        }
    }
}

/// A part of an object's timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// Newest last.
    pub entries: Vec<TimelineEntry>,
    /// Where older entries begin; `None` when this is all.
    pub older: Option<PageKey>,
}
