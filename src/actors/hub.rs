//! [`Hub`]: what the web layer and the commands hold of the running hub.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    clock::SharedClock,
    directory::Directory,
    dispatcher::EndpointState,
    intake::{Load, Submit},
    leases::Leases,
    metrics::{Metrics, Refusal, Snapshot},
    newest::Readings,
    overseer::{OnFatal, Overseer, StopAll, Watch, exit_process},
    poller::{self, Hint},
    shared::{KeysInWork, Shared, Work},
    transport::{self, TransportError, TransportFactory},
    vitals::Office,
};
use crate::{
    config::Config,
    consumers::{self, Consumer},
    db::{
        Acceptance, Accepted, Backfill, BackfillState, DbError, DbResult, EndJob, EntityChange,
        Erasure, FoundRow, Learnt, NewBackfill, NewErasure, OwnerKind, RegistryDelta,
        SharedBackend,
    },
    domain::{
        job::{Job, JobEnd, NewJob},
        key::{BackfillKey, DeliveryKey, EndpointKey, IntegrationKey, StoreKey},
        known_object::ObjectNews,
        registry::Registry,
        time::Micros,
    },
};

/// How long a start may take until all actors are up.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long a request waits for the newest registry.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(2);

/// Before requests are refused the registry is read at most five times a second, however many they are.
const PACE_OF_REFUSALS: Duration = Duration::from_millis(200);

/// Why messages were not accepted. Nothing of them was kept.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Too many messages wait for the disk.
    #[error("the hub has as many messages waiting as it can take")]
    Full {
        /// When to try again.
        retry_after: Duration,
    },
    /// Messages with the same idempotency keys are being written right now. The others of the batch were not written either:
    /// take these out, or answer 409.
    #[error("a request with the same idempotency key is in work")]
    InFlight {
        /// Where in the batch they stand.
        positions: Vec<usize>,
    },
    /// The hub is stopping.
    #[error("the hub is stopping")]
    Stopping,
    /// The database refused. When it is [`DbError::Unavailable`] the messages may have been written all the same: whoever
    /// needs to know uses an idempotency key.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Why the hub did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database did not give the registry.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Nothing could be posted.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// No thread for the actors.
    #[error("no thread could be started: {0}")]
    Thread(#[from] std::io::Error),
    /// Some actors did not come up.
    #[error("not up after {} s: {missing}", .after.as_secs())]
    NotUp {
        /// Which.
        missing: String,
        /// The time allowed.
        after: Duration,
    },
}

/// The newest registry this process knows, replaced whole.
#[derive(Debug, Default)]
pub struct RegistryCache {
    current: RwLock<Arc<Registry>>,
}

impl RegistryCache {
    /// The newest snapshot. Cheap.
    #[must_use]
    pub fn current(&self) -> Arc<Registry> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes in all rows that changed since a snapshot. Deltas may come in any order and more than once: one that is not
    /// newer than the snapshot changes nothing. One that leaves a gap is the caller's to avoid.
    pub(super) fn absorb(&self, delta: RegistryDelta) {
        for (key, kind, reason) in &delta.unreadable {
            log::error!(
                "a {kind} of the registry (row {key}) cannot be read and is left out: {reason}"
            );
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if delta.version > current.version {
            *current = Arc::new(current.apply(delta.rows, delta.version));
        }
    }
}

/// What a hub is made of besides its configuration and database; each has a default that production uses.
pub struct Outside {
    /// How deliveries are posted; `None` is HTTP within the egress rules.
    pub transport: Option<TransportFactory>,
    /// Who reviews messages.
    pub consumers: Vec<Box<dyn Consumer>>,
    /// What to do when the node cannot go on.
    pub on_fatal: OnFatal,
}

impl Default for Outside {
    fn default() -> Self {
        Self {
            transport: None,
            consumers: consumers::built_in(),
            on_fatal: exit_process(),
        }
    }
}

/// The running hub. Cheap to clone; all clones are the same hub.
#[derive(Clone)]
pub struct Hub {
    pub(super) shared: Arc<Shared>,
    overseer: Addr<Overseer>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// Starts all actors of a node and returns when they are up. Needs an actix `System` around it.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub async fn start(
        config: Config,
        backend: SharedBackend,
        clock: SharedClock,
    ) -> Result<Self, StartError> {
        Self::start_with(config, backend, clock, Outside::default()).await
    }

