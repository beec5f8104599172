//! PostgreSQL: the same tables, statements over whole batches, many nodes.
//!
//! What lives here: the SQL of PostgreSQL, the pool, partitions, locks, and the translation of rows into the domain's
//! values. What does not: decisions about messages, and anything the embedded database could share (that is the trait
//! above).
//!
//! The driver is `tokio-postgres` itself. `diesel-async` was looked at: its inserts bind a parameter for each value, so
//! that a batch's text and plan depend on its size, it caches no statement made of a `Vec` or of SQL, and it hides the
//! pipelining that lets `BEGIN`, the first statement, the counters and `COMMIT` travel in two flights. Everything here is
//! `unnest` over arrays: one text, one plan, whatever the batch.
//!
//! What differs from the embedded database, and why:
//! - *Several writers.* Each transition locks what it consumes, in one order for everyone: lanes, then rows by key, claims,
//!   events, counters. Lanes are locked by name ([`archive::lanes_lock`]), because the last settlement of a lane and the
//!   next delivery into it would otherwise miss each other.
//! - *Days.* What grows is cut by day ([`partition`]). A row's day follows from its id, so every hot statement names it.
//! - *A server that goes away.* Every call then fails with [`DbError::Unavailable`](super::DbError::Unavailable); the pool tries again with growing
//!   pauses. A transaction that was cut off before its `COMMIT` was answered may have been written.
//!
//! Read next: `tx.rs` for what a transaction is, `route.rs` and `settle.rs` for the two transitions that matter.

mod archive;
mod codec;
mod conn;
mod connect;
pub(super) mod copying;
mod core;
mod delivery;
mod detail;
mod due;
mod erasure;
mod event;
mod event_list;
mod fault;
mod hint;
mod incoming;
mod job;
mod known;
mod lists;
mod message;
mod node;
mod objects;
mod open;
mod owner;
mod partition;
mod people;
mod person;
mod polling;
mod pool;
mod registry;
mod route;
mod say;
mod schedule;
mod settle;
mod statement;
mod sweep;
#[cfg(test)]
mod tests;
mod timeline;
mod tx;
mod walk;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;

use self::core::{Core, Ground};
pub use hint::{Hint, OnHint};

use super::{
    Acceptance, Accepted, AuditQuery, AuditRow, Backend, Backfill, BackfillState, Backlog,
    DbResult, Due, EndJob, EntityChange, Erasure, ErasureStep, EventPage, EventQuery, Figures,
    FoundRow, HeldMapping, JobCount, JobQuery, JobQuestion, JobStep, JobTurn, Learnt, LeftOut,
    LoopBounds, MessageDetail, NewAudit, NewBackfill, NewErasure, NodeBeat, NodeRow, NodeView,
    ObjectState, OwnerKind, PageKey, PollCommit, PollCursor, PollOutcome, PollState, Pulse,
    PushedTick, QueuePage, QueueQuery, QueueStats, RegistryDelta, RouteOutcome, Routed,
    RouterLease, ScheduleRun, SessionEnd, SessionRow, SetAsideRow, Settled, ShardSet, SweepBounds,
    SweepReport, Tick, Timeline,
};
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

/// How PostgreSQL is opened.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://USER:PASSWORD@HOST[,HOST]/NAME?...`; secret.
    pub url: String,
    /// Connections at most; one more listens.
    pub connections: usize,
    /// How long a connection may take to be made, and how long a call waits for a free one.
    pub connect_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// How deep and wide messages may descend from one another.
    pub loop_bounds: LoopBounds,
    /// How long what a mapping took counts as taken.
    pub claim_age: Duration,
    /// This node's name, for people.
    pub node_name: String,
    /// Told when another node says that there may be something to do. Without it nothing is listened to.
    pub on_hint: Option<OnHint>,
}

