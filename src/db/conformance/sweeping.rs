//! Upkeep: only what is old and finished goes.

use std::time::Duration;

use super::setup::*;
use crate::{
    db::{DbError, IdempotencyKey, Queue, QueueQuery, SweepBounds},
    domain::key::TokenKey,
};

const DAY: u64 = 86_400;

fn bounds(days: u64) -> SweepBounds {
    SweepBounds {
        rows: 100,
        archived_age: Duration::from_secs(days * DAY),
        event_age: Duration::from_secs(days * DAY),
    }
}

pub(in crate::db) async fn a_sweep_takes_only_what_is_old_and_finished(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    hub.deliver("R2").await;
    let (waiting, _) = hub.push("R3").await;
    let due = hub.due(T0).await;
    hub.must_settle(&due[0], completed(), T0).await;
    let young = hub.db.sweep(bounds(90), at(30 * DAY)).await.unwrap();
    assert_eq!((young.archived, young.messages), (0, 0));
    let old = hub.db.sweep(bounds(90), at(91 * DAY)).await.unwrap();
    assert_eq!((old.archived, old.messages), (1, 1));
    assert!(matches!(
        hub.db.message_detail(hub.store, due[0].id).await,
        Err(DbError::Missing(_))
    ));
    assert!(matches!(
        hub.db.message_detail(hub.store, due[0].message.id).await,
        Err(DbError::Missing(_))
    ));
    assert_eq!(hub.due(T0).await, due[1..], "what waits stays, however old");
    assert_eq!(hub.incoming().await, [waiting]);
    let empty = hub.db.sweep(bounds(90), at(91 * DAY)).await.unwrap();
    assert_eq!((empty.archived, empty.messages, empty.more), (0, 0, false));
    assert_eq!(hub.db.queue_stats(hub.store).await.unwrap().archived, 0);
    let object = due[0].message.about.primary.clone().unwrap();
    assert_eq!(
        hub.db
            .timeline(hub.store, object, None, 10)
            .await
            .unwrap()
            .entries,
        []
    );
}

pub(in crate::db) async fn a_sweep_takes_expired_keys_and_old_events(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let mut push = acceptance(message(hub.store, "order:new", "R1"));
    push.idempotency = Some(IdempotencyKey {
        token: TokenKey(5),
        key: [1; 16],
        body: [1; 16],
        expires_at: at(DAY),
    });
    hub.db.incoming_insert(vec![push], T0).await.unwrap();
    hub.deliver("R2").await;
    let head = hub.due(T0).await.remove(0);
    hub.must_settle(&head, parked(), T0).await;
    hub.db
        .accepted_release(hub.store, head.key, "Ann", T0)
        .await
        .unwrap();
    let report = hub.db.sweep(bounds(90), at(2 * DAY)).await.unwrap();
    assert_eq!((report.keys, report.events, report.lanes), (1, 0, 0));
    let report = hub.db.sweep(bounds(90), at(100 * DAY)).await.unwrap();
    assert_eq!((report.keys, report.events), (0, 1));
}

pub(in crate::db) async fn a_sweep_goes_in_steps(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    for n in 0..10 {
        hub.deliver(&format!("R{n}")).await;
    }
    for head in hub.due(T0).await {
        hub.must_settle(&head, completed(), T0).await;
    }
    let small = SweepBounds {
        rows: 3,
        ..bounds(1)
    };
    let (mut archived, mut messages, mut steps) = (0, 0, 0);
    loop {
        let report = hub.db.sweep(small, at(9 * DAY)).await.unwrap();
        assert!(report.archived <= 3 && report.messages <= 3);
        archived += report.archived;
        messages += report.messages;
        steps += 1;
        if !report.more && messages == 10 {
            break;
        }
        assert!(steps < 100, "it does not end");
    }
    assert_eq!(archived, 10);
    let all = QueueQuery {
        store: hub.store,
        queue: Queue::Archived,
        kinds: None,
        states: None,
        reasons: None,
        source: None,
        from: None,
        until: None,
        message: None,
        mapping: None,
        object: None,
        after: None,
        skip: 0,
        limit: 50,
    };
    assert_eq!(hub.db.queue_list(all).await.unwrap().rows, []);
}
