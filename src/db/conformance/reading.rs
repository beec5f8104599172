//! What people read: lists with their filters and pages, details, timelines.

use super::setup::*;
use crate::{
    db::{ArchivedSource, DbError, Locator, PageKey, Queue, QueueQuery, Skip, TimelineEntry},
    domain::{
        delivery::{ArchiveReason, SkipReason, WaitState},
        event::{Level, NewEvent},
        key::MappingKey,
        reference::About,
    },
};

fn query(hub: &Hub, queue: Queue) -> QueueQuery {
    QueueQuery {
        store: hub.store,
        queue,
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
    }
}

async fn orders(hub: &Hub, query: QueueQuery) -> Vec<String> {
    let page = hub.db.queue_list(query).await.unwrap();
    page.rows
        .iter()
        .map(|row| row.object.as_ref().unwrap().token().to_owned())
        .collect()
}

pub(in crate::db) async fn a_message_nobody_wanted_is_listed_with_its_reason(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let (nobody, id) = hub.push("R1").await;
    let (unwanted, _) = hub.push("R2").await;
    let skip = Skip {
        mapping: MAPPING,
        reason: SkipReason::Filtered("payload.order.status eq complete".into()),
    };
    let mut decision = routed(hub.store, unwanted, Vec::new());
    decision.skipped = vec![skip.clone()];
    hub.route(vec![routed(hub.store, nobody, Vec::new()), decision])
        .await;
    let page = hub
        .db
        .queue_list(QueueQuery {
            source: Some(ArchivedSource::Incoming),
            ..query(&hub, Queue::Archived)
        })
        .await
        .unwrap();
    let found: Vec<_> = page
        .rows
        .iter()
        .map(|row| (row.page_key.0, row.location))
        .collect();
    assert_eq!(
        found,
        [
            (unwanted.0, Locator::Archived(ArchiveReason::NotWanted)),
            (nobody.0, Locator::Archived(ArchiveReason::NoSubscriber)),
        ]
    );
    let detail = hub
        .db
        .message_detail(hub.store, page.rows[0].id)
        .await
        .unwrap();
    assert_eq!(
        (detail.skipped, detail.location),
        (vec![skip], Locator::Archived(ArchiveReason::NotWanted))
    );
    let detail = hub.db.message_detail(hub.store, id).await.unwrap();
    assert_eq!((detail.delivery, detail.children.len()), (None, 0));
}

pub(in crate::db) async fn a_list_is_filtered_by_everything_it_offers(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    for order in ["R1", "R2", "R3", "R4"] {
        hub.deliver(order).await;
    }
    let (other, other_id) = hub.push("R5").await;
    hub.route_at(
        vec![routed(
            hub.store,
            other,
            vec![hub.to(MappingKey(5), Some("R5"))],
        )],
        at(1000),
    )
    .await;
    let due = hub.due(at(1000)).await;
    hub.must_settle(&due[0], parked(), T0).await;
    hub.must_settle(&due[1], failing(at(9)), T0).await;
    hub.must_settle(&due[2], completed(), T0).await;
    let accepted = query(&hub, Queue::Accepted);
    assert_eq!(
        orders(&hub, accepted.clone()).await,
        ["R5", "R4", "R2", "R1"]
    );
    let states = |states: &[WaitState]| QueueQuery {
        states: Some(states.to_vec()),
        ..accepted.clone()
    };
    assert_eq!(orders(&hub, states(&[WaitState::Parked])).await, ["R1"]);
    assert_eq!(
        orders(&hub, states(&[WaitState::Parked, WaitState::Failing])).await,
        ["R2", "R1"]
    );
    assert_eq!(
        orders(&hub, states(&[WaitState::Pending])).await,
        ["R5", "R4"]
    );
    assert_eq!(
        orders(
            &hub,
            QueueQuery {
                mapping: Some(MappingKey(5)),
                ..accepted.clone()
            }
        )
        .await,
        ["R5"]
    );
    assert_eq!(
        orders(
            &hub,
            QueueQuery {
                kinds: Some(vec!["order:new".into()]),
                limit: 1,
                ..accepted.clone()
            }
        )
        .await,
        ["R5"]
    );
    assert_eq!(
        orders(
            &hub,
            QueueQuery {
                kinds: Some(vec!["order:old".into()]),
                ..accepted.clone()
            }
        )
        .await,
        [""; 0]
    );
    assert_eq!(
        orders(
            &hub,
            QueueQuery {
                from: Some(at(500)),
                ..accepted.clone()
            }
        )
        .await,
        ["R5"]
    );
    assert_eq!(
        orders(
            &hub,
            QueueQuery {
                until: Some(at(500)),
                ..accepted.clone()
            }
        )
        .await,
        ["R4", "R2", "R1"]
    );
    assert_eq!(
        orders(
            &hub,
            QueueQuery {
                message: Some(other_id),
                ..accepted.clone()
            }
        )
        .await,
        ["R5"]
    );
    assert_eq!(
        orders(
            &hub,
            QueueQuery {
                message: Some(due[1].id),
                ..accepted.clone()
            }
        )
        .await,
        ["R2"]
    );
    let object = About::given("order", "r4").unwrap().primary;
    assert_eq!(
        orders(
            &hub,
            QueueQuery {
                object,
                ..accepted.clone()
            }
        )
        .await,
        ["R4"]
    );
    let archived = query(&hub, Queue::Archived);
    assert_eq!(orders(&hub, archived.clone()).await, ["R3"]);
    assert_eq!(
        orders(
            &hub,
            QueueQuery {
                mapping: Some(MAPPING),
                kinds: Some(vec!["order:new".into()]),
                ..archived.clone()
            }
        )
        .await,
        ["R3"]
    );
    assert_eq!(
        orders(
            &hub,
            QueueQuery {
                reasons: Some(vec![ArchiveReason::Removed]),
                ..archived.clone()
            }
        )
        .await,
        [""; 0]
    );
    assert_eq!(
        orders(
            &hub,
            QueueQuery {
                source: Some(ArchivedSource::Accepted),
                ..archived
            }
        )
        .await,
        ["R3"]
    );
}