impl PostgresOptions {
    /// The usual settings for this address.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections: 8,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            loop_bounds: LoopBounds {
                max_depth: 16,
                max_descendants: 10_000,
                max_per_object_hour: 1000,
            },
            claim_age: Duration::from_secs(90 * 86_400),
            node_name: format!("pid {}", std::process::id()),
            on_hint: None,
        }
    }
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// A PostgreSQL database. Dropping it closes its connections; what they were doing is undone by the server.
pub struct PostgresBackend {
    core: Arc<Core>,
    ground: Ground,
    /// This node's key: a new one each time, so that a node that comes back is a new node.
    node: i64,
    /// Whether this node beats, so that it owns what it was given only; else it owns everything.
    beats: std::sync::atomic::AtomicBool,
}

impl PostgresBackend {
    /// Opens the database, making or upgrading its tables. Blocks the calling thread until that is done.
    ///
    /// # Errors
    /// [`DbError::Refused`](super::DbError::Refused) when the address cannot be used, the server is too old, or the database is another program's or
    /// a newer version's; [`DbError::Unavailable`](super::DbError::Unavailable) when it does not answer. An existing database is left as it was.
    pub fn open(options: PostgresOptions) -> DbResult<Self> {
        let ground = Ground::start()?;
        let way = connect::Way::new(&options)?;
        let tally = Arc::new(conn::Tally::default());
        let seal = {
            let (way, tally) = (way.clone(), Arc::clone(&tally));
            ground.block(async move {
                let conn = core::single(&way, &tally).await?;
                open::prepare(&conn, clock()).await
            })?
        };
        let hints = Arc::new(hint::Hints::new(rand::random()));
        let pool = Arc::new(pool::Pool::new(
            way.clone(),
            options.connections,
            options.connect_timeout,
            Arc::clone(&tally),
        ));
        let lane_looked_at = Mutex::new((i64::MIN, i64::MIN));
        let on_hint = options.on_hint.clone();
        let core = Arc::new(Core {
            pool,
            options,
            seal,
            kinds: tx::Kinds::default(),
            hints: Arc::clone(&hints),
            tally,
            lane_looked_at,
            looks_from: std::sync::atomic::AtomicU8::new(0),
        });
        ground.spawn(hint::run(Arc::downgrade(&core), hints, way, on_hint));
        let node = rand::random::<i64>() & i64::MAX;
        Ok(Self {
            core,
            ground,
            node,
            beats: std::sync::atomic::AtomicBool::new(false),
        })
    }

    /// The backend behind a shared pointer, as the actors hold it.
    #[must_use]
    pub fn shared(self) -> Arc<dyn Backend> {
        Arc::new(self)
    }

    /// Statements run and transactions committed since it was opened.
    #[must_use]
    pub fn tally(&self) -> (u64, u64) {
        use std::sync::atomic::Ordering;
        (
            self.core.tally.statements.load(Ordering::Relaxed),
            self.core.tally.commits.load(Ordering::Relaxed),
        )
    }

    /// Runs work in a transaction on the backend's own thread.
    async fn write<T: Send + 'static>(&self, work: impl tx::Work<T>) -> DbResult<T> {
        self.ground.on(Arc::clone(&self.core).write(work)).await
    }
}

/// The clock of this machine: for opening only, before anybody gives a time.
fn clock() -> Micros {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Micros(0).plus(since)
}

/// Work in a transaction over values that every try needs.
macro_rules! write {
    ($self:ident, |$tx:ident, $($value:ident),*| $work:expr) => {{
        $(let $value = Arc::new($value);)*
        $self.write(move |$tx| {
            $(let $value = Arc::clone(&$value);)*
            Box::pin(async move { $work.await })
        }).await
    }};
}

/// Questions on one connection, in one reading transaction.
macro_rules! read {
    ($self:ident, |$conn:ident, $seal:ident| $question:expr) => {{
        let core = Arc::clone(&$self.core);
        $self
            .ground
            .on(async move {
                let $seal = core.seal;
                let lent = core.snapshot().await?;
                let answer = {
                    let $conn = &*lent;
                    $question.await
                };
                Core::close(lent).await?;
                answer
            })
            .await
    }};
}