    /// As [`Hub::start`], with other parts than the usual ones.
    ///
    /// # Errors
    /// As [`Hub::start`].
    pub async fn start_with(
        config: Config,
        backend: SharedBackend,
        clock: SharedClock,
        outside: Outside,
    ) -> Result<Self, StartError> {
        let clients = transport::clients(&config.egress)?;
        let transport = match outside.transport {
            Some(transport) => transport,
            None => transport::http(Arc::clone(&clients)),
        };
        // The Overseer's mailbox is served between ticks, so a missed tick or two is a hang.
        let patience = Duration::from_secs(config.supervision.hang_secs.saturating_mul(2));
        let shared = Arc::new(Shared {
            accepted: AtomicU64::new(0),
            load: Arc::new(Load::new(
                config.intake.max_waiting,
                config.intake.max_waiting_bytes,
            )),
            config,
            backend,
            clock,
            registry: RegistryCache::default(),
            readings: Readings::default(),
            consumers: Arc::new(outside.consumers),
            transport,
            leases: Leases::default(),
            clients,
            directory: Directory::default(),
            keys: Arc::new(KeysInWork::default()),
            tidying: Mutex::default(),
            surveys: Mutex::default(),
            forgetting: Mutex::default(),
            work: Arc::new(Work::default()),
            closing: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            database_away: AtomicBool::new(false),
            metrics: Metrics::default(),
            changed: Notify::new(),
        });
        shared.refresh_registry().await?;
        let watch = Watch::start(patience, outside.on_fatal)?;
        let node = Arc::clone(&shared);
        let thread = Arbiter::new();
        let overseer =
            Overseer::start_in_arbiter(&thread.handle(), move |_| Overseer::new(node, watch));
        let hub = Self { shared, overseer };
        let missing = hub.wait_until_up(START_PATIENCE).await;
        if missing.is_empty() {
            return Ok(hub);
        }
        hub.stop(Duration::ZERO).await;
        let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
        Err(StartError::NotUp {
            missing: names.join(", "),
            after: START_PATIENCE,
        })
    }

    async fn wait_until_up(&self, patience: Duration) -> Vec<Office> {
        let deadline = Instant::now() + patience;
        loop {
            // Registered before looking, so that an actor that comes up in between is not missed.
            let changed = self.shared.changed.notified();
            let missing = self.missing();
            if missing.is_empty() || tokio::time::timeout_at(deadline, changed).await.is_err() {
                return missing;
            }
        }
    }

    fn missing(&self) -> Vec<Office> {
        let is_down = |office: &Office| !self.shared.directory.vitals(*office).is_alive();
        Office::FIXED.into_iter().filter(is_down).collect()
    }

