//! Nodes: heartbeats by the database's clock, and who owns what.
//!
//! Each owner (a routing shard, an endpoint's dispatcher) belongs to the living node that the pair of both hashes highest to
//! (rendezvous hashing): every node works that out alone and alike, and when one comes or goes, only what is its own moves.
//! A node takes what is its own from nobody or from the dead; from the living it waits until they give it up, which they do
//! at their next beat. So there are never two owners, and none is missing for longer than a lease and a beat. A node whose program is
//! too old to know of routing shards is given none.
//!
//! Beats are taken one at a time (a lock, for a few milliseconds once a second and node): else a node that was thought dead
//! could beat while another takes what it owned.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    conn::Conn,
    owner::{kind_number, kind_read},
    statement::statements,
    tx::Tx,
};
use crate::db::{DbResult, NODE_LEASE, NodeBeat, NodeRow, NodeShare, NodeView, OwnerKind};

statements! {
    /// A node lives.
    NODE_BEAT = "INSERT INTO node (key, name, beat_at, leaves, shards) VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, FALSE, TRUE)
        ON CONFLICT (key) DO UPDATE SET beat_at = excluded.beat_at, leaves = FALSE, shards = TRUE";
    /// The nodes that live, and whether they know of routing shards.
    NODES_ALIVE = "SELECT key, shards FROM node WHERE beat_at > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $1 AND NOT leaves";
    /// Nodes that have been dead for a day.
    NODES_FORGET = "DELETE FROM node WHERE beat_at < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 86400000000";
    /// Nodes, and for how long each has said nothing.
    NODES_READ = "SELECT key, name, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - beat_at, leaves FROM node ORDER BY name, key";
    /// How much of each kind each node owns; not the one router of former versions.
    SHARES = "SELECT node, kind, count(*) FROM owner WHERE node IS NOT NULL AND (kind, key) <> (0, 0) GROUP BY node, kind";
    /// Who owns what.
    OWNERS = "SELECT kind, key, node FROM owner WHERE node IS NOT NULL";
    /// Takes owners from nobody or from nodes that do not live, with the next epoch.
    OWNERS_TAKE = "INSERT INTO owner (kind, key, node, epoch) SELECT u.kind, u.key, $3::bigint, 1 FROM unnest($1::int[], $2::bigint[]) AS u(kind, key)
        ORDER BY 1, 2 ON CONFLICT (kind, key) DO UPDATE SET node = excluded.node, epoch = owner.epoch + 1
        WHERE owner.node IS NULL OR owner.node <> ALL ($4::bigint[]) RETURNING kind, key";
    /// Gives owners up; whoever takes them next starts an epoch.
    OWNERS_RELEASE = "UPDATE owner o SET node = NULL FROM unnest($1::int[], $2::bigint[]) AS u(kind, key)
        WHERE o.kind = u.kind AND o.key = u.key AND o.node = $3::bigint";
    /// A node goes.
    NODE_LEAVE = "DELETE FROM node WHERE key = $1";
    /// And gives everything up.
    OWNERS_LEAVE = "UPDATE owner SET node = NULL WHERE node = $1";
}

/// One beat: lives, takes what is its own and free, and learns what to give up.
pub(super) async fn beat(
    tx: &mut Tx<'_>,
    node: i64,
    name: &str,
    beat: &NodeBeat,
) -> DbResult<NodeView> {
    tx.alone();
    tx.run(&NODE_BEAT, &[&node, &name]).await?;
    tx.run(&NODES_FORGET, &[]).await?;
    let lease = i64::try_from(NODE_LEASE.as_micros()).unwrap_or(i64::MAX);
    let rows: Vec<(i64, bool)> = tx.rows(&NODES_ALIVE, &[&lease]).await?;
    let alive: Vec<i64> = rows.iter().map(|(key, _)| *key).collect();
    let routing = rows.iter().filter(|(_, shards)| *shards);
    let routing: Vec<i64> = routing.map(|(key, _)| *key).collect();
    let router = kind_number(OwnerKind::Router);
    let rows: Vec<(i32, i64, i64)> = tx.rows(&OWNERS, &[]).await?;
    let holders: BTreeMap<(i32, i64), i64> = rows
        .into_iter()
        .map(|(kind, key, node)| ((kind, key), node))
        .collect();
    let wanted: BTreeSet<(i32, i64)> = beat
        .wanted
        .iter()
        .map(|(kind, key)| (kind_number(*kind), *key))
        .collect();
    let mut owned: BTreeSet<(i32, i64)> = BTreeSet::new();
    let (mut take, mut give_up) = (Vec::new(), Vec::new());
    for owner in &wanted {
        let able = if owner.0 == router { &routing } else { &alive };
        let is_own = rightful(able, *owner) == Some(node);
        match holders.get(owner) {
            Some(holder) if *holder == node => {
                owned.insert(*owner);
                if !is_own {
                    give_up.push(*owner);
                }
            }
            Some(holder) if alive.contains(holder) => {}
            _ if is_own => take.push(*owner),
            _ => {}
        }
    }
    if !take.is_empty() {
        let (kinds, keys): (Vec<i32>, Vec<i64>) = take.into_iter().unzip();
        let taken: Vec<(i32, i64)> = tx
            .rows(&OWNERS_TAKE, &[&kinds, &keys, &node, &alive])
            .await?;
        owned.extend(taken);
    }
    // What nobody wants any more (an endpoint without work) is given up at once.
    let idle: Vec<(i32, i64)> = holders
        .into_iter()
        .filter(|(owner, holder)| *holder == node && !wanted.contains(owner))
        .map(|(owner, _)| owner)
        .collect();
    release(tx, node, &idle).await?;
    let named = |owners: Vec<(i32, i64)>| {
        owners
            .into_iter()
            .filter_map(|(kind, key)| Some((kind_read(kind)?, key)))
            .collect()
    };
    Ok(NodeView {
        owned: named(owned.into_iter().collect()),
        give_up: named(give_up),
        nodes: alive.len(),
        lease: Some(NODE_LEASE),
    })
}

