//! Events: written once, counted when said again, announced the first time; and the bounds that stop loops.

use std::sync::Arc;

use super::setup::*;
use crate::{
    db::{EventQuery, EventRow, RouteOutcome, SettleOutcome},
    domain::{
        delivery::{Delivery, Disposition},
        event::{Level, NewEvent},
        key::StoreKey,
        message::NewMessage,
    },
};

fn events(store: StoreKey) -> EventQuery {
    EventQuery {
        store,
        level: None,
        reference_type: None,
        reference_token: None,
        message: None,
        after: None,
        skip: 0,
        limit: 50,
    }
}

async fn listed(hub: &Hub, query: EventQuery) -> Vec<EventRow> {
    hub.db.event_list(query).await.unwrap().rows
}

fn notification(hub: &Hub, delivery: &Delivery, subject: &str) -> NewEvent {
    let mut announce = message(hub.store, "notification:warn", "R1");
    announce.ancestry = Some(delivery.message.descend());
    NewEvent {
        store: hub.store,
        level: Level::Warn,
        subject: subject.into(),
        description: "of SKU-1".into(),
        reference: delivery.message.about.primary.clone(),
        message: Some(delivery.message.key),
        delivery: Some(delivery.key),
        origin: "acme.send_order".into(),
        attributes: Some(r#"{"backtrace":[]}"#.into()),
        announce: Some(Box::new(announce)),
    }
}

pub(in crate::db) async fn a_repeated_notification_is_counted_and_announced_once(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    for n in 0..3 {
        let head = hub.due(at(100)).await.remove(0);
        let mut settlement = hub.settlement(&head, failing(at(n)));
        settlement.events = vec![notification(&hub, &head, "Out of stock")];
        let settled = hub
            .db
            .accepted_settle(Arc::new(vec![settlement]), at(n))
            .await
            .unwrap();
        assert_eq!(
            (settled[0].outcome, settled[0].messages),
            (SettleOutcome::Written, u64::from(n == 0))
        );
    }
    let rows = listed(&hub, events(hub.store)).await;
    let [event] = &rows[..] else {
        panic!("{rows:?}")
    };
    assert_eq!(
        (event.occurrences, event.first_at, event.last_at),
        (3, T0, at(2))
    );
    assert_eq!(event.attributes.as_deref(), Some(r#"{"backtrace":[]}"#));
    let head = hub.due(at(100)).await.remove(0);
    assert_eq!(event.message_id, Some(head.id));
    assert_eq!(hub.incoming().await.len(), 1);
    let mut settlement = hub.settlement(&head, completed());
    settlement.events = vec![notification(&hub, &head, "Something else")];
    hub.db
        .accepted_settle(Arc::new(vec![settlement]), at(9))
        .await
        .unwrap();
    assert_eq!(hub.incoming().await.len(), 2);
}

pub(in crate::db) async fn events_are_found_by_level_object_and_message(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    let (_, other) = hub.push("R9").await;
    let head = hub.due(T0).await.remove(0);
    let mut settlement = hub.settlement(&head, completed());
    let mut second = notification(&hub, &head, "Later");
    second.level = Level::Error;
    second.reference = None;
    settlement.events = vec![notification(&hub, &head, "First"), second];
    hub.db
        .accepted_settle(Arc::new(vec![settlement]), T0)
        .await
        .unwrap();
    let subjects = async |query| {
        listed(&hub, query)
            .await
            .into_iter()
            .map(|event| event.subject)
            .collect::<Vec<_>>()
    };
    let all = events(hub.store);
    assert_eq!(subjects(all.clone()).await, ["Later", "First"]);
    assert_eq!(
        subjects(EventQuery {
            level: Some(Level::Warn),
            ..all.clone()
        })
        .await,
        ["First"]
    );
    assert_eq!(
        subjects(EventQuery {
            reference_token: Some("r1".into()),
            ..all.clone()
        })
        .await,
        ["First"]
    );
    assert_eq!(
        subjects(EventQuery {
            reference_type: Some("order".into()),
            ..all.clone()
        })
        .await,
        ["First"]
    );
    assert_eq!(
        subjects(EventQuery {
            reference_type: Some("o'x".into()),
            ..all.clone()
        })
        .await,
        [""; 0]
    );
    assert_eq!(
        subjects(EventQuery {
            message: Some(head.id),
            ..all.clone()
        })
        .await,
        ["Later", "First"]
    );
    assert_eq!(
        subjects(EventQuery {
            message: Some(head.message.id),
            level: Some(Level::Error),
            ..all.clone()
        })
        .await,
        ["Later"]
    );
    assert_eq!(
        subjects(EventQuery {
            message: Some(other),
            ..all.clone()
        })
        .await,
        [""; 0]
    );
    assert_eq!(
        subjects(EventQuery {
            skip: 1,
            ..all.clone()
        })
        .await,
        ["First"]
    );
    let first = hub
        .db
        .event_list(EventQuery {
            limit: 1,
            ..all.clone()
        })
        .await
        .unwrap();
    assert_eq!((first.rows.len(), first.matching), (1, 2));
    assert_eq!(
        subjects(EventQuery {
            after: first.next,
            ..all.clone()
        })
        .await,
        ["First"]
    );
    let another = new_store(&*hub.db, "Another").await;
    assert_eq!(subjects(events(another)).await, [""; 0]);
}

/// Routes what waits, deriving one message of it each time; returns how many were derived.
async fn derive_once(hub: &Hub, of: impl Fn(NewMessage) -> NewMessage) -> u64 {
    let parent = hub
        .db
        .incoming_waiting(1, Vec::new(), crate::db::ShardSet::ALL)
        .await
        .unwrap()
        .remove(0)
        .message;
    let mut child = message(hub.store, "order:updated", "R1");
    child.ancestry = Some(parent.descend());
    let mut decision = routed(hub.store, parent.key, Vec::new());
    decision.derived = vec![of(child)];
    match hub
        .db
        .incoming_route(vec![decision], hub.version, hub.router.clone(), T0)
        .await
        .unwrap()
    {
        RouteOutcome::Done { derived, .. } => derived,
        other => panic!("{other:?}"),
    }
}

pub(in crate::db) async fn a_loop_ends_at_its_depth_with_an_event(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.push("R1").await;
    let mut steps = 0;
    while derive_once(&hub, |child| child).await == 1 {
        steps += 1;
        assert!(steps < 100, "it does not end");
    }
    assert_eq!(steps, u64::from(BOUNDS.max_depth));
    assert_eq!(hub.incoming().await, []);
    let rows = listed(&hub, events(hub.store)).await;
    assert_eq!(
        (rows.len(), rows[0].level, rows[0].occurrences),
        (1, Level::Error, 1)
    );
}

pub(in crate::db) async fn a_flood_about_one_object_ends_with_one_event(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let mut derived = 0;
    for _ in 0..BOUNDS.max_per_object_hour + 3 {
        hub.push("R1").await;
        let taken = derive_once(&hub, |child| child).await;
        derived += taken;
        if taken == 1 {
            let child = hub.incoming().await.remove(0);
            hub.route(vec![routed(hub.store, child, Vec::new())]).await;
        }
    }
    assert_eq!(derived, u64::from(BOUNDS.max_per_object_hour));
    let rows = listed(&hub, events(hub.store)).await;
    assert_eq!((rows.len(), rows[0].occurrences), (1, 3));
    hub.push("R2").await;
    let other = derive_once(&hub, |child| NewMessage {
        ancestry: child.ancestry,
        ..message(hub.store, "order:updated", "R2")
    })
    .await;
    assert_eq!(other, 1, "another object is not concerned");
}

pub(in crate::db) async fn a_person_is_named_in_an_event(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    let head = hub.due(T0).await.remove(0);
    hub.must_settle(
        &head,
        Disposition::Parked {
            error: "it answered 410".into(),
        },
        T0,
    )
    .await;
    hub.db
        .accepted_release(hub.store, head.key, "Ann", T0)
        .await
        .unwrap();
    hub.db
        .accepted_archive(hub.store, head.key, "Bob", T0)
        .await
        .unwrap();
    let subjects: Vec<_> = listed(&hub, events(hub.store))
        .await
        .into_iter()
        .map(|event| event.subject)
        .collect();
    assert_eq!(subjects, ["Archived by Bob", "Tried again by Ann"]);
}
