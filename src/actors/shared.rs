//! What the actors of one node share: configuration, database, clock, the newest registry, and counters of what is under way.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    clock::SharedClock,
    directory::Directory,
    hub::RegistryCache,
    intake::Load,
    leases::Leases,
    metrics::Metrics,
    newest::Readings,
    transport::{ClientFactory, TransportFactory},
    vitals::Office,
};
use crate::{
    config::Config,
    consumers::Consumer,
    db::{DbResult, HeldMapping, IdempotencyKey, RegistryDelta, SharedBackend},
    domain::{
        key::{EndpointKey, IntegrationKey, MappingKey, StoreKey, TokenKey},
        registry::{Entity, Registry},
        time::Micros,
    },
};

/// The consumers that review every message.
pub type Consumers = Arc<Vec<Box<dyn Consumer>>>;

/// One per node, shared by all its actors and by [`super::Hub`].
pub struct Shared {
    /// What is configured.
    pub config: Config,
    /// The database.
    pub backend: SharedBackend,
    /// The time of day.
    pub clock: SharedClock,
    /// Everything an operator set up.
    pub registry: RegistryCache,
    /// Readings of the registry for requests.
    pub readings: Readings,
    /// Who reviews messages.
    pub consumers: Consumers,
    /// Who posts.
    pub transport: TransportFactory,
    /// What this node owns.
    pub leases: Leases,
    /// Who asks shops.
    pub clients: ClientFactory,
    /// Where the actors are.
    pub directory: Directory,
    /// Messages accepted from outside since the process started.
    pub accepted: AtomicU64,
    /// Messages between the door and the disk.
    pub load: Arc<Load>,
    /// Pushers' keys whose message is between the door and the disk.
    pub keys: Arc<KeysInWork>,
    /// Mappings whose held deliveries are to be released or removed; filled by registry changes, emptied by the Sweeper.
    pub tidying: Mutex<Vec<(MappingKey, HeldMapping)>>,
    /// Integrations whose description is to be read now; filled by people, emptied by the Surveyor.
    pub surveys: Mutex<Vec<IntegrationKey>>,
    /// Deleted stores of whose shops something is still known; filled by registry changes, emptied by the Sweeper.
    pub forgetting: Mutex<Vec<StoreKey>>,
    /// Work that a stop waits for.
    pub work: Arc<Work>,
    /// The hub is about to stop: messages are still accepted, deliveries do not begin any more.
    pub closing: AtomicBool,
    /// The hub is stopping: nothing new is begun.
    pub stopping: AtomicBool,
    /// The Settler cannot write: nothing is posted whose outcome could not be noted. Written by the Settler.
    pub database_away: AtomicBool,
    /// What happened, counted.
    pub metrics: Metrics,
    /// Notified when an actor came up or went down.
    pub changed: Notify,
}

