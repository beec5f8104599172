//! A delivery's life: the states it waits in, the ways it ends, and what one attempt leaves behind.
//!
//! ```text
//! accept -> Pending -> attempt -> Completed                       (archived)
//!              ^          |-----> Failing   -> due again          (waits, holds its lane)
//!              |          |-----> Scheduled -> asked again later  (waits, holds its lane)
//!              |          `-----> Parked    -> a person           (steps out of its lane)
//!              `---- release ----------'
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    event::NewEvent,
    id::Id,
    identifier::ClaimKey,
    key::{DeliveryKey, EndpointKey, MappingKey, StoreKey},
    known_object::ObjectNews,
    message::{Message, NewMessage},
    parameter::ReturnedParameter,
    time::Micros,
};

/// What a delivery in the accepted queue waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitState {
    /// Never tried, or released by a person.
    Pending,
    /// Tried and failed; tried again when due.
    Failing,
    /// The endpoint works on it; asked again when due.
    Scheduled,
    /// Waits for a person; out of its lane.
    Parked,
    /// Its mapping is disabled; out of its lane until it is enabled.
    Held,
}

impl WaitState {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Failing,
        Self::Scheduled,
        Self::Parked,
        Self::Held,
    ];

    /// The number the database stores.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Pending => 0,
            Self::Failing => 1,
            Self::Scheduled => 2,
            Self::Parked => 3,
            Self::Held => 4,
        }
    }

    /// The state stored as this number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// The word on the wire. Clients of 2013 know no `held`: they see `pending`, with the reason beside it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending | Self::Held => "pending",
            Self::Failing => "failing",
            Self::Scheduled => "scheduled",
            Self::Parked => "parked",
        }
    }

    /// Whether a delivery in this state keeps later ones of its lane waiting.
    #[must_use]
    pub fn holds_lane(self) -> bool {
        matches!(self, Self::Pending | Self::Failing | Self::Scheduled)
    }
}

/// Why a message or delivery is in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveReason {
    /// The endpoint took it.
    Completed,
    /// No mapping subscribes to its type.
    NoSubscriber,
    /// Mappings subscribe to its type; the filters of all of them refused it, or each refused it for a reason of its own.
    NotWanted,
    /// A person archived it.
    Archived,
    /// Its mapping, integration or store was deleted.
    Removed,
    /// It could not be read any more (a damaged row, a retired format); never tried again.
    Unreadable,
    /// What it was about was erased on request.
    Erased,
}

impl ArchiveReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Completed,
        Self::NoSubscriber,
        Self::NotWanted,
        Self::Archived,
        Self::Removed,
        Self::Unreadable,
        Self::Erased,
    ];

    /// The number the database stores.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Completed => 0,
            Self::NoSubscriber => 1,
            Self::NotWanted => 2,
            Self::Archived => 3,
            Self::Removed => 4,
            Self::Unreadable => 5,
            Self::Erased => 6,
        }
    }

    /// The reason stored as this number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.number() == number)
    }

    /// The state that the API shows: `completed`, `never_processed` (nobody wanted it) or `archived` (ended otherwise).
    #[must_use]
    pub fn state_word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::NoSubscriber | Self::NotWanted => "never_processed",
            Self::Archived | Self::Removed | Self::Unreadable | Self::Erased => "archived",
        }
    }

    /// The reason as one lower-case word for programs, such as `no_subscriber`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::NoSubscriber => "no_subscriber",
            Self::NotWanted => "not_wanted",
            Self::Archived => "archived_by_person",
            Self::Removed => "removed",
            Self::Unreadable => "unreadable",
            Self::Erased => "erased",
        }
    }
}

/// Why a mapping that subscribes to a message's type did not get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason", content = "detail")]
pub enum SkipReason {
    /// A filter refused it; its text, such as `payload.order.status eq complete`.
    Filtered(String),
    /// The identifiers say that the mapping had it before; their text, such as `order_number=R123`.
    Duplicate(String),
    /// The mapping is disabled.
    Disabled,
}

/// A delivery that is not stored yet: what routing decided for one mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery {
    /// The subscription.
    pub mapping: MappingKey,
    /// Whose dispatcher posts it.
    pub endpoint: EndpointKey,
    /// Its lane (a hash of store and object); `None` when nothing orders it.
    pub lane: Option<i64>,
    /// What it claims, so that the mapping takes the same thing once.
    pub claim: Option<Claim>,
}

/// Identifier values that a mapping takes only once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The digest of the values.
    pub key: ClaimKey,
    /// The values for people, bounded, such as `order_number=R123`.
    pub text: String,
}

/// A delivery taken from the accepted queue to be attempted.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its key.
    pub key: DeliveryKey,
    /// Its public id: the `message_id` of every attempt.
    pub id: Id,
    /// The message, shared by all deliveries of its fan-out.
    pub message: std::sync::Arc<Message>,
    /// The subscription.
    pub mapping: MappingKey,
    /// Whose dispatcher posts it.
    pub endpoint: EndpointKey,
    /// Its lane; `None` when nothing orders it.
    pub lane: Option<i64>,
    /// What it waited for.
    pub state: WaitState,
    /// Attempts made so far, of all kinds; the next attempt's number is one more.
    pub attempts: u32,
    /// Attempts that failed since it was accepted or last released by a person: what the retry policy counts.
    pub failures: u32,
    /// When routing accepted it, or a person last released it: what the retry deadline counts from.
    pub since: Micros,
    /// Where to ask an endpoint that works on it, and since when it does.
    pub asynchronous: Option<Asynchronous>,
}