pub(in crate::db) async fn pages_follow_one_another_by_key(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    for n in 0..7 {
        hub.push(&format!("R{n}")).await;
    }
    let mut all = Vec::new();
    let mut pages = query(&hub, Queue::Incoming);
    pages.limit = 3;
    loop {
        let page = hub.db.queue_list(pages.clone()).await.unwrap();
        assert_eq!(page.matching, 7 - all.len());
        all.extend(
            page.rows
                .iter()
                .map(|row| row.object.as_ref().unwrap().token().to_owned()),
        );
        match page.next {
            Some(next) => pages.after = Some(next),
            None => break,
        }
    }
    assert_eq!(all, ["R6", "R5", "R4", "R3", "R2", "R1", "R0"]);
    let third = QueueQuery {
        after: None,
        skip: 6,
        ..pages
    };
    assert_eq!(orders(&hub, third).await, ["R0"]);
    let another = new_store(&*hub.db, "Another").await;
    let page = hub
        .db
        .queue_list(QueueQuery {
            store: another,
            ..query(&hub, Queue::Incoming)
        })
        .await
        .unwrap();
    assert_eq!(
        (page.rows.len(), page.next),
        (0, None),
        "a store sees its own"
    );
}

pub(in crate::db) async fn a_detail_has_parent_children_and_attempts(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let (key, id) = hub.push("R1").await;
    let mut derived = message(hub.store, "order:canceled", "R1");
    let parent = hub
        .db
        .incoming_waiting(1, Vec::new(), crate::db::ShardSet::ALL)
        .await
        .unwrap()
        .remove(0)
        .message;
    derived.ancestry = Some(parent.descend());
    let mut decision = routed(hub.store, key, vec![hub.to(MAPPING, Some("R1"))]);
    decision.derived = vec![derived];
    hub.route(vec![decision]).await;
    let second = hub.deliver("R1").await;
    let head = hub.due(T0).await.remove(0);
    hub.must_settle(&head, failing(at(5)), T0).await;
    let detail = hub.db.message_detail(hub.store, id).await.unwrap();
    let children: Vec<_> = detail
        .children
        .iter()
        .map(|child| (child.kind.as_str(), child.location, child.mapping))
        .collect();
    assert_eq!(
        children,
        [
            (
                "order:new",
                Locator::Accepted(WaitState::Failing),
                Some(MAPPING)
            ),
            ("order:canceled", Locator::Incoming, None),
        ]
    );
    assert_eq!(
        (detail.location, detail.parent, detail.message.payload),
        (Locator::Routed, None, parent.payload.clone())
    );
    let of_child = hub
        .db
        .message_detail(hub.store, detail.children[1].id)
        .await
        .unwrap();
    assert_eq!(of_child.parent.unwrap().id, id);
    let of_delivery = hub.db.message_detail(hub.store, head.id).await.unwrap();
    let delivery = of_delivery.delivery.unwrap();
    assert_eq!(
        (delivery.key, delivery.attempts, delivery.due_at),
        (head.key, 1, Some(at(5)))
    );
    assert_eq!(
        (delivery.behind, delivery.last_error.as_deref()),
        (None, Some("it answered 500"))
    );
    assert_eq!(of_delivery.parent.unwrap().id, id);
    let waiting = hub
        .db
        .queue_list(QueueQuery {
            states: Some(vec![WaitState::Pending]),
            ..query(&hub, Queue::Accepted)
        })
        .await
        .unwrap();
    let blocked = hub
        .db
        .message_detail(hub.store, waiting.rows[0].id)
        .await
        .unwrap();
    assert_eq!(blocked.message.key, second);
    assert_eq!(blocked.delivery.unwrap().behind, Some(head.id));
    let attempts = hub.db.attempt_list(hub.store, head.key).await.unwrap();
    assert_eq!(attempts, [attempt(1)]);
    let another = new_store(&*hub.db, "Another").await;
    assert!(
        matches!(
            hub.db.message_detail(another, id).await,
            Err(DbError::Missing(_))
        ),
        "a store sees its own"
    );
    assert!(matches!(
        hub.db.attempt_list(another, head.key).await,
        Err(DbError::Missing(_))
    ));
    let unknown = "54f46d880123456789abcdef".parse().unwrap();
    assert!(matches!(
        hub.db.message_detail(hub.store, unknown).await,
        Err(DbError::Missing(_))
    ));
}

