//! Erasing on request: nothing of it is left but that it was there, and nothing else is touched.

use std::sync::Arc;

use super::{polling::seen_by_a_poll, setup::*};
use crate::{
    db::{
        Acceptance, AuditQuery, DbError, Erasure, ErasureStep, EventQuery, NewErasure, Queue,
        QueueQuery, SettleOutcome,
    },
    domain::{
        delivery::ArchiveReason,
        erasure::{ERASED_PAYLOAD, Email, ErasureSubject},
        event::{Level, NewEvent},
        json::Payload,
        key::{DeliveryKey, EndpointKey, MessageKey, StoreKey},
        known_object::ObjectNews,
        message::Source,
        reference::{About, ObjectRef},
        settle::ReturnedObject,
        snapshot::Known,
        store_object::Noun,
    },
};

const ADA: &str = "ada@example.org";

fn object(kind: &str, token: &str) -> ErasureSubject {
    ErasureSubject::Object(ObjectRef::new(kind, token).unwrap())
}

async fn ask(hub: &Hub, subject: ErasureSubject) -> Erasure {
    let new = NewErasure {
        store: hub.store,
        subject,
        who: "Ann".into(),
    };
    hub.db.erasure_insert(new, at(50)).await.unwrap()
}

/// Steps until nothing is left; what was archived on the way.
async fn carry_out(hub: &Hub, limit: usize) -> Vec<(EndpointKey, DeliveryKey)> {
    let mut all = Vec::new();
    for _ in 0..500 {
        match hub.db.erasure_step(limit, at(60)).await.unwrap() {
            ErasureStep::Idle => return all,
            ErasureStep::Worked { archived } => all.extend(archived),
        }
    }
    panic!("it does not end");
}

