//! What this node owns, and until when. Written by the Overseer after each heartbeat of the node, read by whoever is about
//! to do what only one node may do.
//!
//! The lease is counted by this machine's monotonic clock from *before* the database was asked, and ends a second early: so
//! this node stops by itself before another one may take over, also when it was paused, or cut off from the database.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::db::{NodeView, OwnerKind, ShardSet, shard_of_owner};

/// How much earlier than the lease this node stops.
const MARGIN: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub struct Leases(Mutex<Held>);

#[derive(Debug, Default)]
enum Held {
    /// Not asked yet.
    #[default]
    Unknown,
    /// There is one node only.
    Everything,
    /// What the last heartbeat said.
    Until {
        owned: HashSet<(OwnerKind, i64)>,
        shards: ShardSet,
        end: Instant,
    },
}

impl Leases {
    /// Notes what a heartbeat said that was begun at `asked_at`.
    pub fn note(&self, view: &NodeView, asked_at: Instant) {
        let held = match view.lease {
            None => Held::Everything,
            Some(lease) => Held::Until {
                owned: view.owned.iter().copied().collect(),
                shards: shards_of(&view.owned).without(shards_of(&view.give_up)),
                end: asked_at + lease.saturating_sub(MARGIN),
            },
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Whether this node may do the owner's work now.
    #[must_use]
    pub fn owns(&self, kind: OwnerKind, key: i64) -> bool {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Held::Unknown => false,
            Held::Everything => true,
            Held::Until { owned, end, .. } => owned.contains(&(kind, key)) && Instant::now() < *end,
        }
    }

    /// The routing shards that this node may route now. Those it is to give up are none of them any more.
    #[must_use]
    pub fn shards(&self) -> ShardSet {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Held::Everything => ShardSet::ALL,
            Held::Until { shards, end, .. } if Instant::now() < *end => *shards,
            Held::Unknown | Held::Until { .. } => ShardSet::default(),
        }
    }

    /// Whether no heartbeat was answered yet.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(
            *self.0.lock().unwrap_or_else(PoisonError::into_inner),
            Held::Unknown
        )
    }

    /// Whether there is one node only, for ever.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(
            *self.0.lock().unwrap_or_else(PoisonError::into_inner),
            Held::Everything
        )
    }
}

fn shards_of(owners: &[(OwnerKind, i64)]) -> ShardSet {
    let routers = owners.iter().filter(|(kind, _)| *kind == OwnerKind::Router);
    routers
        .filter_map(|(_, key)| shard_of_owner(*key))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::owner_of_shard;

    #[test]
    fn a_lease_ends_by_itself_before_others_may_take_over() {
        let leases = Leases::default();
        assert!(leases.is_unknown() && !leases.owns(OwnerKind::Router, 0));
        let shard = |shard| (OwnerKind::Router, owner_of_shard(shard));
        let view = |lease| NodeView {
            owned: vec![(OwnerKind::Dispatcher, 7), shard(0), shard(1)],
            give_up: vec![shard(1)],
            nodes: 2,
            lease,
        };
        leases.note(&view(Some(Duration::from_secs(5))), Instant::now());
        assert!(leases.owns(OwnerKind::Dispatcher, 7) && !leases.owns(OwnerKind::Dispatcher, 8));
        assert_eq!(leases.shards(), [0].into_iter().collect());
        let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(4)) else {
            return;
        };
        leases.note(&view(Some(Duration::from_secs(5))), long_ago);
        assert!(!leases.owns(OwnerKind::Dispatcher, 7) && leases.shards().is_empty());
        leases.note(&view(None), long_ago);
        assert!(leases.shards() == ShardSet::ALL && leases.is_everything());
    }
}