#[async_trait]
impl Backend for PostgresBackend {
    async fn owner_claim(&self, kind: OwnerKind, key: i64) -> DbResult<i64> {
        let node = self
            .beats
            .load(std::sync::atomic::Ordering::SeqCst)
            .then_some(self.node);
        self.write(move |tx| Box::pin(async move { owner::claim(tx, kind, key, node).await }))
            .await
    }

    async fn router_claim(&self, shards: ShardSet) -> DbResult<RouterLease> {
        let node = self
            .beats
            .load(std::sync::atomic::Ordering::SeqCst)
            .then_some(self.node);
        self.write(move |tx| Box::pin(async move { owner::claim_shards(tx, shards, node).await }))
            .await
    }

    async fn node_beat(&self, beat: NodeBeat) -> DbResult<NodeView> {
        self.beats.store(true, std::sync::atomic::Ordering::SeqCst);
        let (node, name) = (self.node, self.core.options.node_name.clone());
        write!(self, |tx, beat, name| node::beat(tx, node, &name, &beat))
    }

    async fn owner_release(&self, owners: Vec<(OwnerKind, i64)>) -> DbResult<()> {
        let (node, owners) = (self.node, node::numbered(&owners));
        write!(self, |tx, owners| node::release(tx, node, &owners))
    }

    async fn node_leave(&self) -> DbResult<()> {
        let node = self.node;
        self.write(move |tx| Box::pin(async move { node::leave(tx, node).await }))
            .await
    }

    async fn node_list(&self) -> DbResult<Vec<NodeRow>> {
        let node = self.node;
        read!(self, |conn, _seal| node::list(conn, node))
    }

    async fn shop_hint(&self, store: StoreKey) {
        self.core.hints.tell(Hint::shop(store));
    }

    async fn registry_changes(&self, since: i64) -> DbResult<RegistryDelta> {
        let core = Arc::clone(&self.core);
        let question = async move {
            let conn = core.read().await?;
            let delta = registry::changes(&conn, core.seal, since).await?;
            conn.done();
            Ok(delta)
        };
        self.ground.on(question).await
    }

    async fn registry_change(
        &self,
        changes: Vec<EntityChange>,
        now: Micros,
    ) -> DbResult<RegistryDelta> {
        write!(self, |tx, changes| registry::change(tx, &changes, now))
    }

    async fn incoming_insert(
        &self,
        batch: Vec<Acceptance>,
        now: Micros,
    ) -> DbResult<Vec<Accepted>> {
        write!(self, |tx, batch| incoming::insert(tx, &batch, now))
    }

    async fn incoming_waiting(
        &self,
        limit: usize,
        held: Vec<MessageKey>,
        shards: ShardSet,
    ) -> DbResult<Vec<Incoming>> {
        let core = Arc::clone(&self.core);
        let (waiting, unreadable) = self
            .ground
            .on(async move { incoming::waiting(&core, limit, &held, shards).await })
            .await?;
        if !unreadable.is_empty() {
            let now = clock();
            write!(self, |tx, unreadable| incoming::archive_unreadable(
                tx,
                &unreadable,
                now
            ))?;
        }
        Ok(waiting)
    }

    async fn incoming_route(
        &self,
        batch: Vec<Routed>,
        registry_version: i64,
        lease: RouterLease,
        now: Micros,
    ) -> DbResult<RouteOutcome> {
        write!(self, |tx, batch, lease| route::route(
            tx,
            &batch,
            registry_version,
            &lease,
            now
        ))
    }

    async fn accepted_due(
        &self,
        endpoint: EndpointKey,
        now: Micros,
        limit: usize,
        but: LeftOut,
    ) -> DbResult<Due> {
        let core = Arc::clone(&self.core);
        let (due, unreadable) = self
            .ground
            .on(async move { due::due(&core, endpoint, now, limit, &but).await })
            .await?;
        if !unreadable.is_empty() {
            write!(self, |tx, unreadable| archive::archive_unreadable(
                tx,
                &unreadable,
                now
            ))?;
        }
        Ok(due)
    }

