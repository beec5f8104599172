//! A database that has troubles when told to.

use std::sync::Arc;

use async_trait::async_trait;

use crate::db::*;
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

/// What befalls a call.
pub enum Trouble {
    None,
    Away,
    Refused,
    Panic,
}

/// Asks before each call, by the method's name, what befalls it.
pub struct Troubled {
    inner: SharedBackend,
    trouble: Box<dyn Fn(&'static str) -> Trouble + Send + Sync>,
}

impl Troubled {
    pub fn over(
        inner: SharedBackend,
        trouble: impl Fn(&'static str) -> Trouble + Send + Sync + 'static,
    ) -> SharedBackend {
        Arc::new(Self {
            inner,
            trouble: Box::new(trouble),
        })
    }

    fn befall(&self, method: &'static str) -> DbResult<()> {
        match (self.trouble)(method) {
            Trouble::None => Ok(()),
            Trouble::Away => Err(DbError::Unavailable("on purpose".into())),
            Trouble::Refused => Err(DbError::Internal("on purpose".into())),
            Trouble::Panic => panic!("on purpose, in {method}"),
        }
    }
}

/// Each method has its troubles first and then does what the real one does.
#[async_trait]
impl Backend for Troubled {
    async fn owner_claim(&self, kind: OwnerKind, key: i64) -> DbResult<i64> {
        self.befall("owner_claim")?;
        self.inner.owner_claim(kind, key).await
    }

    async fn registry_changes(&self, since: i64) -> DbResult<RegistryDelta> {
        self.befall("registry_changes")?;
        self.inner.registry_changes(since).await
    }

    async fn registry_change(
        &self,
        changes: Vec<EntityChange>,
        now: Micros,
    ) -> DbResult<RegistryDelta> {
        self.befall("registry_change")?;
        self.inner.registry_change(changes, now).await
    }

    async fn incoming_insert(
        &self,
        batch: Vec<Acceptance>,
        now: Micros,
    ) -> DbResult<Vec<Accepted>> {
        self.befall("incoming_insert")?;
        self.inner.incoming_insert(batch, now).await
    }

    async fn incoming_waiting(
        &self,
        limit: usize,
        held: Vec<MessageKey>,
        shards: ShardSet,
    ) -> DbResult<Vec<Incoming>> {
        self.befall("incoming_waiting")?;
        self.inner.incoming_waiting(limit, held, shards).await
    }

    async fn incoming_route(
        &self,
        batch: Vec<Routed>,
        registry_version: i64,
        lease: RouterLease,
        now: Micros,
    ) -> DbResult<RouteOutcome> {
        self.befall("incoming_route")?;
        self.inner
            .incoming_route(batch, registry_version, lease, now)
            .await
    }

    async fn accepted_due(
        &self,
        endpoint: EndpointKey,
        now: Micros,
        limit: usize,
        but: LeftOut,
    ) -> DbResult<Due> {
        self.befall("accepted_due")?;
        self.inner.accepted_due(endpoint, now, limit, but).await
    }

    async fn accepted_settle(
        &self,
        batch: Arc<Vec<Settlement>>,
        now: Micros,
    ) -> DbResult<Vec<Settled>> {
        self.befall("accepted_settle")?;
        self.inner.accepted_settle(batch, now).await
    }

    async fn accepted_endpoints(&self) -> DbResult<Vec<EndpointKey>> {
        self.befall("accepted_endpoints")?;
        self.inner.accepted_endpoints().await
    }

    async fn accepted_release(
        &self,
        store: StoreKey,
        delivery: DeliveryKey,
        person: &str,
        now: Micros,
    ) -> DbResult<EndpointKey> {
        self.befall("accepted_release")?;
        self.inner
            .accepted_release(store, delivery, person, now)
            .await
    }

    async fn accepted_archive(
        &self,
        store: StoreKey,
        delivery: DeliveryKey,
        person: &str,
        now: Micros,
    ) -> DbResult<EndpointKey> {
        self.befall("accepted_archive")?;
        self.inner
            .accepted_archive(store, delivery, person, now)
            .await
    }

