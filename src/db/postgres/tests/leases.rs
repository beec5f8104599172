//! Who owns what, when nodes come, go, die and wake up late.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::oneshot;

use super::*;
use crate::db::{DbError, NODE_LEASE, NodeBeat, NodeView, owner_of_shard, shard_of_owner};

const OWNERS: i64 = 40;

fn wanted() -> NodeBeat {
    NodeBeat {
        wanted: (0..OWNERS)
            .map(|key| (OwnerKind::Dispatcher, key))
            .collect(),
    }
}

async fn beat(node: &PostgresBackend) -> NodeView {
    node.node_beat(wanted()).await.unwrap()
}

fn set(owners: &[(OwnerKind, i64)]) -> BTreeSet<i64> {
    owners.iter().map(|(_, key)| *key).collect()
}

#[tokio::test]
async fn the_living_give_up_before_another_takes_and_the_dead_are_followed() {
    let url = cluster().database();
    let (one, other) = (open(&url), open(&url));
    let alone = beat(&one).await;
    assert_eq!((alone.owned.len(), alone.nodes), (OWNERS as usize, 1));
    assert_eq!((alone.give_up, alone.lease), (Vec::new(), Some(NODE_LEASE)));

    // A second node comes: what is its own by rights is not its own before the first has given it up.
    let second = beat(&other).await;
    assert_eq!((second.owned, second.nodes), (Vec::new(), 2));
    let first = beat(&one).await;
    let moving = set(&first.give_up);
    assert!(!moving.is_empty() && moving.len() < OWNERS as usize);
    assert_eq!(
        set(&first.owned).len(),
        OWNERS as usize,
        "it serves them until then"
    );
    assert_eq!(beat(&other).await.owned, []);
    one.owner_release(first.give_up).await.unwrap();
    assert_eq!(set(&beat(&other).await.owned), moving);
    let left: BTreeSet<i64> = (0..OWNERS).filter(|key| !moving.contains(key)).collect();
    assert_eq!(set(&beat(&one).await.owned), left);
    let moved = *moving.first().unwrap();
    let claimed = one.owner_claim(OwnerKind::Dispatcher, moved).await;
    assert!(
        matches!(claimed, Err(DbError::Unavailable(_))),
        "{claimed:?}"
    );
    assert!(
        other
            .owner_claim(OwnerKind::Dispatcher, moved)
            .await
            .unwrap()
            > 1
    );

    // The second is not heard of for longer than its lease: the first takes over.
    let (stale, fresh) = (&other, &one);
    cluster().sql(
        &url,
        &format!(
            "UPDATE node SET beat_at = beat_at - 6000000 WHERE key = (SELECT node FROM owner WHERE kind = 1 AND key = {moved})"
        ),
    );
    let taken = beat(fresh).await;
    assert_eq!((set(&taken.owned).len(), taken.nodes), (OWNERS as usize, 1));
    // It wakes up late, and owns nothing.
    let late = beat(stale).await;
    assert_eq!((late.owned, late.nodes), (Vec::new(), 2));

    // A node that goes leaves everything at once.
    fresh.node_leave().await.unwrap();
    let last = beat(stale).await;
    assert_eq!((set(&last.owned).len(), last.nodes), (OWNERS as usize, 1));
}

#[tokio::test]
async fn a_node_that_freezes_in_the_middle_of_a_transaction_holds_nobody_up() {
    let url = cluster().database();
    let (frozen, other) = (open(&url), open(&url));
    assert_eq!(beat(&frozen).await.owned.len(), OWNERS as usize);
    let (core, (locked, is_locked)) = (Arc::clone(&frozen.core), oneshot::channel());
    let (_thawed, thaws) = oneshot::channel::<()>();
    frozen.ground.spawn(async move {
        let conn = core.read().await.unwrap();
        let lock = "BEGIN; SELECT epoch FROM owner FOR SHARE";
        locked.send(conn.batch(lock).await).unwrap();
        thaws.await.ok();
    });
    is_locked.await.unwrap().unwrap();
    cluster().sql(&url, "UPDATE node SET beat_at = beat_at - 6000000");
    // The server ends what stands still, and this beat waits no longer than that.
    let taken = beat(&other).await;
    assert_eq!(set(&taken.owned).len(), OWNERS as usize);
}

fn shard_owners() -> NodeBeat {
    let owner = |shard| (OwnerKind::Router, owner_of_shard(shard));
    NodeBeat {
        wanted: ShardSet::ALL.iter().map(owner).collect(),
    }
}

fn shards(owners: &[(OwnerKind, i64)]) -> ShardSet {
    let shard = |(_, key): &(OwnerKind, i64)| shard_of_owner(*key);
    owners.iter().filter_map(shard).collect()
}

async fn beat_for_shards(node: &PostgresBackend) -> (ShardSet, Vec<(OwnerKind, i64)>) {
    let view = node.node_beat(shard_owners()).await.unwrap();
    (shards(&view.owned), view.give_up)
}