/// An endpoint said "ask me again": where, and the budget's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asynchronous {
    /// The absolute address to POST to; `None` asks the service's own address again.
    pub update_url: Option<String>,
    /// When the endpoint first said so.
    pub started_at: Micros,
    /// How often it has been asked.
    pub polls: u32,
}

/// The fence: a settlement takes effect only on the row it was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The dispatcher's epoch at the attempt.
    pub epoch: i64,
    /// `Delivery::attempts` as it was read.
    pub attempts: u32,
}

impl Fence {
    /// Whether nobody has tried or taken over the delivery since it was read, given its dispatcher's epoch, its attempts and its
    /// state now. One that has stepped out of its lane meanwhile is not put back into it by a failure.
    #[must_use]
    pub fn holds(self, epoch: i64, attempts: u32, state: WaitState) -> bool {
        self.epoch == epoch && self.attempts == attempts && state.holds_lane()
    }
}

/// What happened in one attempt, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// When it began.
    pub started_at: Micros,
    /// How long it took.
    pub duration_us: i64,
    /// The address posted to, without secrets.
    pub url: String,
    /// The HTTP status; `None` when no answer came.
    pub status: Option<u16>,
    /// `completed`, `scheduled`, or the kind of failure (`connect_refused`, `status_500`, ...).
    pub outcome: String,
    /// One sentence on what went wrong; empty after a success.
    pub error: String,
    /// Headers sent, secrets masked: a JSON object of texts.
    pub request_headers: String,
    /// Bytes of body sent.
    pub request_bytes: i64,
    /// Headers received: a JSON object of texts.
    pub answer_headers: String,
    /// The body received, as text (invalid UTF-8 replaced), secrets masked, cut to a limit.
    pub answer_body: String,
    /// Bytes of body received, before cutting.
    pub answer_bytes: i64,
}

/// Where a delivery goes after an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Disposition {
    /// The endpoint took it; further members of its answer are kept as the result (raw JSON, cut to a limit).
    Completed {
        /// Raw JSON for people, or nothing.
        result: Option<String>,
    },
    /// Tried again when due.
    Failing {
        /// When.
        due_at: Micros,
        /// One sentence.
        error: String,
    },
    /// Waits for a person.
    Parked {
        /// One sentence.
        error: String,
    },
    /// The endpoint works on it: asked again when due.
    Scheduled {
        /// When.
        due_at: Micros,
        /// Where.
        asynchronous: Asynchronous,
    },
    /// Its mapping is disabled: steps out of its lane, no attempt spent.
    Held,
    /// Its mapping is gone: archived, no attempt spent.
    Removed,
    /// Not tried after all, through no fault of the endpoint (breaker open, hub's own failure): due again then.
    Postponed {
        /// When.
        due_at: Micros,
    },
}

/// Where a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// In the accepted queue.
    Waits(WaitState),
    /// In the archive.
    Archived(ArchiveReason),
}

impl Disposition {
    /// Whether it is written only while the [`Fence`] holds. A success is written as long as the delivery waits: what the endpoint
    /// took, it took.
    #[must_use]
    pub fn needs_fence(&self) -> bool {
        !matches!(self, Self::Completed { .. })
    }

    /// Where it puts a delivery that waited in `state`.
    #[must_use]
    pub fn leads_to(&self, state: WaitState) -> Place {
        match self {
            Self::Completed { .. } => Place::Archived(ArchiveReason::Completed),
            Self::Removed => Place::Archived(ArchiveReason::Removed),
            Self::Failing { .. } => Place::Waits(WaitState::Failing),
            Self::Parked { .. } => Place::Waits(WaitState::Parked),
            Self::Scheduled { .. } => Place::Waits(WaitState::Scheduled),
            Self::Held => Place::Waits(WaitState::Held),
            Self::Postponed { .. } => Place::Waits(state),
        }
    }
}

/// One delivery after one attempt, ready to be written in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// Which delivery.
    pub key: DeliveryKey,
    /// Its store.
    pub store: StoreKey,
    /// The row as it was read.
    pub fence: Fence,
    /// What happened; `None` for dispositions that spend no attempt.
    pub attempt: Option<Attempt>,
    /// Where it goes.
    pub disposition: Disposition,
    /// Messages the endpoint returned.
    pub messages: Vec<NewMessage>,
    /// Its notifications, and the hub's own words.
    pub events: Vec<NewEvent>,
    /// Parameters the endpoint returned.
    pub parameters: Vec<ReturnedParameter>,
    /// Objects the endpoint returned (second dialect): merged with what is known of them in the same transaction.
    pub objects: Option<Box<ObjectNews>>,
}

/// How long a span of microseconds is, for rows that store it so.
#[must_use]
pub fn micros_of(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