    async fn accepted_tidy(
        &self,
        mapping: MappingKey,
        what: HeldMapping,
        limit: usize,
        now: Micros,
    ) -> DbResult<usize> {
        self.befall("accepted_tidy")?;
        self.inner.accepted_tidy(mapping, what, limit, now).await
    }

    async fn accepted_backlog(&self, endpoint: EndpointKey, most: usize) -> DbResult<Backlog> {
        self.befall("accepted_backlog")?;
        self.inner.accepted_backlog(endpoint, most).await
    }

    async fn object_state(
        &self,
        store: StoreKey,
        kind: &str,
        token: &str,
    ) -> DbResult<Option<ObjectState>> {
        self.befall("object_state")?;
        self.inner.object_state(store, kind, token).await
    }

    async fn object_merge(&self, news: ObjectNews, now: Micros) -> DbResult<Learnt> {
        self.befall("object_merge")?;
        self.inner.object_merge(news, now).await
    }

    async fn schedule_runs(&self) -> DbResult<Vec<ScheduleRun>> {
        self.befall("schedule_runs")?;
        self.inner.schedule_runs().await
    }

    async fn schedule_push(
        &self,
        store: StoreKey,
        epoch: i64,
        ticks: Vec<Tick>,
        now: Micros,
    ) -> DbResult<Vec<PushedTick>> {
        self.befall("schedule_push")?;
        self.inner.schedule_push(store, epoch, ticks, now).await
    }

    async fn queue_list(&self, query: QueueQuery) -> DbResult<QueuePage> {
        self.befall("queue_list")?;
        self.inner.queue_list(query).await
    }

    async fn queue_stats(&self, store: StoreKey) -> DbResult<QueueStats> {
        self.befall("queue_stats")?;
        self.inner.queue_stats(store).await
    }

    async fn message_types(&self, store: StoreKey) -> DbResult<Vec<String>> {
        self.befall("message_types")?;
        self.inner.message_types(store).await
    }

    async fn message_detail(&self, store: StoreKey, id: Id) -> DbResult<MessageDetail> {
        self.befall("message_detail")?;
        self.inner.message_detail(store, id).await
    }

    async fn attempt_list(&self, store: StoreKey, delivery: DeliveryKey) -> DbResult<Vec<Attempt>> {
        self.befall("attempt_list")?;
        self.inner.attempt_list(store, delivery).await
    }

    async fn event_list(&self, query: EventQuery) -> DbResult<EventPage> {
        self.befall("event_list")?;
        self.inner.event_list(query).await
    }

    async fn timeline(
        &self,
        store: StoreKey,
        object: ObjectRef,
        before: Option<PageKey>,
        limit: usize,
    ) -> DbResult<Timeline> {
        self.befall("timeline")?;
        self.inner.timeline(store, object, before, limit).await
    }

    async fn snapshot_versions(
        &self,
        store: StoreKey,
        noun: Noun,
        tokens: Vec<String>,
    ) -> DbResult<Vec<Option<String>>> {
        self.inner.snapshot_versions(store, noun, tokens).await
    }

    async fn snapshot_list(
        &self,
        store: StoreKey,
        noun: Noun,
        tokens: Vec<String>,
    ) -> DbResult<Vec<Option<Snapshot>>> {
        self.inner.snapshot_list(store, noun, tokens).await
    }

    async fn snapshot_erase(&self, store: StoreKey, noun: Noun, token: String) -> DbResult<bool> {
        self.inner.snapshot_erase(store, noun, token).await
    }

    async fn poll_commit(&self, commit: PollCommit, now: Micros) -> DbResult<PollOutcome> {
        self.inner.poll_commit(commit, now).await
    }

    async fn poll_state(&self, store: StoreKey) -> DbResult<PollState> {
        self.befall("poll_state")?;
        self.inner.poll_state(store).await
    }

    async fn poll_pulse(
        &self,
        store: StoreKey,
        epoch: i64,
        pulses: Vec<Pulse>,
        events: Vec<NewEvent>,
        now: Micros,
    ) -> DbResult<bool> {
        self.inner
            .poll_pulse(store, epoch, pulses, events, now)
            .await
    }

