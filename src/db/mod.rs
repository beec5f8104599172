//! The database layer: one trait, [`Backend`], of coarse methods that each are one transaction.
//!
//! What lives here: everything that knows SQL, diesel, rows and files. What does not: any decision about a message. The layers
//! above decide with the pure functions of [`crate::domain`] and hand the outcome down as values (`Routed`, `Settlement`);
//! a backend writes them, all or nothing, and answers with what really happened.
//!
//! The rule that makes it safe: **a transition first removes or updates the row it consumes, by its key (a failure also by
//! attempt and epoch), and writes only for rows that were still there.** So a late or repeated call does nothing.
//!
//! Two implementations share one conformance suite ([`conformance`]): the embedded database in [`sqlite`], PostgreSQL in
//! [`postgres`]. Methods are named noun first: `accepted_due` reads the accepted queue. All take slices or vectors, because a
//! round trip is what costs; `now` is an argument, except for leases, which go by the database's own clock.
//!
//! What both do alike and needs no connection stands once, beside this file: how lists walk and are paged (`walk.rs`), which index
//! finds a queue's rows (`queues.rs`), what a job chooses and counts (`choosing.rs`), and what stored rows are read into
//! (`shown.rs`, `timeline.rs`, `events.rs`, `polled.rs`, `jobs.rs`). Texts of statements and running them are each backend's own.
//!
//! Read next: `sqlite/mod.rs` for the tables and the writer, `conformance/mod.rs` for what is promised.

mod choosing;
#[cfg(test)]
mod conformance;
pub mod copy;
mod erasure;
mod error;
mod events;
mod jobs;
mod known;
mod loops;
mod people;
mod polled;
mod polling;
pub mod postgres;
mod query;
mod queues;
mod rows;
mod shards;
mod shown;
pub mod sqlite;
mod timeline;
mod walk;

use std::sync::Arc;

use async_trait::async_trait;

pub use erasure::{ErasedRows, Erasure, ErasureStep, NewErasure};
pub use error::DbError;
pub use jobs::{
    EndJob, JobCount, JobGroup, JobMark, JobQuery, JobQuestion, JobStep, JobTurn, job_audit,
    job_words,
};
pub use known::{Backlog, Learnt, ObjectState, PushedTick, ScheduleRun, Tick};
pub use people::{AuditQuery, AuditRow, NewAudit, SessionEnd, SessionRow};
pub use polling::{
    Backfill, BackfillState, FoundRow, NewBackfill, ObjectSeen, OddSeen, PollCommit, PollCursor,
    PollJob, PollOutcome, PollState, PollStep, Pulse, PulseState, SetAsideRow,
};
pub use query::{
    ArchivedSource, EventPage, EventQuery, MessageRef, PageKey, Queue, QueuePage, QueueQuery,
    QueueRow, QueueStats, Timeline, TimelineEntry,
};
pub use rows::{
    Acceptance, Accepted, Admitted, AtOnce, ChildRow, DeliveryDetail, Due, EntityChange, EventRow,
    Figures, HeldMapping, IdempotencyKey, LeftOut, Locator, LoopBounds, MessageDetail, NODE_LEASE,
    NodeBeat, NodeRow, NodeShare, NodeView, OwnerKind, ParentRow, RegistryDelta, RouteOutcome,
    RouteProgress, Routed, SettleOutcome, Settled, Skip, SweepBounds, SweepReport,
};

pub use shards::{RouterLease, ShardSet, owner_of_shard, shard_of_owner};

use crate::domain::{
    delivery::{Attempt, Settlement},
    event::NewEvent,
    id::Id,
    job::{Job, NewJob},
    key::{BackfillKey, DeliveryKey, EndpointKey, MappingKey, MessageKey, StoreKey},
    known_object::ObjectNews,
    message::Incoming,
    reference::ObjectRef,
    snapshot::Snapshot,
    store_object::Noun,
    time::Micros,
};

/// The outcome of a database call.
pub type DbResult<T> = Result<T, DbError>;

/// A shared backend.
pub type SharedBackend = Arc<dyn Backend>;