/// The orders that wait in some shards, in the order in which they are handed out.
async fn waiting(node: &PostgresBackend, shards: ShardSet) -> Vec<MessageKey> {
    let waiting = node.incoming_waiting(1000, Vec::new(), shards).await;
    let waiting = waiting.unwrap();
    waiting.iter().map(|one| one.message.key).collect()
}

#[tokio::test]
async fn routing_is_shared_by_shard_and_a_former_owner_routes_nothing() {
    let url = cluster().database();
    let shop = Shop::at(&url, Micros(1_800_000_000_000_000)).await;
    let (one, other) = (&shop.db, open(&url));
    assert_eq!(beat_for_shards(one).await, (ShardSet::ALL, Vec::new()));
    // A node whose program knows nothing of shards gets none, and takes none away.
    cluster().sql(
        &url,
        "INSERT INTO node (key, name, beat_at, leaves) SELECT 5, 'former version', max(beat_at) + 600000000, FALSE FROM node",
    );
    assert_eq!(beat_for_shards(one).await, (ShardSet::ALL, Vec::new()));
    assert!(beat_for_shards(&other).await.0.is_empty());
    let (_, give_up) = beat_for_shards(one).await;
    one.owner_release(give_up).await.unwrap();
    let (own, (others, _)) = (beat_for_shards(one).await.0, beat_for_shards(&other).await);
    assert_eq!(ShardSet::ALL.without(own), others);
    assert!(own.len() >= 16 && others.len() >= 16, "{own:?}");

    let told = other.node_list().await.unwrap();
    let told = told.iter().map(|node| {
        let shards = node.share.routing_shards;
        (node.name.as_str(), node.lives, node.is_own, shards)
    });
    let own_name = format!("pid {}", std::process::id());
    let mut told: Vec<_> = told.collect();
    told.sort_by_key(|(_, _, is_own, shards)| (*is_own, *shards));
    let expected = [
        ("former version", true, false, 0),
        (own_name.as_str(), true, false, own.len()),
        (own_name.as_str(), true, true, others.len()),
    ];
    assert_eq!(told, expected);

    // Each takes epochs for what is its own, all together, and reads that only.
    let lease = one.router_claim(ShardSet::ALL).await.unwrap();
    assert_eq!(lease.shards(), own);
    let of_other = other.router_claim(others).await.unwrap();
    assert_eq!(of_other.shards(), others);
    let orders = orders(200);
    let keys = shop.push(&orders).await;
    let (mine, theirs) = (waiting(one, own).await, waiting(&other, others).await);
    assert!(!mine.is_empty() && !theirs.is_empty());
    let mut all: Vec<MessageKey> = mine.iter().chain(&theirs).copied().collect();
    all.sort_unstable();
    assert_eq!(all, keys);
    assert!(mine.is_sorted() && theirs.is_sorted());
    assert_eq!(waiting(one, ShardSet::default()).await, []);

    // Nothing is written when one message is of a shard that is not held, or not any more.
    let decisions = |wanted: &[MessageKey]| -> Vec<Routed> {
        let pairs = keys.iter().zip(&orders);
        let chosen = pairs.filter(|(key, _)| wanted.contains(key));
        chosen
            .map(|(key, order)| shop.routed(*key, order))
            .collect()
    };
    let (version, now) = (shop.version, shop.now);
    let route = async |node: &PostgresBackend, wanted: &[MessageKey], lease: &RouterLease| {
        let batch = decisions(wanted);
        node.incoming_route(batch, version, lease.clone(), now)
            .await
            .unwrap()
    };
    let mixed = [mine[0], theirs[0]];
    let fenced = route(one, &mixed, &lease).await;
    assert_eq!(fenced, RouteOutcome::Fenced);
    assert_eq!(waiting(one, ShardSet::ALL).await.len(), keys.len());
    let (first, rest) = mine.split_at(5);
    let routed = route(one, first, &lease).await;
    assert!(matches!(routed, RouteOutcome::Done { accepted: 5, .. }));

    // It dies: what waits in its shards is the other's, and what it writes late is not written.
    cluster().sql(
        &url,
        "UPDATE node SET beat_at = beat_at - 6000000 WHERE key = (SELECT node FROM owner WHERE kind = 0 AND key = 1)",
    );
    let (living, dead) = if own.contains(0) {
        ((&other, &of_other), (one, &lease, rest))
    } else {
        ((one, &lease), (&other, &of_other, &theirs[..]))
    };
    assert_eq!(beat_for_shards(living.0).await.0, ShardSet::ALL);
    let late = route(dead.0, dead.2, dead.1).await;
    assert_eq!(late, RouteOutcome::Fenced);
    let new = ShardSet::ALL.without(living.1.shards());
    let taken = living.0.router_claim(new).await.unwrap();
    let whole = living.1.with(&taken);
    assert_eq!(whole.shards(), ShardSet::ALL);
    let left = waiting(living.0, ShardSet::ALL).await;
    assert_eq!(left.len(), keys.len() - 5);
    let adopted = route(living.0, &left, &whole).await;
    assert!(matches!(adopted, RouteOutcome::Done { accepted: 195, .. }));
}
