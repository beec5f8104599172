//! Accepting messages, and handing out those that wait for routing.

use std::time::Duration;

use super::setup::*;
use crate::{
    db::{Accepted, IdempotencyKey},
    domain::key::TokenKey,
};

pub(in crate::db) async fn what_was_accepted_is_on_disk_after_opening_again(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let (key, id) = hub.push("R1").await;
    let hub = hub.again(rig).await;
    let waiting = hub.db.incoming_waiting(10, Vec::new()).await.unwrap();
    assert_eq!(waiting.len(), 1);
    let read = &waiting[0].message;
    let sent = message(hub.store, "order:new", "R1");
    assert_eq!((read.key, read.id, read.accepted_at), (key, id, T0));
    assert_eq!(
        (&read.kind, &read.payload, &read.source),
        (&sent.kind, &sent.payload, &sent.source)
    );
    assert_eq!(
        (&read.about.primary, read.store),
        (&sent.about.primary, hub.store)
    );
    let (next, other) = hub.push("R2").await;
    assert!(
        next > key && other != id,
        "numbers are never given out twice"
    );
}

pub(in crate::db) async fn a_repeated_push_gets_the_first_ones_id(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let push = |body: u8| {
        let key = IdempotencyKey {
            token: TokenKey(5),
            key: [1; 16],
            body: [body; 16],
            expires_at: at(60),
        };
        let mut push = acceptance(message(hub.store, "order:new", "R1"));
        push.idempotency = Some(key);
        push
    };
    let first = hub
        .db
        .incoming_insert(vec![push(1), push(1)], T0)
        .await
        .unwrap();
    let Accepted::New { id, .. } = first[0] else {
        panic!("{first:?}")
    };
    assert_eq!(first[1], Accepted::Repeated { id }, "within one batch");
    let later = hub
        .db
        .incoming_insert(vec![push(1), push(2)], at(1))
        .await
        .unwrap();
    assert_eq!(later, [Accepted::Repeated { id }, Accepted::KeyReused]);
    assert_eq!(hub.incoming().await.len(), 1);
    let expired = hub
        .db
        .incoming_insert(vec![push(2)], T0.plus(Duration::from_secs(60)))
        .await
        .unwrap();
    assert!(matches!(expired[0], Accepted::New { .. }));
    assert_eq!(hub.incoming().await.len(), 2);
}

pub(in crate::db) async fn stores_take_turns(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let small = new_store(&*hub.db, "Small").await;
    let many: Vec<_> = (0..50)
        .map(|n| acceptance(message(hub.store, "order:new", &format!("R{n}"))))
        .collect();
    hub.db.incoming_insert(many, T0).await.unwrap();
    let few: Vec<_> = (0..3)
        .map(|n| acceptance(message(small, "order:new", &format!("S{n}"))))
        .collect();
    hub.db.incoming_insert(few, T0).await.unwrap();
    let batch = hub.db.incoming_waiting(8, Vec::new()).await.unwrap();
    let of_small = batch
        .iter()
        .filter(|incoming| incoming.message.store == small)
        .count();
    assert_eq!((batch.len(), of_small), (8, 3));
    let own: Vec<_> = batch
        .iter()
        .filter(|incoming| incoming.message.store == hub.store)
        .map(|incoming| incoming.message.key)
        .collect();
    assert!(own.is_sorted());
}

pub(in crate::db) async fn held_messages_are_not_handed_out_twice(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let (first, _) = hub.push("R1").await;
    let (second, _) = hub.push("R2").await;
    let waiting = hub.db.incoming_waiting(1, vec![first]).await.unwrap();
    assert_eq!(
        waiting
            .iter()
            .map(|incoming| incoming.message.key)
            .collect::<Vec<_>>(),
        [second]
    );
}