async fn only_erasure(hub: &Hub) -> Erasure {
    let mut all = hub.db.erasure_list(hub.store, None, 10).await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// A message of a store about an order, with this payload.
async fn push_text(hub: &Hub, order: Option<&str>, payload: &str) -> MessageKey {
    let mut new = message(hub.store, "order:new", order.unwrap_or("none"));
    new.payload = Payload::from_stored(payload.to_owned());
    if order.is_none() {
        new.about = About::default();
    }
    accepted(hub, acceptance(new)).await
}

async fn accepted(hub: &Hub, push: Acceptance) -> MessageKey {
    match hub.db.incoming_insert(vec![push], T0).await.unwrap()[..] {
        [crate::db::Accepted::New { key, .. }] => key,
        ref other => panic!("{other:?}"),
    }
}

/// What the incoming queue says of a message.
async fn payload_of(hub: &Hub, key: MessageKey) -> Option<String> {
    let waiting = hub.waiting(1000, Vec::new()).await;
    waiting
        .into_iter()
        .find(|one| one.message.key == key)
        .map(|one| one.message.payload.as_str().to_owned())
}

async fn events(hub: &Hub) -> usize {
    let query = EventQuery {
        store: hub.store,
        level: None,
        reference_type: None,
        reference_token: None,
        message: None,
        after: None,
        skip: 0,
        limit: 50,
    };
    hub.db.event_list(query).await.unwrap().rows.len()
}

fn archive(store: StoreKey) -> QueueQuery {
    QueueQuery {
        store,
        queue: Queue::Archived,
        kinds: None,
        states: None,
        reasons: Some(vec![ArchiveReason::Erased]),
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

pub(in crate::db) async fn an_erased_object_leaves_states_and_times_and_no_words(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    hub.deliver("R1").await;
    hub.deliver("R2").await;
    let (incoming, _) = hub.push("R1").await;
    let first = hub.due(T0).await.remove(0);
    let mut settlement = hub.settlement(&first, completed());
    settlement.attempt.as_mut().unwrap().answer_body = "ADA".into();
    settlement.events = vec![NewEvent {
        store: hub.store,
        level: Level::Info,
        subject: "Sent to Ada".into(),
        description: String::new(),
        reference: first.message.about.primary.clone(),
        message: Some(first.message.key),
        delivery: Some(first.key),
        origin: "acme".into(),
        attributes: None,
        announce: None,
    }];
    hub.db
        .accepted_settle(Arc::new(vec![settlement]), T0)
        .await
        .unwrap();
    assert_eq!(events(&hub).await, 1);

    // The second delivery is in flight while it is erased.
    let second = hub
        .due(T0)
        .await
        .into_iter()
        .find(|one| order_of(one) == "R1")
        .unwrap();
    let asked = ask(&hub, object("order", "r1")).await;
    assert_eq!((asked.done_at, asked.is_customer), (None, false));
    assert_eq!(carry_out(&hub, 2).await, [(ENDPOINT, second.key)]);
    let late = hub.settle(&second, completed(), at(70)).await;
    assert_eq!(late.outcome, SettleOutcome::Gone);

    let done = only_erasure(&hub).await;
    let rows = done.rows;
    assert_eq!(
        (done.key, done.digest, done.who.as_str()),
        (asked.key, asked.digest, "Ann")
    );
    assert!(done.done_at.is_some());
    assert_eq!(
        (
            rows.objects,
            rows.messages,
            rows.deliveries,
            rows.attempts,
            rows.events
        ),
        (1, 3, 1, 1, 1)
    );
    let timeline = hub
        .db
        .timeline(hub.store, ObjectRef::new("order", "R1").unwrap(), None, 50)
        .await
        .unwrap();
    assert_eq!(timeline.entries, []);
    assert_eq!(events(&hub).await, 0);
    assert_eq!(hub.incoming().await, []);
    let detail = hub.db.message_detail(hub.store, first.id).await.unwrap();
    assert_eq!(detail.message.payload.as_str(), ERASED_PAYLOAD);
    assert_eq!(detail.message.about.primary, None);
    let attempts = hub.db.attempt_list(hub.store, first.key).await.unwrap();
    let told = (
        attempts[0].status,
        attempts[0].outcome.as_str(),
        attempts[0].answer_body.as_str(),
    );
    assert_eq!(told, (Some(200), "completed", ""));
    let archived = hub.db.queue_list(archive(hub.store)).await.unwrap().rows;
    assert_eq!(
        archived.len(),
        2,
        "the delivery, and the message {incoming} that was not routed"
    );
    let stats = hub.db.queue_stats(hub.store).await.unwrap();
    assert_eq!((stats.incoming, stats.pending, stats.archived), (0, 1, 3));
    assert_eq!(
        hub.due_orders(at(100)).await,
        ["R2"],
        "another order is not touched"
    );
    assert_eq!(
        hub.db.erasure_step(2, at(80)).await.unwrap(),
        ErasureStep::Idle
    );
}

pub(in crate::db) async fn what_comes_after_it_was_asked_for_is_not_erased(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.push("R1").await;
    let first = ask(&hub, object("order", "R1")).await;
    let again = ask(&hub, object("order", "R1")).await;
    assert_eq!(first.key, again.key, "one that runs is not begun twice");
    let (later, _) = hub.push("R1").await;
    carry_out(&hub, 10).await;
    assert_eq!(hub.incoming().await, [later]);
    let changes = AuditQuery {
        stores: Some(vec![hub.store]),
        after: None,
        limit: 10,
    };
    let changes = hub.db.audit_list(changes).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (
            changes[0].change.who.as_str(),
            changes[0].change.action.as_str()
        ),
        ("Ann", "erased")
    );
    assert!(!format!("{changes:?}").contains("R1"));
}

pub(in crate::db) async fn an_erasure_goes_on_after_opening_again(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    for _ in 0..5 {
        hub.push("R1").await;
    }
    ask(&hub, object("order", "R1")).await;
    hub.db.erasure_step(2, at(60)).await.unwrap();
    let hub = hub.again(rig).await;
    assert_eq!(hub.incoming().await.len(), 3);
    carry_out(&hub, 2).await;
    let done = only_erasure(&hub).await;
    assert_eq!((done.rows.messages, done.rows.objects), (5, 1));
}

pub(in crate::db) async fn what_descends_and_is_about_nothing_is_erased_with_its_parent(
    rig: &dyn Rig,
) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    let head = hub.due(T0).await.remove(0);
    let mut settlement = hub.settlement(&head, completed());
    let mut mail = message(hub.store, "email:send", "x");
    mail.about = About::default();
    mail.ancestry = Some(head.message.descend());
    let mut stock = message(hub.store, "stock:change", "S1");
    stock.ancestry = Some(head.message.descend());
    settlement.messages = vec![mail, stock];
    hub.db
        .accepted_settle(Arc::new(vec![settlement]), T0)
        .await
        .unwrap();
    let [mail, stock] = hub.incoming().await[..] else {
        panic!("two messages were returned")
    };
    ask(&hub, object("order", "R1")).await;
    carry_out(&hub, 10).await;
    assert_eq!(hub.incoming().await, [stock], "and not {mail}");
}

pub(in crate::db) async fn a_customers_objects_are_found_by_the_address(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let theirs = r#"{"order":{"number":"R1","email":"Ada@Example.org"}}"#.to_owned();
    push_text(&hub, Some("R1"), &theirs).await;
    push_text(&hub, Some("R1"), r#"{"order":{"number":"R1"}}"#).await;
    let other = push_text(
        &hub,
        Some("R2"),
        r#"{"order":{"number":"R2","email":"joada@example.org"}}"#,
    )
    .await;
    let noted = push_text(
        &hub,
        Some("R3"),
        &format!(r#"{{"order":{{"note":"for {ADA}"}}}}"#),
    )
    .await;
    let same_order = push_text(&hub, Some("R3"), r#"{"order":{"number":"R3"}}"#).await;
    let mail = push_text(&hub, None, &format!(r#"{{"email":{{"to":"{ADA}"}}}}"#)).await;
    let elsewhere = new_store(&*hub.db, "Other").await;
    let mut push = acceptance(message(elsewhere, "order:new", "R1"));
    push.message.payload = Payload::from_stored(theirs.clone());
    let elsewhere = accepted(&hub, push).await;
    let news = ObjectNews {
        store: hub.store,
        source: Source::Push("shop".into()),
        ancestry: None,
        test: false,
        objects: vec![ReturnedObject {
            kind: "customer".into(),
            id: "7".into(),
            raw: format!(r#"{{"id":"7","email":"{ADA}"}}"#),
        }],
        sent: Vec::new(),
    };
    hub.db.object_merge(news, T0).await.unwrap();
    let event = NewEvent {
        store: hub.store,
        level: Level::Warn,
        subject: "Bounced".into(),
        description: format!("The mail to {ADA} came back."),
        reference: None,
        message: None,
        delivery: None,
        origin: "mail".into(),
        attributes: None,
        announce: None,
    };
    hub.db.event_insert(vec![event], T0).await.unwrap();

    ask(&hub, ErasureSubject::Customer(Email::parse(ADA).unwrap())).await;
    carry_out(&hub, 3).await;
    let mut left = hub.incoming().await;
    left.sort_unstable();
    assert_eq!(
        left,
        [other, same_order, elsewhere],
        "not {noted}, not {mail}"
    );
    assert_eq!(payload_of(&hub, elsewhere).await, Some(theirs));
    assert_eq!(events(&hub).await, 0);
    assert!(
        hub.db
            .object_state(hub.store, "customer", "7")
            .await
            .unwrap()
            .is_none()
    );
    let done = only_erasure(&hub).await;
    assert!(done.is_customer && done.done_at.is_some());
    assert!(
        done.rows.messages >= 5 && done.rows.copies == 1 && done.rows.events == 1,
        "{done:?}"
    );
}

pub(in crate::db) async fn an_erased_snapshot_is_known_without_its_name(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    seen_by_a_poll(&hub, "R1").await;
    ask(&hub, object("order", "R1")).await;
    carry_out(&hub, 10).await;
    let stored = hub
        .db
        .snapshot_list(hub.store, Noun::Order, vec!["R0".into(), "R1".into()])
        .await
        .unwrap();
    assert_eq!(stored[0], None);
    let stored = stored[1].as_ref().unwrap();
    assert!(matches!(stored.known, Known::Erased { .. }), "{stored:?}");
    let versions = hub
        .db
        .snapshot_versions(hub.store, Noun::Order, vec!["R1".into()])
        .await
        .unwrap();
    assert_eq!(versions, [Some(stored.updated_at.clone())]);
    assert_eq!(only_erasure(&hub).await.rows.copies, 1);
    assert!(matches!(
        hub.db
            .message_detail(hub.store, only_erasure(&hub).await.id)
            .await,
        Err(DbError::Missing(_))
    ));
}