/// The nodes, by name, with what each owns.
pub(super) async fn list(conn: &Conn, own: i64) -> DbResult<Vec<NodeRow>> {
    let nodes: Vec<(i64, String, i64, bool)> = conn.rows(&NODES_READ, &[]).await?;
    let owned: Vec<(i64, i32, i64)> = conn.rows(&SHARES, &[]).await?;
    let mut shares: BTreeMap<i64, NodeShare> = BTreeMap::new();
    for (node, kind, count) in owned {
        let share = shares.entry(node).or_default();
        let count = usize::try_from(count).unwrap_or(0);
        match kind_read(kind) {
            Some(OwnerKind::Router) => share.routing_shards = count,
            Some(OwnerKind::Dispatcher) => share.dispatchers = count,
            Some(OwnerKind::Poller) => share.pollers = count,
            Some(OwnerKind::Scheduler) => share.schedules = count,
            None => {}
        }
    }
    let row = |(key, name, silent_us, leaves): (i64, String, i64, bool)| {
        let silent = Duration::from_micros(u64::try_from(silent_us).unwrap_or(0));
        NodeRow {
            name,
            is_own: key == own,
            lives: !leaves && silent < NODE_LEASE,
            silent,
            share: shares.get(&key).copied().unwrap_or_default(),
        }
    };
    Ok(nodes.into_iter().map(row).collect())
}

/// Gives owners up.
pub(super) async fn release(tx: &mut Tx<'_>, node: i64, owners: &[(i32, i64)]) -> DbResult<()> {
    if owners.is_empty() {
        return Ok(());
    }
    let (kinds, keys): (Vec<i32>, Vec<i64>) = owners.iter().copied().unzip();
    tx.run(&OWNERS_RELEASE, &[&kinds, &keys, &node])
        .await
        .map(|_| ())
}

/// Gives everything up and goes.
pub(super) async fn leave(tx: &mut Tx<'_>, node: i64) -> DbResult<()> {
    tx.alone();
    tx.run(&NODE_LEAVE, &[&node]).await?;
    tx.run(&OWNERS_LEAVE, &[&node]).await.map(|_| ())
}

/// Owners by their stored numbers.
pub(super) fn numbered(owners: &[(OwnerKind, i64)]) -> Vec<(i32, i64)> {
    owners
        .iter()
        .map(|(kind, key)| (kind_number(*kind), *key))
        .collect()
}

/// The living node that an owner belongs to.
fn rightful(alive: &[i64], (kind, key): (i32, i64)) -> Option<i64> {
    alive
        .iter()
        .copied()
        .max_by_key(|node| (weight(*node, kind, key), *node))
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014) over the three numbers.
fn weight(node: i64, kind: i32, key: i64) -> u64 {
    let mix = |number: u64| {
        let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    };
    let owner = mix(key.cast_unsigned() ^ u64::from(kind.cast_unsigned()).rotate_left(32));
    mix(owner ^ mix(node.cast_unsigned()))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn owners_spread_over_the_nodes_and_only_a_lost_nodes_move() {
        let whose = |alive: &[i64]| -> Vec<i64> {
            (0..300)
                .map(|key| rightful(alive, (1, key)).unwrap())
                .collect()
        };
        let (three, two) = (whose(&[11, 22, 33]), whose(&[11, 33]));
        for node in [11, 22, 33] {
            assert!(three.iter().filter(|owner| **owner == node).count() > 60);
        }
        assert!(
            three
                .iter()
                .zip(&two)
                .all(|(before, after)| before == after || *before == 22)
        );
        assert_eq!(rightful(&[], (0, 0)), None);
    }
}