    async fn accepted_settle(
        &self,
        batch: Arc<Vec<Settlement>>,
        now: Micros,
    ) -> DbResult<Vec<Settled>> {
        write!(self, |tx, batch| settle::settle(tx, &batch, now))
    }

    async fn accepted_endpoints(&self) -> DbResult<Vec<EndpointKey>> {
        let core = Arc::clone(&self.core);
        self.ground
            .on(async move { due::endpoints(&core).await })
            .await
    }

    async fn accepted_release(
        &self,
        store: StoreKey,
        delivery: DeliveryKey,
        person: &str,
        now: Micros,
    ) -> DbResult<EndpointKey> {
        let person = person.to_owned();
        write!(self, |tx, person| person::release(
            tx, store, delivery, &person, now
        ))
    }

    async fn accepted_archive(
        &self,
        store: StoreKey,
        delivery: DeliveryKey,
        person: &str,
        now: Micros,
    ) -> DbResult<EndpointKey> {
        let person = person.to_owned();
        write!(self, |tx, person| person::archive(
            tx, store, delivery, &person, now
        ))
    }

    async fn accepted_tidy(
        &self,
        mapping: MappingKey,
        what: HeldMapping,
        limit: usize,
        now: Micros,
    ) -> DbResult<usize> {
        let core = Arc::clone(&self.core);
        let keys = self
            .ground
            .on(async move { person::tidy_rows(&core, mapping, what, limit).await })
            .await?;
        if keys.is_empty() {
            return Ok(0);
        }
        write!(self, |tx, keys| person::tidy(tx, &keys, what, now))
    }

    async fn accepted_backlog(&self, endpoint: EndpointKey, most: usize) -> DbResult<Backlog> {
        read!(self, |conn, _seal| due::backlog(conn, endpoint, most))
    }

    async fn object_state(
        &self,
        store: StoreKey,
        kind: &str,
        token: &str,
    ) -> DbResult<Option<ObjectState>> {
        let (kind, token) = (kind.to_owned(), token.to_owned());
        read!(self, |conn, _seal| known::state(conn, store, &kind, &token))
    }

    async fn object_merge(&self, news: ObjectNews, now: Micros) -> DbResult<Learnt> {
        write!(self, |tx, news| known::merge(tx, &news, now))
    }

    async fn schedule_runs(&self) -> DbResult<Vec<ScheduleRun>> {
        read!(self, |conn, _seal| schedule::runs(conn))
    }

    async fn schedule_push(
        &self,
        store: StoreKey,
        epoch: i64,
        ticks: Vec<Tick>,
        now: Micros,
    ) -> DbResult<Vec<PushedTick>> {
        write!(self, |tx, ticks| schedule::push(
            tx, store, epoch, &ticks, now
        ))
    }

    async fn figures(&self, now: Micros) -> DbResult<Figures> {
        use std::sync::atomic::Ordering::Relaxed;
        let (queues, oldest) = read!(self, |conn, _seal| lists::totals(conn))?;
        let tally = &self.core.tally;
        Ok(Figures {
            queues,
            oldest_incoming_age: oldest.map_or(Duration::ZERO, |at| now.since(at)),
            commits: tally.commits.load(Relaxed),
            commands: tally.statements.load(Relaxed),
            rollbacks: tally.rollbacks.load(Relaxed),
            syncs: 0,
            writing: Duration::from_micros(tally.writing_us.load(Relaxed)),
        })
    }

    async fn queue_list(&self, query: QueueQuery) -> DbResult<QueuePage> {
        read!(self, |conn, seal| lists::list(conn, seal, &query))
    }

    async fn queue_stats(&self, store: StoreKey) -> DbResult<QueueStats> {
        read!(self, |conn, _seal| lists::stats(conn, store))
    }

