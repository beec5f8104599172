//! [`Hub`]: what the web layer and the commands hold of the running hub.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crate::{
    db::{Acceptance, Accepted, DbError, DbResult, EntityChange, RegistryDelta, SharedBackend},
    domain::{
        key::{DeliveryKey, EndpointKey, StoreKey},
        registry::Registry,
        time::Micros,
    },
};

/// Why messages were not accepted. Nothing of them was kept.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Too many messages wait for the disk.
    #[error("the hub has as many messages waiting as it can take")]
    Full {
        /// When to try again.
        retry_after: Duration,
    },
    /// The hub is stopping.
    #[error("the hub is stopping")]
    Stopping,
    /// The database refused.
    #[error(transparent)]
    Db(#[from] DbError),
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
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in rows that changed. Deltas may come in any order and more than once: one that is not newer than the
    /// snapshot changes nothing, one that leaves a gap is the caller's to avoid (see [`RegistryCache::refresh`]).
    fn absorb(&self, delta: RegistryDelta) {
        for (key, kind, reason) in &delta.unreadable {
            log::error!("a {kind} of the registry (row {key}) cannot be read and is left out: {reason}");
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if delta.version > current.version {
            *current = Arc::new(current.apply(delta.rows, delta.version));
        }
    }

    /// Reads what changed since the snapshot and takes it in.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn refresh(&self, backend: &SharedBackend) -> DbResult<Arc<Registry>> {
        let delta = backend.registry_changes(self.current().version).await?;
        self.absorb(delta);
        Ok(self.current())
    }
}
