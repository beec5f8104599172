//! The values that go into and come out of [`super::Backend`], besides those of the domain.

use std::time::Duration;

use super::NewAudit;
pub use crate::domain::routing::{RouteProgress, Skip};
use crate::domain::{
    delivery::{ArchiveReason, Delivery, NewDelivery, WaitState},
    event::{Level, NewEvent},
    id::Id,
    key::{DeliveryKey, EndpointKey, EventKey, MappingKey, MessageKey, StoreKey, TokenKey},
    message::{Incoming, Message, NewMessage},
    reference::ObjectRef,
    registry::{Entity, EntityRow},
    time::Micros,
};

/// What an owner (a holder of a lease) owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnerKind {
    /// The routing of a shard, by [`super::owner_of_shard`]; where only one node can open the database, key 0 stands for all.
    Router,
    /// The dispatch of an endpoint.
    Dispatcher,
    /// The polling of a store.
    Poller,
    /// The schedules of a store.
    Scheduler,
}

/// How long a node counts as living after its last heartbeat, by the database's clock. It stops by itself before that.
pub const NODE_LEASE: Duration = Duration::from_secs(5);

/// One heartbeat of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeBeat {
    /// Everything that somebody in the cluster must own, as far as this node knows.
    pub wanted: Vec<(OwnerKind, i64)>,
}

/// What a node may do until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// What it owns.
    pub owned: Vec<(OwnerKind, i64)>,
    /// What of that it is to give up, because it is another node's by rights: it finishes and says so.
    pub give_up: Vec<(OwnerKind, i64)>,
    /// How many nodes live, this one among them.
    pub nodes: usize,
    /// How long this holds, counted from before it was asked for; `None` for ever, where there is one node only.
    pub lease: Option<Duration>,
}

/// How much of what only one node may do is a node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeShare {
    /// Of 64.
    pub routing_shards: usize,
    /// Endpoints it posts to.
    pub dispatchers: usize,
    /// Stores it polls.
    pub pollers: usize,
    /// Stores whose schedules it keeps.
    pub schedules: usize,
}

/// A node that lives, or died within a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its name, for people.
    pub name: String,
    /// The node that was asked.
    pub is_own: bool,
    /// Whether the others take it for living.
    pub lives: bool,
    /// Since its last heartbeat, by the database's clock.
    pub silent: Duration,
    /// What it owns; what a dead one owns is taken over within seconds.
    pub share: NodeShare,
}

/// Rows of the registry that changed, and its newest version.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryDelta {
    /// The rows, in order of key.
    pub rows: Vec<EntityRow>,
    /// Rows whose body could not be read: key, kind and reason. They are as if deleted until mended.
    pub unreadable: Vec<(i64, String, String)>,
    /// The newest version.
    pub version: i64,
}

/// A change of the registry.
#[derive(Debug, Clone, PartialEq)]
pub enum EntityChange {
    /// A new row. For a store, `store` is `None` and its own key becomes its store key.
    Create {
        /// The store it belongs to.
        store: Option<StoreKey>,
        /// The row it speaks of (an endpoint's settings). With a subject, an existing live row of the same kind and subject is replaced.
        subject: Option<i64>,
        /// The thing itself.
        entity: Entity,
    },
    /// The row with this key gets a new body of the same kind.
    Replace {
        /// Its key.
        key: i64,
        /// The thing itself.
        entity: Entity,
    },
    /// The row with this key is deleted; deleting a store deletes everything that belongs to it.
    Delete {
        /// Its key.
        key: i64,
    },
    /// No change: what people read of the others in the audit log, written with them. Gives no row.
    Record(Box<NewAudit>),
}

/// A message to accept.
#[derive(Debug, Clone, PartialEq)]
pub struct Acceptance {
    /// The message.
    pub message: NewMessage,
    /// The pusher's key, so that a repeat is answered with the first one's id.
    pub idempotency: Option<IdempotencyKey>,
}

/// A pusher's key for one request, kept per token for as long as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The token it was used with.
    pub token: TokenKey,
    /// SHA-256 of the key's text, cut to 16 bytes.
    pub key: [u8; 16],
    /// SHA-256 of what was pushed, cut to 16 bytes.
    pub body: [u8; 16],
    /// Until when it is kept.
    pub expires_at: Micros,
}

/// What became of a message to accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is on disk.
    New {
        /// Its key.
        key: MessageKey,
        /// Its id.
        id: Id,
    },
    /// The same key came with the same body before: that message's id.
    Repeated {
        /// The first one's id.
        id: Id,
    },
    /// The same key came with another body before: nothing was accepted.
    KeyReused,
}