    async fn message_types(&self, store: StoreKey) -> DbResult<Vec<String>> {
        read!(self, |conn, _seal| lists::message_types(conn, store))
    }

    async fn message_detail(&self, store: StoreKey, id: Id) -> DbResult<MessageDetail> {
        read!(self, |conn, seal| detail::detail(conn, seal, store, id))
    }

    async fn attempt_list(&self, store: StoreKey, delivery: DeliveryKey) -> DbResult<Vec<Attempt>> {
        read!(self, |conn, _seal| detail::attempts(conn, store, delivery))
    }

    async fn event_list(&self, query: EventQuery) -> DbResult<EventPage> {
        read!(self, |conn, seal| event_list::list(conn, seal, &query))
    }

    async fn timeline(
        &self,
        store: StoreKey,
        object: ObjectRef,
        before: Option<PageKey>,
        limit: usize,
    ) -> DbResult<Timeline> {
        read!(self, |conn, seal| timeline::timeline(
            conn, seal, store, &object, before, limit
        ))
    }

    async fn ping(&self) -> DbResult<()> {
        self.write(|tx| Box::pin(owner::touch(tx))).await?;
        let tally = &self.core.tally;
        let known = tally.failures();
        if known == tally.healed() {
            return Ok(());
        }
        // On a disk that is all but full small changes still find room.
        self.write(|tx| Box::pin(owner::probe_fill(tx))).await?;
        self.write(|tx| Box::pin(owner::probe_empty(tx))).await?;
        tally.heal(known);
        Ok(())
    }

    async fn event_insert(&self, events: Vec<NewEvent>, now: Micros) -> DbResult<()> {
        write!(self, |tx, events| say::say_events(tx, &events, now))
    }

    async fn snapshot_versions(
        &self,
        store: StoreKey,
        noun: Noun,
        tokens: Vec<String>,
    ) -> DbResult<Vec<Option<String>>> {
        read!(self, |conn, _seal| polling::versions(
            conn, store, noun, &tokens
        ))
    }

    async fn snapshot_list(
        &self,
        store: StoreKey,
        noun: Noun,
        tokens: Vec<String>,
    ) -> DbResult<Vec<Option<Snapshot>>> {
        read!(self, |conn, _seal| polling::snapshots(
            conn, store, noun, &tokens
        ))
    }

    async fn snapshot_erase(&self, store: StoreKey, noun: Noun, token: String) -> DbResult<bool> {
        write!(self, |tx, token| polling::erase(tx, store, noun, &token))
    }

    async fn poll_commit(&self, commit: PollCommit, now: Micros) -> DbResult<PollOutcome> {
        write!(self, |tx, commit| polling::commit(tx, &commit, now))
    }

    async fn poll_state(&self, store: StoreKey) -> DbResult<PollState> {
        read!(self, |conn, seal| polling::state(conn, seal, store))
    }

    async fn poll_pulse(
        &self,
        store: StoreKey,
        epoch: i64,
        pulses: Vec<Pulse>,
        events: Vec<NewEvent>,
        now: Micros,
    ) -> DbResult<bool> {
        let beats = polling::Beats {
            store,
            epoch,
            pulses,
            events,
        };
        write!(self, |tx, beats| polling::pulse(tx, &beats, now))
    }

    async fn poll_found(
        &self,
        store: StoreKey,
        epoch: i64,
        found: FoundRow,
        restart: Vec<PollCursor>,
    ) -> DbResult<bool> {
        write!(self, |tx, found, restart| polling::found(
            tx, store, epoch, &found, &restart
        ))
    }

    async fn backfill_insert(&self, backfill: NewBackfill, now: Micros) -> DbResult<Backfill> {
        write!(self, |tx, backfill| polling::backfill_insert(
            tx, &backfill, now
        ))
    }

    async fn backfill_end(
        &self,
        store: StoreKey,
        key: BackfillKey,
        state: BackfillState,
        now: Micros,
    ) -> DbResult<bool> {
        self.write(move |tx| {
            Box::pin(async move { polling::backfill_end(tx, store, key, state, now).await })
        })
        .await
    }

