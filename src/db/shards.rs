//! Routing shards: which of the 64 are meant, and under which epochs a router holds them.

use std::sync::Arc;

use crate::domain::reference::SHARDS;

/// Some of the routing shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ShardSet(u64);

impl ShardSet {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// Whether this one is among them.
    #[must_use]
    pub fn contains(self, shard: u8) -> bool {
        shard < SHARDS && (self.0 >> shard) & 1 == 1
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Those of them that are not among others.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// They, rising.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..SHARDS).filter(move |shard| self.contains(*shard))
    }
}

impl FromIterator<u8> for ShardSet {
    fn from_iter<I: IntoIterator<Item = u8>>(shards: I) -> Self {
        let known = shards.into_iter().filter(|shard| *shard < SHARDS);
        Self(known.fold(0, |set, shard| set | 1 << shard))
    }
}

/// The key of a shard's owner. Not the shard's number: 0 was once the key of the one router for all of them.
#[must_use]
pub fn owner_of_shard(shard: u8) -> i64 {
    i64::from(shard) + 1
}

/// The shard whose owner has this key.
#[must_use]
pub fn shard_of_owner(key: i64) -> Option<u8> {
    let shard = u8::try_from(key.checked_sub(1)?).ok()?;
    (shard < SHARDS).then_some(shard)
}

/// What a router holds: shards, each with the epoch of its lease. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouterLease {
    shards: ShardSet,
    /// By shard; meaningless for those that are not held.
    epochs: Arc<Vec<i64>>,
}

impl RouterLease {
    /// These shards, all under one epoch.
    #[must_use]
    pub fn under(shards: ShardSet, epoch: i64) -> Self {
        shards.iter().map(|shard| (shard, epoch)).collect()
    }

    /// The shards.
    #[must_use]
    pub fn shards(&self) -> ShardSet {
        self.shards
    }

    /// The epoch under which this shard is held, if it is.
    #[must_use]
    pub fn epoch_of(&self, shard: u8) -> Option<i64> {
        let epoch = self.epochs.get(usize::from(shard)).copied();
        epoch.filter(|_| self.shards.contains(shard))
    }

    /// The newest epoch of all; 0 when nothing is held.
    #[must_use]
    pub fn newest(&self) -> i64 {
        let held = self.shards.iter();
        held.filter_map(|shard| self.epoch_of(shard))
            .max()
            .unwrap_or(0)
    }

    /// What of it is in `shards`.
    #[must_use]
    pub fn only(&self, shards: ShardSet) -> Self {
        Self {
            shards: ShardSet(self.shards.0 & shards.0),
            epochs: Arc::clone(&self.epochs),
        }
    }

    /// It and another one; the other one's epochs go before its own.
    #[must_use]
    pub fn with(&self, newer: &Self) -> Self {
        let of = |lease: &Self| -> Vec<(u8, i64)> {
            let held = lease.shards.iter();
            held.filter_map(|shard| Some((shard, lease.epoch_of(shard)?)))
                .collect()
        };
        of(self).into_iter().chain(of(newer)).collect()
    }
}

impl FromIterator<(u8, i64)> for RouterLease {
    fn from_iter<I: IntoIterator<Item = (u8, i64)>>(held: I) -> Self {
        let mut epochs = vec![0; usize::from(SHARDS)];
        let mut shards = ShardSet::default();
        for (shard, epoch) in held {
            if let Some(place) = epochs.get_mut(usize::from(shard)) {
                *place = epoch;
                shards.0 |= 1 << shard;
            }
        }
        Self {
            shards,
            epochs: Arc::new(epochs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_no_more() {
        let some: ShardSet = [0, 5, 63, 64, 200].into_iter().collect();
        assert_eq!(some.iter().collect::<Vec<_>>(), [0, 5, 63]);
        assert_eq!(ShardSet::ALL.len(), 64);
        assert_eq!(ShardSet::ALL.without(some).len(), 61);
        assert!(!some.contains(64) && ShardSet::default().is_empty());
    }

    #[test]
    fn an_owners_key_reads_back_and_is_never_that_of_the_former_router() {
        for shard in ShardSet::ALL.iter() {
            assert_eq!(shard_of_owner(owner_of_shard(shard)), Some(shard));
        }
        for key in [0, -1, 65, i64::MIN, i64::MAX] {
            assert_eq!(shard_of_owner(key), None);
        }
    }

    #[test]
    fn a_newer_lease_goes_before_an_older_one() {
        let older: RouterLease = [(1, 7), (2, 7)].into_iter().collect();
        let both = older.with(&[(2, 9), (3, 1)].into_iter().collect());
        assert_eq!(both.epoch_of(1), Some(7));
        assert_eq!((both.epoch_of(2), both.epoch_of(4)), (Some(9), None));
        assert_eq!(both.newest(), 9);
        let left = both.only([1].into_iter().collect());
        assert_eq!((left.epoch_of(2), left.newest()), (None, 7));
    }
}