/// A routing decision for one incoming message (or one chunk of its fan-out).
#[derive(Debug, Clone, PartialEq)]
pub struct Routed {
    /// The message.
    pub message: MessageKey,
    /// Its store.
    pub store: StoreKey,
    /// Who gets it.
    pub deliveries: Vec<NewDelivery>,
    /// Who subscribes and does not.
    pub skipped: Vec<Skip>,
    /// Messages that consumers derived from it.
    pub derived: Vec<NewMessage>,
    /// Events: of a pushed notification, of a consumer that failed.
    pub events: Vec<NewEvent>,
    /// Whether more chunks follow.
    pub progress: RouteProgress,
}

/// How messages are routed in the transaction that accepts them.
pub struct AtOnce {
    /// The version of the registry that `decide` knows.
    pub version: i64,
    /// Decides about one message; pure.
    pub decide: Box<dyn Fn(&Incoming) -> Routed + Send + Sync>,
    /// After so many deliveries the rest is left to the router, so that a transaction stays short.
    pub most_deliveries: u64,
}

impl std::fmt::Debug for AtOnce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtOnce")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What became of messages that were accepted and, where that was possible, routed at once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Admitted {
    /// One answer per message, in order.
    pub answers: Vec<Accepted>,
    /// How many of them are routed.
    pub routed: usize,
    /// How many wait for the router, messages derived from the others included.
    pub left: usize,
    /// Those of the new deliveries that may be posted at once: first in their lanes. A hint: whoever reads what is due finds them, too.
    pub fresh: Vec<Delivery>,
    /// Endpoints that have new deliveries.
    pub endpoints: Vec<EndpointKey>,
    /// Deliveries accepted.
    pub deliveries: u64,
    /// Messages derived, which are incoming now.
    pub derived: u64,
}

/// What became of a batch of routing decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteOutcome {
    /// Written.
    Done {
        /// Endpoints that have new deliveries, to be woken.
        endpoints: Vec<EndpointKey>,
        /// Deliveries accepted.
        accepted: u64,
        /// Messages derived, which are incoming now.
        derived: u64,
    },
    /// The registry is newer than the one that was decided with; nothing was written.
    RegistryMoved,
    /// Another router owns this now; nothing was written.
    Fenced,
}

/// What a read of due deliveries leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Those that the reader holds already.
    pub deliveries: Vec<DeliveryKey>,
    /// All of these mappings: they have their share of the reader's window.
    pub mappings: Vec<MappingKey>,
}

impl From<Vec<DeliveryKey>> for LeftOut {
    fn from(deliveries: Vec<DeliveryKey>) -> Self {
        Self {
            deliveries,
            mappings: Vec::new(),
        }
    }
}

/// Deliveries that are due.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// Oldest due first.
    pub deliveries: Vec<Delivery>,
    /// When the next head of a lane that is not due yet will be.
    pub next_due_at: Option<Micros>,
    /// More is due already and was left for the next time, because what is here is large.
    pub more: bool,
}

/// What became of one settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Whether it was written.
    pub outcome: SettleOutcome,
    /// Another delivery of its lane became the head.
    pub lane_moved: bool,
    /// Messages that became incoming with it.
    pub messages: u64,
    /// Parameters were saved: the registry has moved.
    pub registry_moved: bool,
}

/// Whether a settlement was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleOutcome {
    /// Written.
    Written,
    /// The delivery does not wait any more (settled, archived, removed): nothing was written.
    Gone,
    /// It was tried or taken over by somebody else meanwhile: nothing was written.
    Fenced,
}

/// What to do with a mapping's waiting deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldMapping {
    /// The mapping is enabled: its held deliveries go to their lanes' tails.
    Release,
    /// The mapping is gone: its waiting deliveries are archived as removed.
    Remove,
}

/// How deep and wide messages may descend from one another (DESIGN: loops). Given to a backend when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopBounds {
    /// Greatest depth of ancestry.
    pub max_depth: u32,
    /// Most descendants of one root.
    pub max_descendants: u32,
    /// Most messages with a parent per object and type in one hour.
    pub max_per_object_hour: u32,
}

/// Where a message or delivery is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locator {
    /// In the incoming queue.
    Incoming,
    /// Routed: its deliveries are what goes on.
    Routed,
    /// In the accepted queue, in this state.
    Accepted(WaitState),
    /// In the archive, for this reason.
    Archived(ArchiveReason),
}

