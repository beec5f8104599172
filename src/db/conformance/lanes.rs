//! Lanes: what concerns one object stays in order at an endpoint, and nothing else waits for it.

use super::setup::*;
use crate::db::{Due, LeftOut};
use crate::domain::delivery::{Disposition, WaitState};

pub(in crate::db) async fn one_lane_keeps_its_order_behind_a_failing_head(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let first = hub.deliver("R1").await;
    let second = hub.deliver("R1").await;
    let due = hub.due(T0).await;
    assert_eq!(
        due.iter()
            .map(|delivery| delivery.message.key)
            .collect::<Vec<_>>(),
        [first]
    );
    hub.must_settle(&due[0], failing(at(5)), T0).await;
    assert_eq!(hub.due(at(4)).await, []);
    let rest = hub
        .db
        .accepted_due(ENDPOINT, at(4), 10, Vec::new().into())
        .await
        .unwrap();
    assert_eq!(rest.next_due_at, Some(at(5)));
    let hub = hub.again(rig).await;
    let due = hub.due(at(5)).await;
    assert_eq!(
        (
            due[0].message.key,
            due[0].attempts,
            due[0].failures,
            due[0].state
        ),
        (first, 1, 1, WaitState::Failing)
    );
    let settled = hub.must_settle(&due[0], completed(), at(5)).await;
    assert!(settled.lane_moved);
    let due = hub.due(at(5)).await;
    assert_eq!(
        due.iter()
            .map(|delivery| delivery.message.key)
            .collect::<Vec<_>>(),
        [second]
    );
}

pub(in crate::db) async fn other_lanes_pass_a_failing_one(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    for order in ["R1", "R1", "R2", "R3"] {
        hub.deliver(order).await;
    }
    let due = hub.due(T0).await;
    assert_eq!(
        due.iter().map(order_of).collect::<Vec<_>>(),
        ["R1", "R2", "R3"]
    );
    hub.must_settle(&due[0], failing(at(60)), T0).await;
    assert_eq!(hub.due_orders(T0).await, ["R2", "R3"]);
    let held = hub
        .db
        .accepted_due(ENDPOINT, T0, 10, vec![due[1].key].into())
        .await
        .unwrap();
    assert_eq!(
        held.deliveries.iter().map(order_of).collect::<Vec<_>>(),
        ["R3"]
    );
}

pub(in crate::db) async fn a_parked_delivery_steps_aside_and_comes_back_at_the_tail(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let messages = [
        hub.deliver("R1").await,
        hub.deliver("R1").await,
        hub.deliver("R1").await,
    ];
    let head = hub.due(T0).await.remove(0);
    assert!(hub.must_settle(&head, parked(), T0).await.lane_moved);
    assert_eq!(hub.due(T0).await[0].message.key, messages[1]);
    let endpoint = hub
        .db
        .accepted_release(hub.store, head.key, "Ann", at(10))
        .await
        .unwrap();
    assert_eq!(endpoint, ENDPOINT);
    let mut order = Vec::new();
    while let Some(next) = hub.due(at(10)).await.pop() {
        order.push(next.message.key);
        assert_eq!(next.failures, 0);
        hub.must_settle(&next, completed(), at(10)).await;
    }
    assert_eq!(order, [messages[1], messages[2], messages[0]]);
}

pub(in crate::db) async fn an_unordered_mapping_waits_for_nobody(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    for _ in 0..3 {
        let (key, _) = hub.push("R1").await;
        hub.route(vec![routed(hub.store, key, vec![hub.to(MAPPING, None)])])
            .await;
    }
    let due = hub.due(T0).await;
    assert_eq!(due.len(), 3);
    let settled = hub.must_settle(&due[0], completed(), T0).await;
    assert!(!settled.lane_moved);
    hub.must_settle(&due[1], parked(), T0).await;
    assert_eq!(hub.due(T0).await.len(), 1);
    hub.db
        .accepted_release(hub.store, due[1].key, "Ann", T0)
        .await
        .unwrap();
    assert_eq!(hub.due(T0).await.len(), 2);
}

pub(in crate::db) async fn a_held_delivery_leaves_its_lane_until_released(rig: &dyn Rig) {
    use crate::db::{EntityChange, HeldMapping};
    use crate::domain::{key::MappingKey, registry::Entity};
    let hub = Hub::start(rig).await;
    let body = r#"{"name":"acme.send_order","url":"http://endpoint.example","messages":["order:new"],"enabled":false}"#;
    let entity = Entity::from_json("mapping", body).unwrap();
    let create = EntityChange::Create {
        store: Some(hub.store),
        subject: None,
        entity,
    };
    let mapping = MappingKey(hub.db.registry_change(vec![create], T0).await.unwrap().rows[0].key);
    let hub = hub.again(rig).await;
    for _ in 0..2 {
        let (key, _) = hub.push("R1").await;
        hub.route(vec![routed(
            hub.store,
            key,
            vec![hub.to(mapping, Some("R1"))],
        )])
        .await;
    }
    for _ in 0..2 {
        let head = hub.due(T0).await.remove(0);
        hub.must_settle(&head, Disposition::Held, T0).await;
    }
    assert_eq!(hub.due(at(1000)).await, []);
    assert_eq!(
        hub.db
            .accepted_tidy(mapping, HeldMapping::Release, 10, T0)
            .await
            .unwrap(),
        2
    );
    assert_eq!(
        hub.db
            .accepted_tidy(mapping, HeldMapping::Release, 10, T0)
            .await
            .unwrap(),
        0
    );
    assert_eq!(hub.due(T0).await.len(), 1, "both are in one lane again");
    assert_eq!(
        hub.db
            .accepted_tidy(mapping, HeldMapping::Remove, 1, T0)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        hub.db
            .accepted_tidy(mapping, HeldMapping::Remove, 10, T0)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        hub.db
            .accepted_tidy(mapping, HeldMapping::Remove, 10, T0)
            .await
            .unwrap(),
        0
    );
    assert_eq!(hub.due(T0).await, []);
}