pub(in crate::db) async fn a_timeline_merges_what_concerns_an_object(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    hub.push("R2").await;
    let mut shipment = message(hub.store, "shipment:ready", "S1");
    shipment.about = About {
        primary: About::given("shipment", "S1").unwrap().primary,
        also: vec![About::given("order", "R1").unwrap().primary.unwrap()],
    };
    hub.db
        .incoming_insert(vec![acceptance(shipment)], at(10))
        .await
        .unwrap();
    let head = hub.due(T0).await.remove(0);
    hub.must_settle(&head, completed(), at(5)).await;
    let about = About::given("order", "R1").unwrap().primary.unwrap();
    let event = NewEvent {
        store: hub.store,
        level: Level::Warn,
        subject: "Out of stock".into(),
        description: String::new(),
        reference: Some(about.clone()),
        message: None,
        delivery: None,
        origin: "acme".into(),
        attributes: None,
        announce: None,
    };
    hub.db.event_insert(vec![event], at(20)).await.unwrap();
    let lower = About::given("order", "r1").unwrap().primary.unwrap();
    let words = |entries: &[TimelineEntry]| {
        let word = |entry: &TimelineEntry| match entry {
            TimelineEntry::Message(message) => message.kind.clone(),
            TimelineEntry::Delivery { location, .. } => format!("delivery {location:?}"),
            TimelineEntry::Attempt { attempt, .. } => format!("attempt {}", attempt.number),
            TimelineEntry::Event(event) => event.subject.clone(),
        };
        entries.iter().map(word).collect::<Vec<_>>()
    };
    let whole = hub
        .db
        .timeline(hub.store, lower.clone(), None, 50)
        .await
        .unwrap();
    assert_eq!(
        words(&whole.entries),
        [
            "order:new",
            "delivery Archived(Completed)",
            "attempt 1",
            "shipment:ready",
            "Out of stock"
        ]
    );
    assert_eq!(whole.older, None);
    let mut pages = Vec::new();
    let mut before: Option<PageKey> = None;
    loop {
        let page = hub
            .db
            .timeline(hub.store, lower.clone(), before, 1)
            .await
            .unwrap();
        pages.push(words(&page.entries));
        before = page.older;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(pages.iter().map(Vec::len).sum::<usize>(), 5, "{pages:?}");
    assert_eq!(
        pages
            .concat()
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        5,
        "none twice: {pages:?}"
    );
    let another = new_store(&*hub.db, "Another").await;
    assert_eq!(
        hub.db
            .timeline(another, about, None, 50)
            .await
            .unwrap()
            .entries,
        []
    );
}

pub(in crate::db) async fn the_types_a_store_has_had_are_known(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.push("R1").await;
    hub.push("R2").await;
    hub.db
        .incoming_insert(vec![acceptance(message(hub.store, "cart:new", "C1"))], T0)
        .await
        .unwrap();
    assert_eq!(
        hub.db.message_types(hub.store).await.unwrap(),
        ["cart:new", "order:new"]
    );
    let another = new_store(&*hub.db, "Another").await;
    assert_eq!(
        hub.db.message_types(another).await.unwrap(),
        Vec::<String>::new()
    );
}