    /// The hub is about to stop: from now on no delivery begins, while requests that are being answered are still accepted.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
    }

    /// Stops: nothing new is accepted or begun; what is in flight is finished and written, for at most `deadline`; then the
    /// actors' threads end. What was not finished is tried again after the next start.
    pub async fn stop(&self, deadline: Duration) {
        let until = Instant::now() + deadline;
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Err(unfinished) = self
            .shared
            .work
            .finished(until.saturating_duration_since(Instant::now()))
            .await
        {
            log::warn!(
                "{unfinished} pieces of work were cut short by the stop; they are done after the next start"
            );
        }
        let ended = self
            .overseer
            .send(StopAll)
            .timeout(Duration::from_secs(5))
            .await;
        if ended.is_err() {
            log::warn!("the overseer did not answer the stop");
        }
        // Other nodes take over at their next heartbeat instead of waiting for the lease to end.
        if let Err(error) = self.shared.backend.node_leave().await {
            log::warn!("the other nodes take over when the lease of this one ends: {error}");
        }
    }

    /// Reads go straight to it.
    #[must_use]
    pub fn backend(&self) -> &SharedBackend {
        &self.shared.backend
    }

    /// What is configured.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The clock.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.shared.now()
    }

    /// The newest snapshot of everything an operator set up.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        self.shared.registry.current()
    }

    /// Whether no other node can change anything: then [`Hub::registry`] is always the newest.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.shared.leases.is_everything()
    }

    /// The registry as it is in the database now, for somebody who is known: what was configured on another node a moment ago is in it.
    /// The newest snapshot when the database does not answer.
    pub async fn newest_registry(&self) -> Arc<Registry> {
        if let Err(error) = self.read_registry(Duration::ZERO).await {
            log::debug!("a request sees the registry as it was: {error}");
        }
        self.registry()
    }

    /// The same before somebody is refused who may be anybody: at most five times a second on a node, whatever comes.
    ///
    /// # Errors
    /// Those of the database: whether the refusal is right cannot be said.
    pub async fn registry_before_refusing(&self) -> DbResult<Arc<Registry>> {
        self.read_registry(PACE_OF_REFUSALS).await?;
        Ok(self.registry())
    }

    async fn read_registry(&self, pace: Duration) -> DbResult<()> {
        if self.is_alone() {
            return Ok(());
        }
        let shared = &self.shared;
        let read = || async { shared.refresh_registry().await.map(|_| ()) };
        let read = shared.readings.next(pace, read);
        let late = |_| DbError::Unavailable("the registry was not read in time".into());
        tokio::time::timeout(REGISTRY_PATIENCE, read)
            .await
            .map_err(late)?
    }

    /// Writes changes of the registry and takes them in: when it returns, [`Hub::registry`] has them, and so has every message that is routed from now on.
    ///
    /// # Errors
    /// Those of [`crate::db::Backend::registry_change`]; nothing was changed then.
    pub async fn change_registry(&self, changes: Vec<EntityChange>) -> DbResult<RegistryDelta> {
        let written = self
            .shared
            .backend
            .registry_change(changes, self.now())
            .await?;
        // Not taken from `written`: others may have changed something in between.
        if let Err(error) = self.shared.refresh_registry().await {
            log::warn!("a change of the registry is read a little later: {error}");
        }
        Ok(written)
    }

    /// Accepts messages: when it returns, they are on disk. One answer per message, in order.
    ///
    /// # Errors
    /// [`AcceptError`], for all of them.
    pub async fn accept(&self, batch: Vec<Acceptance>) -> Result<Vec<Accepted>, AcceptError> {
        let accepted = self.submit(batch).await;
        let metrics = &self.shared.metrics;
        match &accepted {
            Ok(accepted) => metrics.accepted(
                accepted
                    .iter()
                    .filter(|one| matches!(one, Accepted::New { .. }))
                    .count(),
            ),
            Err(AcceptError::Full { .. }) => metrics.refused(Refusal::Full),
            Err(AcceptError::InFlight { .. }) => metrics.refused(Refusal::InFlight),
            Err(AcceptError::Stopping | AcceptError::Db(_)) => {
                metrics.refused(Refusal::Unavailable)
            }
        }
        accepted
    }

    async fn submit(&self, batch: Vec<Acceptance>) -> Result<Vec<Accepted>, AcceptError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        // Begun before the question, so that a stop either refuses this or waits for it.
        let piece = self.shared.work.begin();
        if self.shared.is_stopping() {
            return Err(AcceptError::Stopping);
        }
        let retry_after = Duration::from_secs(self.shared.config.intake.retry_after_secs);
        let keys = self
            .shared
            .keys
            .take(batch.iter().map(|one| one.idempotency.as_ref()))
            .map_err(|positions| AcceptError::InFlight { positions })?;
        let bytes = batch.iter().map(|one| one.message.payload.len()).sum();
        let room = self
            .shared
            .load
            .reserve(batch.len(), bytes)
            .ok_or(AcceptError::Full { retry_after })?;
        let away = || AcceptError::Db(DbError::Unavailable("the intake is being restarted".into()));
        let intake = self.shared.directory.intake.get().ok_or_else(away)?;
        let (answer, answered) = oneshot::channel();
        intake.put(Submit {
            batch,
            room,
            keys,
            answer,
            piece,
        });
        // An intake on a blocked thread is replaced after a while; whoever it held must not wait for ever.
        let patience =
            Duration::from_secs(self.shared.config.supervision.hang_secs.saturating_mul(2));
        let answered = tokio::time::timeout(patience, answered).await;
        let accepted = answered.map_err(|_| away())?.map_err(|_| away())??;
        let new = accepted
            .iter()
            .filter(|one| matches!(one, Accepted::New { .. }))
            .count();
        self.shared
            .accepted
            .fetch_add(new as u64, Ordering::Relaxed);
        Ok(accepted)
    }

    /// How many messages were accepted from outside since the process started.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Tries a waiting delivery now, on a person's word.
    ///
    /// # Errors
    /// [`DbError::Missing`] when it does not wait.
    pub async fn release(
        &self,
        store: StoreKey,
        delivery: DeliveryKey,
        person: &str,
    ) -> DbResult<()> {
        let endpoint = self
            .shared
            .backend
            .accepted_release(store, delivery, person, self.now())
            .await?;
        self.shared.directory.forget(endpoint, vec![delivery]);
        Ok(())
    }

    /// Archives a waiting delivery, on a person's word.
    ///
    /// # Errors
    /// [`DbError::Missing`] when it does not wait.
    pub async fn archive(
        &self,
        store: StoreKey,
        delivery: DeliveryKey,
        person: &str,
    ) -> DbResult<()> {
        let endpoint = self
            .shared
            .backend
            .accepted_archive(store, delivery, person, self.now())
            .await?;
        self.shared.directory.forget(endpoint, vec![delivery]);
        Ok(())
    }

    /// Begins to erase something; the Sweeper does it, in small steps.
    ///
    /// # Errors
    /// Those of the database; nothing was begun then.
    pub async fn erase(&self, erasure: NewErasure) -> DbResult<Erasure> {
        let begun = self
            .shared
            .backend
            .erasure_insert(erasure, self.now())
            .await?;
        self.shared.directory.ring(Office::Sweeper);
        Ok(begun)
    }

    /// Reads an integration's description anew, in the background.
    pub fn survey(&self, integration: IntegrationKey) {
        let mut surveys = self
            .shared
            .surveys
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !surveys.contains(&integration) {
            surveys.push(integration);
        }
        drop(surveys);
        self.shared.directory.ring(Office::Surveyor);
    }

    /// Merges objects that were pushed in the second dialect; when it returns, they and the messages they became are on disk.
    ///
    /// # Errors
    /// As [`Hub::accept`]; nothing of them was kept.
    pub async fn learn(&self, news: ObjectNews) -> Result<Learnt, AcceptError> {
        let _piece = self.shared.work.begin();
        if self.shared.is_stopping() {
            return Err(AcceptError::Stopping);
        }
        let retry_after = Duration::from_secs(self.shared.config.intake.retry_after_secs);
        let bytes = news.objects.iter().map(|object| object.raw.len()).sum();
        let room = self.shared.load.reserve(news.objects.len().max(1), bytes);
        let _room = room.ok_or(AcceptError::Full { retry_after })?;
        let learnt = self.shared.backend.object_merge(news, self.now()).await?;
        if learnt.messages > 0 {
            self.wake_router();
        }
        Ok(learnt)
    }

    /// Another node says that there may be something to do.
    pub async fn hear(&self, hint: crate::db::postgres::Hint) {
        if (hint.registry || hint.all)
            && let Err(error) = self.shared.refresh_registry().await
        {
            log::warn!("a change of the registry is read a little later: {error}");
        }
        if hint.incoming || hint.all {
            self.shared.directory.ring(Office::Router);
        }
        let leases = &self.shared.leases;
        let every = self.registry();
        let named = hint.endpoints.into_iter().map(EndpointKey);
        let all = every.endpoints.keys().copied().filter(|_| hint.all);
        for endpoint in named.chain(all) {
            // Only where it is served: a ring for a dispatcher that is not there would start one.
            if leases.owns(OwnerKind::Dispatcher, endpoint.0) {
                self.shared.directory.ring_dispatcher(endpoint);
            }
        }
        for store in hint.shops {
            if leases.owns(OwnerKind::Poller, store) {
                self.look_at_shop(StoreKey(store));
            }
        }
    }

    /// Another node wants a store's shop looked at.
    fn look_at_shop(&self, store: StoreKey) {
        let door = self.shared.directory.door(store);
        door.poll_now();
        door.look_at_backfills();
        self.shared.directory.ring(Office::Poller(store));
    }

    /// Has the node that polls the store look at its shop, where that is not this one.
    fn tell_poller(&self, store: StoreKey) {
        if self.shared.leases.owns(OwnerKind::Poller, store.0) {
            return;
        }
        let backend = Arc::clone(&self.shared.backend);
        actix_rt::spawn(async move { backend.shop_hint(store).await });
    }

    /// Wakes the router: for whoever puts messages into the database besides [`Hub::accept`].
    pub fn wake_router(&self) {
        self.shared.directory.ring(Office::Router);
    }

    /// Something of a polled store is to be looked at now. For other stores nothing happens.
    pub fn hint(&self, store: StoreKey, hint: Hint) {
        self.shared.directory.door(store).hint(hint);
        self.shared.directory.ring(Office::Poller(store));
        self.tell_poller(store);
    }

    /// Whether this store is polled.
    #[must_use]
    pub fn is_polled(&self, store: StoreKey) -> bool {
        let registry = self.registry();
        let snapshot = registry.stores.get(&store);
        snapshot.is_some_and(|snapshot| poller::Entry::of(&snapshot.store.value).is_some())
    }

    /// Whether a probe was made with the address, key and kind that the store has now.
    #[must_use]
    pub fn is_probed(&self, store: StoreKey, found: &FoundRow) -> bool {
        let registry = self.registry();
        let snapshot = registry.stores.get(&store);
        let entry = snapshot.and_then(|snapshot| poller::Entry::of(&snapshot.store.value));
        entry.is_some_and(|entry| entry.settings == found.settings)
    }

    /// Polls all collections of a store now.
    pub fn poll_now(&self, store: StoreKey) {
        self.shared.directory.door(store).poll_now();
        self.shared.directory.ring(Office::Poller(store));
        self.tell_poller(store);
    }

    /// Finds out anew which shop a store's is.
    pub fn probe_now(&self, store: StoreKey) {
        self.shared.directory.door(store).probe_now();
        self.shared.directory.ring(Office::Poller(store));
    }

    /// Begins a backfill.
    ///
    /// # Errors
    /// Those of the database; nothing was begun then.
    pub async fn backfill_begin(&self, backfill: NewBackfill) -> DbResult<Backfill> {
        let store = backfill.store;
        let begun = self
            .shared
            .backend
            .backfill_insert(backfill, self.now())
            .await?;
        self.look_at_backfills(store);
        Ok(begun)
    }

    /// Stops a backfill; what it has said stays said. False when it does not run (any more).
    ///
    /// # Errors
    /// Those of the database; it goes on then.
    pub async fn backfill_stop(&self, store: StoreKey, key: BackfillKey) -> DbResult<bool> {
        let stopped = self
            .shared
            .backend
            .backfill_end(store, key, BackfillState::Stopped, self.now())
            .await?;
        self.look_at_backfills(store);
        Ok(stopped)
    }

    fn look_at_backfills(&self, store: StoreKey) {
        self.shared.directory.door(store).look_at_backfills();
        self.shared.directory.ring(Office::Poller(store));
        self.tell_poller(store);
    }

    /// Stores a job, which begins when its time has come.
    ///
    /// # Errors
    /// Those of the database; nothing was stored then.
    pub async fn job_begin(&self, new: NewJob) -> DbResult<Job> {
        let job = self.shared.backend.job_create(new, self.now()).await?;
        self.shared.directory.ring(Office::Foreman);
        Ok(job)
    }

    /// Stops a job on a person's word; before it began that undoes it. What was done stays done. `None` when it was over.
    ///
    /// # Errors
    /// Those of the database; it goes on then.
    pub async fn job_stop(&self, job: &Job, person: &str) -> DbResult<Option<Job>> {
        let end = EndJob {
            store: job.new.store,
            job: job.key,
            end: JobEnd::Stopped,
            who: Some(person.to_owned()),
        };
        self.shared.backend.job_end(end, self.now()).await
    }

    /// Tries an endpoint now that is left alone for a while: its breaker is open, or it asked to be left alone. One delivery goes
    /// to a broken one; paused ones stay paused.
    pub fn probe_endpoint(&self, endpoint: EndpointKey) {
        self.shared.directory.cell(endpoint).ask_for_probe();
        self.shared.directory.ring(Office::Dispatcher(endpoint));
    }

    /// The state of every endpoint of a store: those of live mappings, in order of key.
    #[allow(clippy::unused_async, reason = "on several nodes the others are asked")]
    pub async fn endpoint_states(&self, store: StoreKey) -> Vec<EndpointState> {
        let registry = self.registry();
        let mut endpoints: Vec<EndpointKey> = registry
            .endpoints
            .iter()
            .filter(|(_, owner)| **owner == store)
            .map(|(endpoint, _)| *endpoint)
            .collect();
        endpoints.sort_unstable();
        let (directory, now) = (&self.shared.directory, self.now());
        let show = |endpoint| {
            directory.cell(endpoint).show(
                endpoint,
                &directory.vitals(Office::Dispatcher(endpoint)),
                now,
            )
        };
        endpoints.into_iter().map(show).collect()
    }

    /// How often each of the node's offices that are no dispatcher's was filled anew: intake, router, settler, sweeper.
    #[must_use]
    pub fn restarts(&self) -> Vec<(String, u32)> {
        let count = |office: Office| {
            (
                office.to_string(),
                self.shared.directory.vitals(office).restarts(),
            )
        };
        Office::FIXED.into_iter().map(count).collect()
    }

    /// How many messages wait for the commit that makes them durable.
    #[must_use]
    pub fn waiting_for_disk(&self) -> usize {
        self.shared.load.waiting()
    }

    /// How many endpoints have a dispatcher.
    #[must_use]
    pub fn dispatchers(&self) -> usize {
        self.shared.directory.seated()
    }

    /// The node's figures in the Prometheus text format.
    ///
    /// # Errors
    /// Those of the database, whose queues are counted at this moment.
    pub async fn metrics(&self) -> DbResult<String> {
        let database = self.shared.backend.figures(self.now()).await?;
        let (directory, now) = (&self.shared.directory, self.now());
        let mut snapshot = Snapshot {
            database,
            waiting_for_disk: self.waiting_for_disk(),
            restarts: self.restarts(),
            ..Snapshot::default()
        };
        let (mut dispatchers, mut breakers) = (BTreeMap::new(), BTreeMap::new());
        let mut restarts = 0;
        for endpoint in self.registry().endpoints.keys().copied() {
            let vitals = directory.vitals(Office::Dispatcher(endpoint));
            let state = directory.cell(endpoint).show(endpoint, &vitals, now);
            *dispatchers.entry(word_of(&state.state)).or_insert(0) += 1;
            *breakers.entry(word_of(&state.breaker)).or_insert(0) += 1;
            snapshot.in_flight += state.in_flight;
            restarts += state.restarts;
        }
        snapshot.dispatchers = dispatchers.into_iter().collect();
        snapshot.breakers = breakers.into_iter().collect();
        snapshot.restarts.push(("dispatcher".to_owned(), restarts));
        self.shared
            .metrics
            .render(&snapshot)
            .map_err(|error| DbError::Internal(error.to_string()))
    }

    /// Whether all actors are up and messages are taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.shared.is_closing() && self.overseer.connected() && self.missing().is_empty()
    }
}

/// A state as the API words it.
fn word_of(state: &impl serde::Serialize) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}