impl Shared {
    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.clock.now()
    }

    /// Whether the hub is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Whether the hub is stopping or about to.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst) || self.is_stopping()
    }

    /// Reads the registry's changes, and has everyone concerned look: dispatchers of stores that changed, and the Sweeper for mappings that
    /// were enabled or deleted.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn refresh_registry(&self) -> DbResult<Arc<Registry>> {
        let before = self.registry.current();
        let delta = self.backend.registry_changes(before.version).await?;
        let upkeep = upkeep_of(&before, &delta);
        let deleted = delta
            .rows
            .iter()
            .filter(|row| row.deleted && matches!(row.entity, Entity::Store(_)))
            .map(|row| StoreKey(row.key));
        self.forgetting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(deleted);
        self.registry.absorb(delta);
        let after = self.registry.current();
        if !upkeep.is_empty() {
            self.tidying
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(upkeep);
            self.directory.ring(Office::Sweeper);
        }
        if after.version != before.version {
            self.directory.ring(Office::Scheduler);
            self.directory.ring(Office::Surveyor);
            let is_same = |endpoint: &EndpointKey, registry: &Registry, other: &Registry| {
                let store = |registry: &Registry| {
                    let store = registry
                        .endpoints
                        .get(endpoint)
                        .and_then(|store| registry.stores.get(store));
                    store.map(Arc::as_ptr)
                };
                store(registry) == store(other)
            };
            self.ring_pollers(&before, &after);
            let concerned: HashSet<EndpointKey> = before
                .endpoints
                .keys()
                .chain(after.endpoints.keys())
                .copied()
                .collect();
            for endpoint in concerned {
                if !is_same(&endpoint, &before, &after) {
                    self.directory.ring_dispatcher(endpoint);
                }
            }
        }
        Ok(after)
    }

    /// Pollers of stores that changed look, those that are missing are started, and what is known of deleted stores' shops goes.
    fn ring_pollers(&self, before: &Registry, after: &Registry) {
        let mut is_new = false;
        for (key, store) in &after.stores {
            let former = before.stores.get(key).map(|store| &store.store.value);
            if former != Some(&store.store.value) {
                is_new = true;
                self.directory.ring(Office::Poller(*key));
            }
        }
        for key in before.stores.keys() {
            if !after.stores.contains_key(key) {
                self.directory.ring(Office::Poller(*key));
            }
        }
        if is_new {
            self.directory.look_after_pollers();
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Which mappings' waiting deliveries a change of the registry sets free or makes pointless. At start, when everything is a
/// change, that is every mapping: a crash may have come between the change and its upkeep.
fn upkeep_of(before: &Registry, delta: &RegistryDelta) -> Vec<(MappingKey, HeldMapping)> {
    let mut upkeep = Vec::new();
    for row in &delta.rows {
        match &row.entity {
            Entity::Mapping(_) if row.deleted => {
                upkeep.push((MappingKey(row.key), HeldMapping::Remove))
            }
            Entity::Mapping(mapping) => {
                let store = row.store.and_then(|store| before.stores.get(&store));
                let former = store.and_then(|store| store.mappings.get(&MappingKey(row.key)));
                let was_enabled = former.is_some_and(|former| former.value.enabled);
                let is_new = former.is_none() && before.version > 0;
                if mapping.enabled && !was_enabled && !is_new {
                    upkeep.push((MappingKey(row.key), HeldMapping::Release));
                }
            }
            Entity::Store(_) if row.deleted => {
                let store = before.stores.get(&crate::domain::key::StoreKey(row.key));
                upkeep.extend(store.into_iter().flat_map(|store| {
                    store.mappings.keys().map(|key| (*key, HeldMapping::Remove))
                }));
            }
            _ => {}
        }
    }
    upkeep
}

/// Pushers' keys in work: a second request with the same key must not overtake the first.
#[derive(Debug, Default)]
pub struct KeysInWork(Mutex<HashSet<(TokenKey, [u8; 16])>>);

impl KeysInWork {
    /// Takes all keys, or says at which positions stand keys that are in work already.
    ///
    /// # Errors
    /// The positions.
    pub fn take<'a>(
        self: &Arc<Self>,
        keys: impl Iterator<Item = Option<&'a IdempotencyKey>>,
    ) -> Result<HeldKeys, Vec<usize>> {
        let wanted: Vec<(usize, (TokenKey, [u8; 16]))> = keys
            .enumerate()
            .filter_map(|(position, key)| key.map(|key| (position, (key.token, key.key))))
            .collect();
        let mut in_work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: Vec<usize> = wanted
            .iter()
            .filter(|(_, key)| in_work.contains(key))
            .map(|(position, _)| *position)
            .collect();
        if !taken.is_empty() {
            return Err(taken);
        }
        let mine: HashSet<_> = wanted.into_iter().map(|(_, key)| key).collect();
        in_work.extend(mine.iter().copied());
        Ok(HeldKeys {
            of: Arc::clone(self),
            mine,
        })
    }
}

/// Keys that are in work until this is dropped.
#[derive(Debug)]
pub struct HeldKeys {
    of: Arc<KeysInWork>,
    mine: HashSet<(TokenKey, [u8; 16])>,
}

impl Drop for HeldKeys {
    fn drop(&mut self) {
        if !self.mine.is_empty() {
            let mut in_work = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
            in_work.retain(|key| !self.mine.contains(key));
        }
    }
}

/// Counts work in progress that a stop waits for: attempts and their settlement.
#[derive(Debug, Default)]
pub struct Work {
    open: AtomicUsize,
    done: Notify,
}

impl Work {
    /// Begins a piece of work; dropping the token ends it.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> Piece {
        self.open.fetch_add(1, Ordering::SeqCst);
        Piece(Arc::clone(self))
    }

    /// Waits until nothing is in progress.
    ///
    /// # Errors
    /// How much still is, when `deadline` has passed.
    pub async fn finished(&self, deadline: Duration) -> Result<(), usize> {
        let all = async {
            loop {
                // Registered before looking, so that an end in between is not missed.
                let done = self.done.notified();
                if self.open.load(Ordering::SeqCst) == 0 {
                    return;
                }
                done.await;
            }
        };
        tokio::time::timeout(deadline, all)
            .await
            .map_err(|_| self.open.load(Ordering::SeqCst))
    }
}

/// A piece of work in progress.
#[derive(Debug)]
pub struct Piece(Arc<Work>);

impl Drop for Piece {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.done.notify_waiters();
        }
    }
}
