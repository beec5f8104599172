//! Accepting messages, and handing out those that wait for routing.

use std::{sync::Arc, time::Duration};

use super::setup::*;
use crate::{
    db::{Acceptance, Accepted, Admitted, AtOnce, IdempotencyKey, RouteProgress, Routed},
    domain::{
        key::{MappingKey, MessageKey, StoreKey, TokenKey},
        message::{Ancestry, Incoming, Source},
    },
};

pub(in crate::db) async fn what_was_accepted_is_on_disk_after_opening_again(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let (key, id) = hub.push("R1").await;
    let hub = hub.again(rig).await;
    let waiting = hub.waiting(10, Vec::new()).await;
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
    let batch = hub.waiting(8, Vec::new()).await;
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
    let waiting = hub.waiting(1, vec![first]).await;
    assert_eq!(
        waiting
            .iter()
            .map(|incoming| incoming.message.key)
            .collect::<Vec<_>>(),
        [second]
    );
}

pub(in crate::db) async fn a_message_is_read_again_as_it_was_read_first(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let (parent, parent_id) = hub.push("R0").await;
    let mut odd = message(hub.store, "order:new:extra", "R\u{e9} 1");
    odd.source = Source::Person("ann@example.org".into());
    odd.extra = Some(r#"{"note":"n"}"#.into());
    odd.test = true;
    let line = Ancestry {
        parent,
        parent_id,
        root: parent,
        depth: 1,
    };
    let mut child = message(hub.store, "order:updated", "R2");
    (child.ancestry, child.source) = (Some(line), Source::Scheduler);
    let batch = vec![acceptance(odd), acceptance(child)];
    hub.db.incoming_insert(batch, at(1)).await.unwrap();
    let first = hub.waiting(10, Vec::new()).await;
    assert_eq!(first.len(), 3);
    let hub = hub.again(rig).await;
    let again = hub.waiting(10, Vec::new()).await;
    assert_eq!(first, again);
}

/// To [`MAPPING`], in the lane of the message's order.
fn to_the_mapping(store: StoreKey) -> impl Fn(&Incoming) -> Routed + Send + Sync + Clone {
    move |incoming| {
        let order = incoming.message.about.primary.as_ref().unwrap();
        let lane = lane_of(store, order.token());
        let mut delivery = crate::domain::delivery::NewDelivery {
            mapping: MAPPING,
            endpoint: ENDPOINT,
            lane: Some(lane),
            claim: None,
        };
        let key = incoming.message.key;
        if order.token() == "R-wide" {
            let first = delivery.clone();
            delivery.mapping = MappingKey(MAPPING.0 + 1);
            let mut wide = routed(store, key, vec![first, delivery]);
            wide.progress = RouteProgress::UpTo(MappingKey(MAPPING.0 + 1));
            return wide;
        }
        let mut decided = routed(store, key, vec![delivery]);
        if order.token() == "R-derives" {
            decided.derived = vec![message(store, "order:canceled", "R-derives")];
        }
        decided
    }
}

async fn admit(hub: &Hub, batch: Vec<Acceptance>, version: i64) -> Admitted {
    let at_once = AtOnce {
        version,
        decide: Box::new(to_the_mapping(hub.store)),
        most_deliveries: 100,
    };
    hub.db
        .incoming_admit(Arc::new(batch), at_once, T0)
        .await
        .unwrap()
}

/// Routes what was left in the incoming queue, as a router would.
async fn route_the_rest(hub: &Hub) {
    let decide = to_the_mapping(hub.store);
    let waiting = hub.waiting(100, Vec::new()).await;
    for incoming in &waiting {
        let mut decided = decide(incoming);
        (decided.progress, decided.derived) = (RouteProgress::Done, Vec::new());
        hub.route(vec![decided]).await;
    }
}

pub(in crate::db) async fn what_is_routed_at_once_is_routed_once(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let push = |order: &str| acceptance(message(hub.store, "order:new", order));
    let mut keyed = push("R1");
    keyed.idempotency = Some(IdempotencyKey {
        token: TokenKey(5),
        key: [1; 16],
        body: [1; 16],
        expires_at: at(60),
    });
    let batch = vec![keyed.clone(), keyed, push("R2")];
    let admitted = admit(&hub, batch, hub.version).await;
    let [Accepted::New { key, id }, repeated, Accepted::New { .. }] = admitted.answers[..] else {
        panic!("{admitted:?}");
    };
    assert_eq!(repeated, Accepted::Repeated { id });
    assert_eq!(admitted.routed + admitted.left, 2);
    if admitted.routed == 2 {
        assert_eq!(admitted.fresh, hub.due(T0).await);
    }
    route_the_rest(&hub).await;
    let hub = hub.again(rig).await;
    assert_eq!(hub.incoming().await, []);
    let due = hub.due(T0).await;
    assert_eq!(due.iter().map(order_of).collect::<Vec<_>>(), ["R1", "R2"]);
    assert_eq!((due[0].message.key, due[0].message.id), (key, id));
    let stats = hub.db.queue_stats(hub.store).await.unwrap();
    assert_eq!((stats.incoming, stats.pending), (0, 2));
}

pub(in crate::db) async fn nothing_is_routed_past_what_waits(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.push("R1").await;
    let push = |order: &str, note: &str| {
        let mut message = message(hub.store, "order:new", order);
        message.extra = Some(format!(r#"{{"note":"{note}"}}"#));
        acceptance(message)
    };
    let second = admit(&hub, vec![push("R1", "second")], hub.version).await;
    assert_eq!((second.routed, second.left), (0, 1));
    assert_eq!(hub.due(T0).await, []);
    route_the_rest(&hub).await;
    // One whose fan-out takes several transactions waits, and those behind it do, too.
    let batch = vec![push("R-wide", ""), push("R-wide", "behind")];
    let wide = admit(&hub, batch, hub.version).await;
    assert_eq!((wide.routed, wide.left, wide.fresh.len()), (0, 2, 0));
    route_the_rest(&hub).await;
    // What it derives waits for the router.
    let derives = admit(&hub, vec![push("R-derives", "")], hub.version).await;
    assert_eq!(derives.routed + derives.left, 1 + derives.derived as usize);
    assert_eq!(hub.incoming().await.len(), derives.left);
    route_the_rest(&hub).await;
    // Behind another of its lane, so nobody is to post it now.
    let behind = admit(&hub, vec![push("R1", "third")], hub.version).await;
    assert_eq!(behind.fresh, []);
    route_the_rest(&hub).await;
    let first = hub.due(T0).await;
    let of_r1: Vec<_> = first.iter().filter(|one| order_of(one) == "R1").collect();
    assert_eq!((of_r1.len(), &of_r1[0].message.extra), (1, &None));
    hub.must_settle(of_r1[0], completed(), T0).await;
    let next = hub.due(T0).await;
    let next = next.iter().find(|one| order_of(one) == "R1").unwrap();
    assert_eq!(next.message.extra.as_deref(), Some(r#"{"note":"second"}"#));
}

pub(in crate::db) async fn with_an_older_registry_all_is_left_to_the_router(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    new_store(&*hub.db, "Another").await;
    let push = acceptance(message(hub.store, "order:new", "R1"));
    let admitted = admit(&hub, vec![push], hub.version).await;
    assert_eq!((admitted.routed, admitted.left), (0, 1));
    assert_eq!(hub.incoming().await.len(), 1);
}

pub(in crate::db) async fn an_object_keeps_its_order_whatever_else_waits(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let other = new_store(&*hub.db, "Other").await;
    const ORDERS: usize = 40;
    let mut batch = Vec::new();
    for _ in 0..3 {
        let orders = (0..ORDERS).map(|order| message(hub.store, "order:new", &format!("R{order}")));
        batch.extend(orders.map(acceptance));
    }
    batch.extend((0..2).map(|order| acceptance(message(other, "order:new", &format!("R{order}")))));
    hub.db.incoming_insert(batch, T0).await.unwrap();
    let first = hub.waiting(10, Vec::new()).await;
    let of_other = first.iter().filter(|one| one.message.store == other);
    assert_eq!(
        of_other.count(),
        2,
        "a backlog in many shards leaves the other its turn"
    );
    let mut held = Vec::new();
    loop {
        let waiting = hub.waiting(7, held.clone()).await;
        assert!(waiting.len() <= 7);
        if waiting.is_empty() {
            break;
        }
        held.extend(waiting.iter().map(|one| one.message.key));
    }
    assert_eq!(held.len(), 3 * ORDERS + 2);
    let about = hub.waiting(1000, Vec::new()).await;
    let about: std::collections::HashMap<MessageKey, (StoreKey, String)> = about
        .into_iter()
        .map(|one| {
            let about = one.message.about.primary.as_ref().unwrap().token();
            (one.message.key, (one.message.store, about.to_owned()))
        })
        .collect();
    let mut newest = std::collections::HashMap::new();
    for key in held {
        let before = newest.insert(&about[&key], key);
        assert!(
            before.is_none_or(|before| before < key),
            "{:?}",
            about[&key]
        );
    }
}
