//! Leases on owners: who does what in the cluster, and since which epoch.

use super::{statement::statements, tx::Tx};
use crate::db::{
    DbError, DbResult, OwnerKind, RouterLease, ShardSet, owner_of_shard, shard_of_owner,
};

statements! {
    /// Starts an owner's next epoch; of a node that beats, only of what it owns.
    CLAIM = "INSERT INTO owner (kind, key, node, epoch) VALUES ($1, $2, $3::bigint, 1) ON CONFLICT (kind, key) DO UPDATE SET epoch = owner.epoch + 1
        WHERE $3::bigint IS NULL OR owner.node = $3::bigint RETURNING epoch";
    /// Starts the next epoch of routing shards; of a node that beats, only of those it owns.
    SHARDS_CLAIM = "INSERT INTO owner (kind, key, node, epoch) SELECT 0, u.key, $2::bigint, 1 FROM unnest($1::bigint[]) AS u(key)
        ORDER BY 2 ON CONFLICT (kind, key) DO UPDATE SET epoch = owner.epoch + 1
        WHERE $2::bigint IS NULL OR owner.node = $2::bigint RETURNING key, epoch";
    /// The epochs of routing shards, which nobody moves until the transaction ends. A shard that nobody ever had has none.
    SHARD_EPOCHS = "SELECT key, epoch FROM owner WHERE kind = 0 AND key = ANY ($1::bigint[]) ORDER BY key FOR SHARE";
    /// Writes, so that a server that only reads is noticed; changes nothing.
    TOUCH = "UPDATE meta SET value = value WHERE name = 'seal'";
    /// Writes as much as a large message: a MiB that cannot be pressed together.
    PROBE_FILL = "INSERT INTO probe (key, body) SELECT 1, string_agg(uuid_send(gen_random_uuid()), ''::bytea) FROM generate_series(1, 65536)
        ON CONFLICT (key) DO UPDATE SET body = excluded.body";
    /// Takes it out again.
    PROBE_EMPTY = "DELETE FROM probe WHERE key = 1";
}

/// The number the database stores for a kind of owner.
pub(super) fn kind_number(kind: OwnerKind) -> i32 {
    match kind {
        OwnerKind::Router => 0,
        OwnerKind::Dispatcher => 1,
        OwnerKind::Poller => 2,
        OwnerKind::Scheduler => 3,
    }
}

/// The kind stored as this number.
pub(super) fn kind_read(number: i32) -> Option<OwnerKind> {
    [
        OwnerKind::Router,
        OwnerKind::Dispatcher,
        OwnerKind::Poller,
        OwnerKind::Scheduler,
    ]
    .into_iter()
    .find(|kind| kind_number(*kind) == number)
}

/// Starts an owner's next epoch, for this node where nodes have their own.
pub(super) async fn claim(
    tx: &mut Tx<'_>,
    kind: OwnerKind,
    key: i64,
    node: Option<i64>,
) -> DbResult<i64> {
    let row: Option<(i64,)> = tx.row(&CLAIM, &[&kind_number(kind), &key, &node]).await?;
    row.map(|(epoch,)| epoch)
        .ok_or_else(|| DbError::Unavailable("another node owns this now".into()))
}

/// Starts the next epoch of routing shards, for this node where nodes have their own.
pub(super) async fn claim_shards(
    tx: &mut Tx<'_>,
    shards: ShardSet,
    node: Option<i64>,
) -> DbResult<RouterLease> {
    let keys: Vec<i64> = shards.iter().map(owner_of_shard).collect();
    let rows: Vec<(i64, i64)> = tx.rows(&SHARDS_CLAIM, &[&keys, &node]).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(key, epoch)| Some((shard_of_owner(key)?, epoch)))
        .collect())
}

/// Whether these shards are all held under the epochs of a lease, until the transaction ends.
pub(super) async fn holds(
    tx: &mut Tx<'_>,
    lease: &RouterLease,
    shards: ShardSet,
) -> DbResult<bool> {
    if shards.is_empty() {
        return Ok(true);
    }
    let keys: Vec<i64> = shards.iter().map(owner_of_shard).collect();
    let rows: Vec<(i64, i64)> = tx.rows(&SHARD_EPOCHS, &[&keys]).await?;
    let epochs: RouterLease = rows
        .into_iter()
        .filter_map(|(key, epoch)| Some((shard_of_owner(key)?, epoch)))
        .collect();
    Ok(shards.iter().all(|shard| {
        let held = lease.epoch_of(shard);
        held.is_some() && held == epochs.epoch_of(shard)
    }))
}

/// Whether the database can be written now.
pub(super) async fn touch(tx: &mut Tx<'_>) -> DbResult<()> {
    tx.run(&TOUCH, &[]).await.map(|_| ())
}

/// Writes something large, to see whether there is room.
pub(super) async fn probe_fill(tx: &mut Tx<'_>) -> DbResult<()> {
    tx.run(&PROBE_FILL, &[]).await.map(|_| ())
}

/// Takes it out again.
pub(super) async fn probe_empty(tx: &mut Tx<'_>) -> DbResult<()> {
    tx.run(&PROBE_EMPTY, &[]).await.map(|_| ())
}