/// What a delivery adds to its message in a detail view.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryDetail {
    /// Its key.
    pub key: DeliveryKey,
    /// Its mapping.
    pub mapping: MappingKey,
    /// Its endpoint.
    pub endpoint: EndpointKey,
    /// Attempts made.
    pub attempts: u32,
    /// When it is tried next; `None` when nobody will.
    pub due_at: Option<Micros>,
    /// When the last attempt began.
    pub attempted_at: Option<Micros>,
    /// One sentence on the last failure.
    pub last_error: Option<String>,
    /// Further members of the endpoint's answer, raw JSON.
    pub result: Option<String>,
    /// When it left the accepted queue.
    pub completed_at: Option<Micros>,
    /// An earlier delivery of the same lane that must go first.
    pub behind: Option<Id>,
    /// The delivery that this one sends again.
    pub replay_of: Option<Id>,
    /// Stored jobs that touched it, oldest first.
    pub jobs: Vec<super::JobMark>,
}

/// A child of a message: a delivery of it, or a message derived from it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildRow {
    /// Its id.
    pub id: Id,
    /// Its type.
    pub kind: String,
    /// Where it is.
    pub location: Locator,
    /// For deliveries, the mapping.
    pub mapping: Option<MappingKey>,
}

/// The message (or source message) above.
#[derive(Debug, Clone, PartialEq)]
pub struct ParentRow {
    /// Its id.
    pub id: Id,
    /// Its type.
    pub kind: String,
}

/// A message or a delivery, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageDetail {
    /// The id that was asked for: the message's, or the delivery's.
    pub id: Id,
    /// The message (for a delivery, the one it carries).
    pub message: Message,
    /// The delivery, when the id is one's.
    pub delivery: Option<DeliveryDetail>,
    /// Where it is now.
    pub location: Locator,
    /// When the row asked for was made: acceptance of the message, or of the delivery.
    pub created_at: Micros,
    /// For a delivery its message; for a derived message the one it descends from.
    pub parent: Option<ParentRow>,
    /// Deliveries of the message and messages derived from it, bounded; empty for a delivery unless its answer carried messages.
    pub children: Vec<ChildRow>,
    /// Who subscribed and did not get it.
    pub skipped: Vec<Skip>,
    /// Events that arose from it, newest first, bounded.
    pub events: Vec<EventRow>,
}

/// A stored event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Its key.
    pub key: EventKey,
    /// Its id.
    pub id: Id,
    /// How much it matters.
    pub level: Level,
    /// One line.
    pub subject: String,
    /// The rest.
    pub description: String,
    /// The object it is about.
    pub reference: Option<ObjectRef>,
    /// The message or delivery it arose from.
    pub message_id: Option<Id>,
    /// Who said it.
    pub origin: String,
    /// Further members, a raw JSON object.
    pub attributes: Option<String>,
    /// How often it was said.
    pub occurrences: u32,
    /// First said.
    pub first_at: Micros,
    /// Last said.
    pub last_at: Micros,
}

/// What a backend knows of itself, for metrics.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Rows of all stores by queue and state.
    pub queues: super::QueueStats,
    /// Age of the oldest message that waits for routing; zero when none does.
    pub oldest_incoming_age: Duration,
    /// Transactions committed since this process started.
    pub commits: u64,
    /// Commands written by them.
    pub commands: u64,
    /// Transactions abandoned.
    pub rollbacks: u64,
    /// Syncs asked of the operating system, as far as this process asks itself: on the embedded database one for each commit, and two each
    /// time its log is folded into the file.
    pub syncs: u64,
    /// Time spent in writing transactions.
    pub writing: Duration,
}

/// How much a step of upkeep may do, and how old things may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepBounds {
    /// At most so many rows of each kind.
    pub rows: usize,
    /// Archived deliveries, their attempts and messages older than this go, and jobs that ended before.
    pub archived_age: Duration,
    /// Events older than this go.
    pub event_age: Duration,
}

/// What a step of upkeep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepReport {
    /// Idempotency keys that expired.
    pub keys: usize,
    /// Claims that expired.
    pub claims: usize,
    /// Archived rows that were too old.
    pub archived: usize,
    /// Messages that were too old and that nothing unfinished refers to.
    pub messages: usize,
    /// Events that were too old.
    pub events: usize,
    /// Jobs that ended too long ago, and their marks on deliveries.
    pub jobs: usize,
    /// Lanes without a head that got one: a defect was mended.
    pub lanes: usize,
    /// Bytes that the database's file gave back to the disk.
    pub given_back: u64,
    /// Something is left to do: call again soon.
    pub more: bool,
}