pub(in crate::db) async fn what_a_mapping_enabled_meanwhile_would_have_held_goes_on(rig: &dyn Rig) {
    use crate::db::EntityChange;
    use crate::domain::{key::MappingKey, registry::Entity};
    let hub = Hub::start(rig).await;
    let body = r#"{"name":"acme.send_order","url":"http://endpoint.example","messages":["order:new"],"enabled":true}"#;
    let create = EntityChange::Create {
        store: Some(hub.store),
        subject: None,
        entity: Entity::from_json("mapping", body).unwrap(),
    };
    let mapping = MappingKey(hub.db.registry_change(vec![create], T0).await.unwrap().rows[0].key);
    let hub = hub.again(rig).await;
    let (key, _) = hub.push("R1").await;
    let delivery = hub.to(mapping, Some("R1"));
    hub.route(vec![routed(hub.store, key, vec![delivery])])
        .await;
    let head = hub.due(T0).await.remove(0);
    // Its dispatcher had still read that the mapping is disabled.
    let settled = hub.must_settle(&head, Disposition::Held, T0).await;
    assert!(settled.lane_moved, "whoever hears this looks again");
    assert_eq!(hub.due(T0).await, [head]);
}

pub(in crate::db) async fn an_archived_head_lets_the_next_one_go(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    let second = hub.deliver("R1").await;
    let head = hub.due(T0).await.remove(0);
    hub.db
        .accepted_archive(hub.store, head.key, "Ann", T0)
        .await
        .unwrap();
    assert_eq!(hub.due(T0).await[0].message.key, second);
    let gone = hub
        .db
        .accepted_archive(hub.store, head.key, "Ann", T0)
        .await;
    assert!(
        matches!(gone, Err(crate::db::DbError::Missing(_))),
        "{gone:?}"
    );
    let nobody = hub.db.accepted_release(hub.store, NOBODY, "Ann", T0).await;
    assert!(
        matches!(nobody, Err(crate::db::DbError::Missing(_))),
        "{nobody:?}"
    );
}

pub(in crate::db) async fn large_messages_are_handed_out_a_few_at_a_time(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let mut keys = Vec::new();
    for order in ["R1", "R2", "R3"] {
        let push = acceptance_of(hub.store, order, 9 << 20);
        let accepted = hub.db.incoming_insert(vec![push], T0).await.unwrap();
        let crate::db::Accepted::New { key, .. } = accepted[0] else {
            panic!("{accepted:?}");
        };
        keys.push(key);
    }
    assert_eq!(hub.incoming().await, keys[..1], "two are more than fits");
    for (key, order) in keys.iter().zip(["R1", "R2", "R3"]) {
        let delivery = hub.to(MAPPING, Some(order));
        hub.route(vec![routed(hub.store, *key, vec![delivery])])
            .await;
    }
    let mut held = Vec::new();
    for (nth, key) in keys.iter().enumerate() {
        let due = hub
            .db
            .accepted_due(ENDPOINT, T0, 10, held.clone().into())
            .await
            .unwrap();
        let got: Vec<_> = due.deliveries.iter().map(|one| one.message.key).collect();
        assert_eq!((got, due.more), (vec![*key], nth < 2));
        held.extend(due.deliveries.iter().map(|one| one.key));
    }
}

pub(in crate::db) async fn a_read_may_leave_mappings_out(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let other = crate::domain::key::MappingKey(900_002);
    for order in ["R1", "R2", "R3"] {
        hub.deliver(order).await;
    }
    let (key, _) = hub.push("R4").await;
    let deliveries = vec![hub.to(other, Some("R4"))];
    hub.route(vec![routed(hub.store, key, deliveries)]).await;
    let read = |mappings, limit| {
        let but = LeftOut {
            deliveries: Vec::new(),
            mappings,
        };
        hub.db.accepted_due(ENDPOINT, T0, limit, but)
    };
    let orders = |due: Due| due.deliveries.iter().map(order_of).collect::<Vec<_>>();
    assert_eq!(
        orders(read(Vec::new(), 2).await.unwrap()),
        ["R1", "R2"],
        "without it the backlog comes first"
    );
    assert_eq!(orders(read(vec![MAPPING], 2).await.unwrap()), ["R4"]);
    let none = read(vec![MAPPING, other], 2).await.unwrap();
    assert_eq!((none.deliveries, none.more), (Vec::new(), false));
}