    async fn set_aside_list(
        &self,
        store: StoreKey,
        before: Option<i64>,
        limit: usize,
    ) -> DbResult<Vec<SetAsideRow>> {
        read!(self, |conn, _seal| polling::set_aside_list(
            conn, store, before, limit
        ))
    }

    async fn hook_seen(&self, store: StoreKey, event: String, now: Micros) -> DbResult<bool> {
        write!(self, |tx, event| polling::hook_seen(tx, store, &event, now))
    }

    async fn poll_forget(&self, store: StoreKey, limit: usize) -> DbResult<usize> {
        self.write(move |tx| Box::pin(async move { polling::forget(tx, store, limit).await }))
            .await
    }

    async fn session_insert(&self, session: SessionRow) -> DbResult<()> {
        write!(self, |tx, session| people::session_insert(tx, &session))
    }

    async fn session_find(&self, digest: String) -> DbResult<Option<SessionRow>> {
        read!(self, |conn, _seal| people::session_find(conn, digest))
    }

    async fn session_end(&self, end: SessionEnd) -> DbResult<()> {
        write!(self, |tx, end| people::session_end(tx, &end))
    }

    async fn audit_insert(&self, changes: Vec<NewAudit>, now: Micros) -> DbResult<()> {
        write!(self, |tx, changes| people::audit_insert(tx, &changes, now))
    }

    async fn audit_list(&self, query: AuditQuery) -> DbResult<Vec<AuditRow>> {
        read!(self, |conn, _seal| people::audit_list(conn, &query))
    }

    async fn erasure_insert(&self, erasure: NewErasure, now: Micros) -> DbResult<Erasure> {
        write!(self, |tx, erasure| erasure::insert(tx, &erasure, now))
    }

    async fn erasure_step(&self, limit: usize, now: Micros) -> DbResult<ErasureStep> {
        let core = Arc::clone(&self.core);
        let next = self
            .ground
            .on(async move { erasure::next(&core, limit).await })
            .await?;
        match next {
            None => Ok(ErasureStep::Idle),
            Some(next) => write!(self, |tx, next| erasure::step(tx, &next, limit, now)),
        }
    }

    async fn erasure_list(
        &self,
        store: StoreKey,
        before: Option<PageKey>,
        limit: usize,
    ) -> DbResult<Vec<Erasure>> {
        read!(self, |conn, seal| erasure::list(
            conn, seal, store, before, limit
        ))
    }

    async fn job_count(&self, question: JobQuestion, now: Micros) -> DbResult<JobCount> {
        let core = Arc::clone(&self.core);
        self.ground
            .on(async move { job::count(&core, &question, now).await })
            .await
    }

    async fn job_create(&self, new: NewJob, now: Micros) -> DbResult<Job> {
        write!(self, |tx, new| job::create(tx, &new, now))
    }

    async fn job_list(&self, query: JobQuery) -> DbResult<Vec<Job>> {
        read!(self, |conn, seal| job::list(conn, seal, &query))
    }

    async fn job_step(&self, turn: JobTurn, now: Micros) -> DbResult<JobStep> {
        let (core, key) = (Arc::clone(&self.core), turn.job);
        let found = self
            .ground
            .on(async move { job::look(&core, key, now).await })
            .await?;
        let Some((job, picked)) = found else {
            return Ok(JobStep::Nothing);
        };
        write!(self, |tx, job, picked, turn| job::step(
            tx, &job, &picked, &turn, now
        ))
    }

    async fn job_end(&self, end: EndJob, now: Micros) -> DbResult<Option<Job>> {
        write!(self, |tx, end| job::end(tx, &end, now))
    }

    async fn sweep(&self, bounds: SweepBounds, now: Micros) -> DbResult<SweepReport> {
        let core = Arc::clone(&self.core);
        self.ground
            .on(async move { sweep::sweep(&core, bounds, now).await })
            .await
    }
}