/// A database that holds the hub's queues, archive, events and registry.
///
/// Every method is one transaction unless its text says otherwise. All fail with [`DbError::Unavailable`] or
/// [`DbError::Full`] when the database is away, and then nothing was written.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    // ---- node and owners -------------------------------------------------------------------------------------------

    /// Takes the lease on an owner and starts a new epoch, which is returned: settlements of failures that carry an
    /// older epoch are fenced off from now on. Every start of a dispatcher or poller calls it.
    async fn owner_claim(&self, kind: OwnerKind, key: i64) -> DbResult<i64>;

    /// Takes the leases on routing shards, each with a new epoch; those that are another node's are left out. One call for
    /// all of them. A database that only one node can open has one epoch for all its routing.
    async fn router_claim(&self, shards: ShardSet) -> DbResult<RouterLease> {
        let epoch = self.owner_claim(OwnerKind::Router, 0).await?;
        Ok(RouterLease::under(shards, epoch))
    }

    /// One heartbeat of this node: says that it lives, takes what is its own and free, and tells what it owns. A database that
    /// only one node can open gives it everything, for ever.
    async fn node_beat(&self, beat: NodeBeat) -> DbResult<NodeView> {
        Ok(NodeView {
            owned: beat.wanted,
            give_up: Vec::new(),
            nodes: 1,
            lease: None,
        })
    }

    /// Gives up what this node has stopped serving, so that another one may take it at its next heartbeat.
    async fn owner_release(&self, _owners: Vec<(OwnerKind, i64)>) -> DbResult<()> {
        Ok(())
    }

    /// Gives everything up: the node ends.
    async fn node_leave(&self) -> DbResult<()> {
        Ok(())
    }

    /// The nodes that live or died within a day, by name, each with what it owns. A database that only one node can open knows of none.
    async fn node_list(&self) -> DbResult<Vec<NodeRow>> {
        Ok(Vec::new())
    }

    /// Has the node that polls this store's shop look at it now, where that is another one. Should it be lost, that costs latency only.
    async fn shop_hint(&self, _store: StoreKey) {}

    // ---- registry --------------------------------------------------------------------------------------------------

    /// All rows changed after version `since` (0: all), deleted ones included, with the newest version.
    async fn registry_changes(&self, since: i64) -> DbResult<RegistryDelta>;

    /// Writes changes of the registry, all or none, and returns the rows as written, in order.
    ///
    /// # Errors
    /// [`DbError::Taken`] when a name that must be unique is not; [`DbError::Missing`] when a row to change is not there.
    async fn registry_change(
        &self,
        changes: Vec<EntityChange>,
        now: Micros,
    ) -> DbResult<RegistryDelta>;

    // ---- incoming --------------------------------------------------------------------------------------------------

    /// Accepts messages durably: when it returns they are on disk. One answer per message, in order.
    async fn incoming_insert(&self, batch: Vec<Acceptance>, now: Micros)
    -> DbResult<Vec<Accepted>>;

    /// Accepts messages as [`Backend::incoming_insert`] does, and routes them in the same transaction as far as that changes nothing but the
    /// time it takes: while nothing of the message's store waits for routing (what came first goes first), the registry is the one
    /// decided with, and one chunk is the whole fan-out. The rest is left in the incoming queue. A database that cannot do it leaves all.
    async fn incoming_admit(
        &self,
        batch: Arc<Vec<Acceptance>>,
        at_once: AtOnce,
        now: Micros,
    ) -> DbResult<Admitted> {
        let _ = at_once;
        let answers = self.incoming_insert(batch.to_vec(), now).await?;
        let is_new = |answer: &&Accepted| matches!(answer, Accepted::New { .. });
        Ok(Admitted {
            left: answers.iter().filter(is_new).count(),
            answers,
            ..Admitted::default()
        })
    }

    /// The oldest messages that wait for routing, at most `limit`, stores taking turns (each gets an equal share of the
    /// batch while it has any), each store's in order. Messages in `held` (a router's own, in work) are left out, and those of other
    /// shards than these; a database that only one node can open has no shards. Where a store has much waiting in several shards, a
    /// batch may hold later messages of one and not all the earlier ones of another: each shard's are in order.
    async fn incoming_waiting(
        &self,
        limit: usize,
        held: Vec<MessageKey>,
        shards: ShardSet,
    ) -> DbResult<Vec<Incoming>>;

    /// Writes routing decisions in one transaction. Messages that are no longer incoming are passed over.
    /// Claims that another delivery holds turn their delivery into a skip (`Duplicate`).
    /// When the registry has moved past `registry_version` nothing is written ([`RouteOutcome::RegistryMoved`]), and neither when the
    /// shard of one of the messages is not held any more under the epoch of the lease ([`RouteOutcome::Fenced`]).
    async fn incoming_route(
        &self,
        batch: Vec<Routed>,
        registry_version: i64,
        lease: RouterLease,
        now: Micros,
    ) -> DbResult<RouteOutcome>;

    // ---- accepted --------------------------------------------------------------------------------------------------

    /// Heads of lanes of this endpoint that are due at `now`, at most `limit`, oldest due first, without those left out.
    /// Also tells when the next one that is not due yet will be, left out or not.
    async fn accepted_due(
        &self,
        endpoint: EndpointKey,
        now: Micros,
        limit: usize,
        but: LeftOut,
    ) -> DbResult<Due>;

    /// Writes finished attempts, one transaction for all. A success settles if the delivery still waits; anything else
    /// also needs its fence to hold.
    /// The batch is shared, because a caller that is told of a trouble has to try it again.
    async fn accepted_settle(
        &self,
        batch: Arc<Vec<Settlement>>,
        now: Micros,
    ) -> DbResult<Vec<Settled>>;

    /// Endpoints that have anything waiting, with how many deliveries (for the Overseer's "nothing overdue without an owner").
    async fn accepted_endpoints(&self) -> DbResult<Vec<EndpointKey>>;

    /// Tries a waiting delivery now: pending, failures counted anew, at its lane's tail when it had stepped out of it.
    /// Returns the endpoint to wake.
    ///
    /// # Errors
    /// [`DbError::Missing`] when it does not wait in the accepted queue of this store.
    async fn accepted_release(
        &self,
        store: StoreKey,
        delivery: DeliveryKey,
        person: &str,
        now: Micros,
    ) -> DbResult<EndpointKey>;

    /// Archives a waiting delivery on a person's word, freeing its claim. Returns the endpoint, whose lane may have moved.
    ///
    /// # Errors
    /// [`DbError::Missing`] when it does not wait in the accepted queue of this store.
    async fn accepted_archive(
        &self,
        store: StoreKey,
        delivery: DeliveryKey,
        person: &str,
        now: Micros,
    ) -> DbResult<EndpointKey>;

    /// For a mapping that is enabled again: releases up to `limit` of its held deliveries. For one that is gone: archives
    /// up to `limit` of its waiting deliveries. Returns how many it dealt with; call again until 0.
    async fn accepted_tidy(
        &self,
        mapping: MappingKey,
        what: HeldMapping,
        limit: usize,
        now: Micros,
    ) -> DbResult<usize>;

    /// How much waits for an endpoint, counted up to `most`: for people.
    async fn accepted_backlog(&self, endpoint: EndpointKey, most: usize) -> DbResult<Backlog>;

    // ---- known objects and schedules -------------------------------------------------------------------------------

    /// What is known of an object that was pushed or returned in the second dialect; `None` when nothing is.
    async fn object_state(
        &self,
        store: StoreKey,
        kind: &str,
        token: &str,
    ) -> DbResult<Option<ObjectState>>;

    /// Merges pushed objects with what is known of them; what changed becomes incoming with it, in one transaction.
    async fn object_merge(&self, news: ObjectNews, now: Micros) -> DbResult<Learnt>;

    /// The newest tick of every scheduler that ever pushed one.
    async fn schedule_runs(&self) -> DbResult<Vec<ScheduleRun>>;

    /// Pushes the messages of ticks of one store's schedulers and notes the ticks, in one transaction. A tick that is not newer than
    /// the noted one, or of a former owner (`epoch` of [`OwnerKind::Scheduler`] and the store), pushes nothing.
    /// One answer per tick, in order.
    async fn schedule_push(
        &self,
        store: StoreKey,
        epoch: i64,
        ticks: Vec<Tick>,
        now: Micros,
    ) -> DbResult<Vec<PushedTick>>;

    // ---- reading ---------------------------------------------------------------------------------------------------

    /// One page of a queue, newest first.
    async fn queue_list(&self, query: QueueQuery) -> DbResult<QueuePage>;

    /// How many messages each queue and state of a store holds, from counters kept in the same transactions.
    async fn queue_stats(&self, store: StoreKey) -> DbResult<QueueStats>;

    /// The message types this store has had, in order.
    async fn message_types(&self, store: StoreKey) -> DbResult<Vec<String>>;

    /// The message or delivery of this store with this public id, with parent, children and events.
    ///
    /// # Errors
    /// [`DbError::Missing`] when there is none (any more).
    async fn message_detail(&self, store: StoreKey, id: Id) -> DbResult<MessageDetail>;

    /// Every attempt of a delivery, oldest first.
    async fn attempt_list(&self, store: StoreKey, delivery: DeliveryKey) -> DbResult<Vec<Attempt>>;

    /// One page of events, newest first.
    async fn event_list(&self, query: EventQuery) -> DbResult<EventPage>;

    /// The timeline of one object, newest messages first in paging, entries newest last within the page.
    async fn timeline(
        &self,
        store: StoreKey,
        object: ObjectRef,
        before: Option<PageKey>,
        limit: usize,
    ) -> DbResult<Timeline>;

    /// Fails when the database cannot be read and written now; for `/health/ready`. After a write failed it is believed only when
    /// something large could be written.
    async fn ping(&self) -> DbResult<()>;

    /// Writes events of the hub's own that belong to no settlement or routing (a dispatcher restarted, a store went down);
    /// their `announce` messages become incoming with them.
    async fn event_insert(&self, events: Vec<NewEvent>, now: Micros) -> DbResult<()>;

    /// What the backend knows of itself, for metrics.
    async fn figures(&self, now: Micros) -> DbResult<Figures>;

    // ---- polled shops ----------------------------------------------------------------------------------------------

    /// What the shop's `updated_at` was for each of these objects when it was last stored, in order; `None` for new ones.
    async fn snapshot_versions(
        &self,
        store: StoreKey,
        noun: Noun,
        tokens: Vec<String>,
    ) -> DbResult<Vec<Option<String>>>;

    /// What is stored of each of these objects, in order.
    async fn snapshot_list(
        &self,
        store: StoreKey,
        noun: Noun,
        tokens: Vec<String>,
    ) -> DbResult<Vec<Option<Snapshot>>>;

    /// Forgets what an object looked like, keeping a digest so that it is not announced again. False when nothing of it was stored.
    async fn snapshot_erase(&self, store: StoreKey, noun: Noun, token: String) -> DbResult<bool>;

    /// Writes what a page of a poll came to: messages become incoming, snapshots, odd documents and the cursor are stored,
    /// all or nothing. Fenced by the poller's epoch and by the cursor it was read with. An object that could be read is no
    /// longer set aside.
    async fn poll_commit(&self, commit: PollCommit, now: Micros) -> DbResult<PollOutcome>;

    /// Where the polling of a store stands.
    async fn poll_state(&self, store: StoreKey) -> DbResult<PollState>;

    /// Writes heartbeats, with the events of those that changed (whose announcements become incoming). False, and nothing
    /// written, when another poller has the store.
    async fn poll_pulse(
        &self,
        store: StoreKey,
        epoch: i64,
        pulses: Vec<Pulse>,
        events: Vec<NewEvent>,
        now: Micros,
    ) -> DbResult<bool>;

    /// Remembers what a probe found. `restart`: cursors of the poll that belong to another kind of shop give way to these.
    /// False, and nothing written, when another poller has the store.
    async fn poll_found(
        &self,
        store: StoreKey,
        epoch: i64,
        found: FoundRow,
        restart: Vec<PollCursor>,
    ) -> DbResult<bool>;

    /// Begins a backfill.
    async fn backfill_insert(&self, backfill: NewBackfill, now: Micros) -> DbResult<Backfill>;

    /// Ends a backfill that runs. False when it does not (any more).
    async fn backfill_end(
        &self,
        store: StoreKey,
        key: BackfillKey,
        state: BackfillState,
        now: Micros,
    ) -> DbResult<bool>;

    /// Documents set aside, newest first, older than `before`.
    async fn set_aside_list(
        &self,
        store: StoreKey,
        before: Option<i64>,
        limit: usize,
    ) -> DbResult<Vec<SetAsideRow>>;

    /// Notes a webhook by its event's id. False when it came before. Notes older than a week go.
    async fn hook_seen(&self, store: StoreKey, event: String, now: Micros) -> DbResult<bool>;

    /// Drops up to `limit` rows of each kind of what is known about a deleted store: its shop, the objects pushed or returned in the second
    /// dialect, the ticks of its schedulers; call again until 0.
    async fn poll_forget(&self, store: StoreKey, limit: usize) -> DbResult<usize>;

    // ---- people ----------------------------------------------------------------------------------------------------

    /// Keeps a session, so that it outlives a restart.
    async fn session_insert(&self, session: SessionRow) -> DbResult<()>;

    /// The session with this digest, also when it is over.
    async fn session_find(&self, digest: String) -> DbResult<Option<SessionRow>>;

    /// Ends sessions. What is not there is ended already.
    async fn session_end(&self, end: SessionEnd) -> DbResult<()>;

    /// Records changes.
    async fn audit_insert(&self, changes: Vec<NewAudit>, now: Micros) -> DbResult<()>;

    /// Recorded changes, newest first.
    async fn audit_list(&self, query: AuditQuery) -> DbResult<Vec<AuditRow>>;

    // ---- stored jobs -----------------------------------------------------------------------------------------------

    /// Counts what a job would touch, wholly. Not one transaction: a large archive is counted a piece at a time.
    async fn job_count(&self, question: JobQuestion, now: Micros) -> DbResult<JobCount>;

    /// Stores a job, with [`job_audit`] of it in the same transaction.
    async fn job_create(&self, new: NewJob, now: Micros) -> DbResult<Job>;

    /// Jobs, newest first (open ones: oldest first).
    async fn job_list(&self, query: JobQuery) -> DbResult<Vec<Job>>;

    /// Makes a job's next step, if its [`Turn`](crate::domain::job::Turn) has come: finds the next rows behind its cursor, acts on
    /// those that still fit, marks them, and moves the cursor, all in one transaction. Rows are dealt with in order of key. Each
    /// delivery that is acted on gets an event with [`job_words`].
    async fn job_step(&self, turn: JobTurn, now: Micros) -> DbResult<JobStep>;

    /// Ends an open job, with [`job_audit`] of it in the same transaction when a person does. `None` when it was over or is not there.
    async fn job_end(&self, end: EndJob, now: Micros) -> DbResult<Option<Job>>;
    // ---- erasing ---------------------------------------------------------------------------------------------------

    /// Takes down what is to be erased, with an entry in the record of changes. From now on [`Backend::erasure_step`] does it.
    /// The same subject that is being erased already is not begun again: that erasure is returned.
    async fn erasure_insert(&self, erasure: NewErasure, now: Micros) -> DbResult<Erasure>;

    /// One bounded step of the oldest erasure that is not done: about `limit` messages or other rows are looked at. What it
    /// erases was there when the erasure was asked for; what came later stays. Takes up after a crash where it was.
    ///
    /// Of an object: waiting deliveries of its messages are archived as erased, so that a settlement that comes late finds nothing to
    /// write. Payloads and further members of its messages give way to [`crate::domain::erasure::ERASED_PAYLOAD`], the object's name to nothing;
    /// texts of attempts and deliveries go, events go, what is known of it goes, and of a snapshot a digest stays under a
    /// digest of its name. So does what descends from its messages and is about nothing. Numbers, times, types and states stay.
    ///
    /// Of a customer: first whatever is stored is searched for the address ([`crate::domain::erasure::mention`]), then each
    /// object found is erased.
    async fn erasure_step(&self, limit: usize, now: Micros) -> DbResult<ErasureStep>;

    /// Erasures of a store, newest first, older than `before`.
    async fn erasure_list(
        &self,
        store: StoreKey,
        before: Option<PageKey>,
        limit: usize,
    ) -> DbResult<Vec<Erasure>>;

    // ---- upkeep ----------------------------------------------------------------------------------------------------

    /// One small step of upkeep: expired keys and claims, archived rows past their age, lanes without a head.
    async fn sweep(&self, bounds: SweepBounds, now: Micros) -> DbResult<SweepReport>;
}