    async fn poll_found(
        &self,
        store: StoreKey,
        epoch: i64,
        found: FoundRow,
        restart: Vec<PollCursor>,
    ) -> DbResult<bool> {
        self.inner.poll_found(store, epoch, found, restart).await
    }

    async fn backfill_insert(&self, backfill: NewBackfill, now: Micros) -> DbResult<Backfill> {
        self.inner.backfill_insert(backfill, now).await
    }

    async fn backfill_end(
        &self,
        store: StoreKey,
        key: BackfillKey,
        state: BackfillState,
        now: Micros,
    ) -> DbResult<bool> {
        self.inner.backfill_end(store, key, state, now).await
    }

    async fn set_aside_list(
        &self,
        store: StoreKey,
        before: Option<i64>,
        limit: usize,
    ) -> DbResult<Vec<SetAsideRow>> {
        self.inner.set_aside_list(store, before, limit).await
    }

    async fn hook_seen(&self, store: StoreKey, event: String, now: Micros) -> DbResult<bool> {
        self.inner.hook_seen(store, event, now).await
    }

    async fn poll_forget(&self, store: StoreKey, limit: usize) -> DbResult<usize> {
        self.inner.poll_forget(store, limit).await
    }

    async fn erasure_insert(&self, erasure: NewErasure, now: Micros) -> DbResult<Erasure> {
        self.inner.erasure_insert(erasure, now).await
    }

    async fn erasure_step(&self, limit: usize, now: Micros) -> DbResult<ErasureStep> {
        self.inner.erasure_step(limit, now).await
    }

    async fn erasure_list(
        &self,
        store: StoreKey,
        before: Option<PageKey>,
        limit: usize,
    ) -> DbResult<Vec<Erasure>> {
        self.inner.erasure_list(store, before, limit).await
    }

    async fn ping(&self) -> DbResult<()> {
        self.befall("ping")?;
        self.inner.ping().await
    }

    async fn figures(&self, now: Micros) -> DbResult<crate::db::Figures> {
        self.befall("figures")?;
        self.inner.figures(now).await
    }

    async fn event_insert(&self, events: Vec<NewEvent>, now: Micros) -> DbResult<()> {
        self.befall("event_insert")?;
        self.inner.event_insert(events, now).await
    }

    async fn session_insert(&self, session: SessionRow) -> DbResult<()> {
        self.befall("session_insert")?;
        self.inner.session_insert(session).await
    }

    async fn session_find(&self, digest: String) -> DbResult<Option<SessionRow>> {
        self.befall("session_find")?;
        self.inner.session_find(digest).await
    }

    async fn session_end(&self, end: SessionEnd) -> DbResult<()> {
        self.befall("session_end")?;
        self.inner.session_end(end).await
    }

    async fn audit_insert(&self, changes: Vec<NewAudit>, now: Micros) -> DbResult<()> {
        self.befall("audit_insert")?;
        self.inner.audit_insert(changes, now).await
    }

    async fn audit_list(&self, query: AuditQuery) -> DbResult<Vec<AuditRow>> {
        self.befall("audit_list")?;
        self.inner.audit_list(query).await
    }

    async fn job_count(&self, question: JobQuestion, now: Micros) -> DbResult<JobCount> {
        self.befall("job_count")?;
        self.inner.job_count(question, now).await
    }

    async fn job_create(&self, new: NewJob, now: Micros) -> DbResult<Job> {
        self.befall("job_create")?;
        self.inner.job_create(new, now).await
    }

    async fn job_list(&self, query: JobQuery) -> DbResult<Vec<Job>> {
        self.befall("job_list")?;
        self.inner.job_list(query).await
    }

    async fn job_step(&self, turn: JobTurn, now: Micros) -> DbResult<JobStep> {
        self.befall("job_step")?;
        self.inner.job_step(turn, now).await
    }

    async fn job_end(&self, end: EndJob, now: Micros) -> DbResult<Option<Job>> {
        self.befall("job_end")?;
        self.inner.job_end(end, now).await
    }

    async fn sweep(&self, bounds: SweepBounds, now: Micros) -> DbResult<SweepReport> {
        self.befall("sweep")?;
        self.inner.sweep(bounds, now).await
    }
}
