//! Who owns what, when nodes come, go, die and wake up late.

use std::collections::BTreeSet;

use super::*;
use crate::db::{DbError, NODE_LEASE, NodeBeat, NodeView};

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
