//! Order, pace and patience of dispatchers.

use std::time::Duration;

use tokio::time::Instant;

use super::super::{BreakerState, DispatcherState};
use super::rig::{Act, Rig, Stage, counts, mapping, order_new, until};
use crate::{
    db::{EntityChange, Queue, QueueQuery},
    domain::{
        key::{DeliveryKey, IntegrationKey},
        message_type::MessageType,
        registry::{EndpointSettings, Entity, Mapping, MappingOptions},
    },
};

#[actix_web::test]
async fn a_failing_order_holds_back_only_itself() {
    let stage = Stage::new(|seen, nth| {
        if seen.order == "R1" && nth < 2 {
            Act::Answer(500)
        } else {
            Act::Answer(200)
        }
    });
    let rig = Rig::start_with(stage, |config| config.retry.base_secs = 1).await;
    let mapping = rig.mapping("acme", "order:new").await;
    let first = rig.push("R1").await;
    let second = rig.push("R1").await;
    for order in 2..20 {
        rig.push(&format!("R{order}")).await;
    }
    rig.until_completed(mapping, 18).await;
    assert!(
        rig.stage
            .orders_at("/acme")
            .iter()
            .filter(|order| *order == "R1")
            .count()
            < 3,
        "R1 is still failing"
    );
    rig.until_archived(20).await;
    let ids: Vec<String> = rig
        .stage
        .seen()
        .into_iter()
        .filter(|seen| seen.order == "R1")
        .map(|seen| seen.id)
        .collect();
    assert_eq!(ids.len(), 4);
    assert!(
        ids[0] == ids[1] && ids[1] == ids[2],
        "every attempt carries the same id"
    );
    assert_ne!(ids[2], ids[3]);
    assert_ne!(first, second);
}

#[actix_web::test]
async fn a_hanging_endpoint_and_a_dead_one_do_not_slow_the_others() {
    let stage = Stage::new(|seen, _| match seen.path.as_str() {
        "/e0" => Act::Silence,
        "/e1" => Act::Refuse,
        _ => Act::Answer(200),
    });
    let rig = Rig::start_with(stage, |config| {
        config.dispatch.timeout_secs = 60;
        config.retry.base_secs = 60;
    })
    .await;
    let mut mappings = Vec::new();
    for endpoint in 0..10 {
        mappings.push(rig.mapping(&format!("e{endpoint}"), "order:new").await);
    }
    let began = Instant::now();
    for order in 0..100 {
        rig.push(&format!("R{order}")).await;
    }
    for mapping in &mappings[2..] {
        rig.until_completed(*mapping, 100).await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        rig.endpoint(mappings[0]).await.in_flight,
        rig.hub.config().dispatch.concurrency
    );
    until("the dead one's breaker is open", || async {
        (rig.endpoint(mappings[1]).await.breaker == BreakerState::Open).then_some(())
    })
    .await;
    let spent = rig.stage.orders_at("/e1").len();
    let most =
        rig.hub.config().dispatch.breaker_failures as usize + rig.hub.config().dispatch.concurrency;
    assert!(
        spent <= most,
        "{spent} attempts were spent on an endpoint that is down"
    );
}

#[actix_web::test]
async fn an_endpoint_that_asks_to_be_left_alone_is() {
    let stage = Stage::new(|seen, nth| match (seen.order.as_str(), nth) {
        ("R1", 0) => Act::AnswerLater(429, Duration::from_secs(2)),
        _ => Act::Answer(200),
    });
    let rig = Rig::start(stage).await;
    let mapping = rig.mapping("acme", "order:new").await;
    rig.push("R1").await;
    until("it asked", || async {
        (rig.endpoint(mapping).await.state == DispatcherState::AskedToWait).then_some(())
    })
    .await;
    let asked = Instant::now();
    rig.push("R2").await;
    rig.until_archived(2).await;
    assert!(
        asked.elapsed() > Duration::from_millis(1500),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(rig.stage.orders_at("/acme").len(), 3);
}

#[actix_web::test]
async fn a_breaker_that_opened_closes_after_a_probe_went_well() {
    let stage = Stage::new(|_, nth| {
        if nth == 0 {
            Act::Answer(503)
        } else {
            Act::Answer(200)
        }
    });
    let rig = Rig::start_with(stage, |config| {
        config.dispatch.breaker_failures = 3;
        config.dispatch.breaker_open_secs = 1;
        config.dispatch.concurrency = 1;
    })
    .await;
    let mapping = rig.mapping("acme", "order:new").await;
    for order in ["R1", "R2", "R3"] {
        rig.push(order).await;
    }
    rig.until_archived(3).await;
    assert_eq!(rig.endpoint(mapping).await.breaker, BreakerState::Closed);
    assert_eq!(rig.stage.orders_at("/acme").len(), 6);
}

#[actix_web::test]
async fn a_paused_endpoint_gets_nothing_until_it_is_resumed() {
    let rig = Rig::start(Stage::new(|_, _| Act::Answer(200))).await;
    let paused = rig.mapping("paused", "order:new").await;
    let other = rig.mapping("other", "order:new").await;
    let pause = |paused_now| EntityChange::Create {
        store: Some(rig.store),
        subject: Some(paused.0),
        entity: Entity::Endpoint(EndpointSettings { paused: paused_now }),
    };
    rig.hub
        .change_registry(vec![pause(true)])
        .await
        .expect("paused");
    rig.push("R1").await;
    rig.until_completed(other, 1).await;
    until("it says so", || async {
        (rig.endpoint(paused).await.state == DispatcherState::Paused).then_some(())
    })
    .await;
    assert!(rig.stage.orders_at("/paused").is_empty());
    rig.hub
        .change_registry(vec![pause(false)])
        .await
        .expect("resumed");
    rig.until_archived(2).await;
}

#[actix_web::test]
async fn a_mapping_may_allow_one_request_at_a_time_and_so_many_a_second() {
    let rig = Rig::start(Stage::new(|_, _| Act::Answer(200))).await;
    let options = MappingOptions {
        concurrency: Some(1),
        rate_per_sec: Some(10.0),
        ..MappingOptions::default()
    };
    let mapping = rig.mapping_with("slow", "order:new", options).await;
    let began = Instant::now();
    for order in 0..20 {
        rig.push(&format!("R{order}")).await;
    }
    rig.until_completed(mapping, 20).await;
    assert!(
        began.elapsed() > Duration::from_millis(900),
        "ten at once and ten in the second after: {:?}",
        began.elapsed()
    );
}

#[actix_web::test]
async fn a_slow_mappings_backlog_leaves_its_neighbours_at_one_integration_alone() {
    let stage = Stage::new(|seen, _| match seen.path.as_str() {
        "/slow" => Act::Silence,
        _ => Act::Answer(200),
    });
    let rig = Rig::start_with(stage, |config| {
        config.dispatch.timeout_secs = 60;
        config.dispatch.concurrency = 4;
        config.dispatch.window = 8;
    })
    .await;
    let integration = Entity::from_json(
        "integration",
        r#"{"name":"acme","url":"http://stage","category":"custom","services_from":{"kind":"hand"}}"#,
    );
    let create = |entity| EntityChange::Create {
        store: Some(rig.store),
        subject: None,
        entity,
    };
    let made = rig
        .hub
        .change_registry(vec![create(integration.expect("an integration"))])
        .await
        .expect("an integration");
    let integration = IntegrationKey(made.rows[0].key);
    let add = |name, kind, options| {
        let own = Mapping {
            integration: Some(integration),
            ..mapping(name, kind, options)
        };
        rig.hub.change_registry(vec![create(Entity::Mapping(own))])
    };
    let one_at_a_time = MappingOptions {
        concurrency: Some(1),
        ..MappingOptions::default()
    };
    add("slow", "order:new", one_at_a_time)
        .await
        .expect("a mapping");
    for order in 0..40 {
        rig.push(&format!("R{order}")).await;
    }
    until("the slow one's first is under way", || async {
        (!rig.stage.orders_at("/slow").is_empty()).then_some(())
    })
    .await;
    add("quick", "order:paid", MappingOptions::default())
        .await
        .expect("a mapping");
    for order in 40..60 {
        let mut paid = order_new(rig.store, &format!("R{order}"));
        paid.message.kind = MessageType::parse("order:paid").expect("a type");
        rig.hub.accept(vec![paid]).await.expect("accepted");
    }
    until("its neighbour has all of its own", || async {
        (rig.stage.orders_at("/quick").len() == 20).then_some(())
    })
    .await;
    assert_eq!(rig.stage.orders_at("/slow").len(), 1);
}

#[actix_web::test]
async fn what_waits_for_a_disabled_mapping_is_held_and_goes_out_when_it_is_enabled() {
    let stage = Stage::new(|_, nth| {
        if nth == 0 {
            Act::Answer(500)
        } else {
            Act::Answer(200)
        }
    });
    let rig = Rig::start_with(stage, |config| config.retry.base_secs = 1).await;
    let mapping = rig.mapping("acme", "order:new").await;
    rig.push("R1").await;
    until("it has failed once", || async {
        (rig.endpoint(mapping).await.failed == 1).then_some(())
    })
    .await;
    rig.change(mapping, |mapping| mapping.enabled = false).await;
    until("it is held", || async {
        let stats = rig
            .hub
            .backend()
            .queue_stats(rig.store)
            .await
            .expect("counters");
        (stats.failing == 0).then_some(())
    })
    .await;
    assert_eq!(rig.stage.seen().len(), 1);
    rig.change(mapping, |mapping| mapping.enabled = true).await;
    rig.until_archived(1).await;
}

#[actix_web::test]
async fn what_waits_for_a_deleted_mapping_is_archived() {
    let rig = Rig::start_with(Stage::new(|_, _| Act::Answer(500)), |config| {
        config.retry.base_secs = 60
    })
    .await;
    let mapping = rig.mapping("acme", "order:new").await;
    rig.push("R1").await;
    rig.push("R1").await;
    until("it has failed once", || async {
        (rig.endpoint(mapping).await.failed == 1).then_some(())
    })
    .await;
    rig.hub
        .change_registry(vec![EntityChange::Delete { key: mapping.0 }])
        .await
        .expect("deleted");
    rig.until_archived(2).await;
    assert_eq!(rig.stage.seen().len(), 1);
}

#[actix_web::test]
async fn the_newest_token_and_address_are_used_for_what_waits_already() {
    let stage = Stage::new(|seen, _| {
        if seen.path == "/right" {
            Act::Answer(200)
        } else {
            Act::Answer(404)
        }
    });
    let rig = Rig::start_with(stage, |config| config.retry.base_secs = 1).await;
    let mapping = rig.mapping("wrong", "order:new").await;
    rig.push("R1").await;
    until("it has failed", || async {
        (rig.endpoint(mapping).await.failed > 0).then_some(())
    })
    .await;
    rig.change(mapping, |mapping| {
        mapping.url = "http://stage/right".into();
        mapping.token = String::new();
    })
    .await;
    rig.until_archived(1).await;
    let last = rig.stage.seen().pop().expect("requests");
    assert_eq!((last.path.as_str(), last.token), ("/right", None));
}

#[actix_web::test]
async fn a_person_may_try_a_waiting_delivery_now() {
    let stage = Stage::new(|_, nth| {
        if nth == 0 {
            Act::Answer(500)
        } else {
            Act::Answer(200)
        }
    });
    let rig = Rig::start_with(stage, |config| config.retry.base_secs = 3600).await;
    let mapping = rig.mapping("acme", "order:new").await;
    rig.push("R1").await;
    let delivery = until("it has failed", || async {
        (rig.hub
            .backend()
            .queue_stats(rig.store)
            .await
            .expect("counters")
            .failing
            == 1)
            .then_some(())?;
        let query = QueueQuery {
            store: rig.store,
            queue: Queue::Accepted,
            kinds: None,
            states: None,
            reasons: None,
            source: None,
            from: None,
            until: None,
            message: None,
            mapping: Some(mapping),
            object: None,
            after: None,
            skip: 0,
            limit: 10,
        };
        let page = rig.hub.backend().queue_list(query).await.expect("a page");
        page.rows.first().map(|row| DeliveryKey(row.page_key.0))
    })
    .await;
    rig.hub
        .release(rig.store, delivery, "anna")
        .await
        .expect("it is released");
    rig.until_archived(1).await;
}

#[actix_web::test]
async fn an_answer_s_messages_travel_on_and_reach_their_own_subscribers() {
    let body = r#"{"message_id":"x","messages":[{"message":"order:paid","payload":{"order":{"number":"R1"}}}]}"#;
    let stage = Stage::new(move |seen, _| {
        if seen.path == "/pay" {
            Act::Body(body.into())
        } else {
            Act::Answer(200)
        }
    });
    let rig = Rig::start(stage).await;
    rig.mapping("pay", "order:new").await;
    rig.mapping("books", "order:paid").await;
    rig.push("R1").await;
    rig.until_archived(2).await;
    assert_eq!(rig.stage.orders_at("/books"), ["R1"]);
}

#[actix_web::test]
async fn each_of_a_thousand_deliveries_is_posted_once() {
    let rig = Rig::start(Stage::new(|_, _| Act::Answer(200))).await;
    rig.mapping("acme", "order:new").await;
    let orders: Vec<String> = (0..1000).map(|order| format!("R{}", order % 300)).collect();
    for chunk in orders.chunks(50) {
        let batch = chunk
            .iter()
            .map(|order| super::rig::order_new(rig.store, order))
            .collect();
        rig.hub.accept(batch).await.expect("accepted");
    }
    rig.until_archived(1000).await;
    let ids: Vec<String> = rig.stage.seen().into_iter().map(|seen| seen.id).collect();
    assert_eq!(ids.len(), 1000);
    assert!(counts(&ids).values().all(|count| *count == 1));
}

#[actix_web::test]
async fn a_secret_that_an_answer_brings_is_not_kept_in_the_attempts_record() {
    let body = r#"{"parameters":[{"name":"acme.oauth","value":"fresh-secret"}]}"#;
    let rig = Rig::start(Stage::new(move |_, _| Act::Body(body.into()))).await;
    let mapping = rig.mapping("acme", "order:new").await;
    rig.push("R1").await;
    rig.until_archived(1).await;
    let query = QueueQuery {
        store: rig.store,
        queue: Queue::Archived,
        kinds: None,
        states: None,
        reasons: None,
        source: None,
        from: None,
        until: None,
        message: None,
        mapping: Some(mapping),
        object: None,
        after: None,
        skip: 0,
        limit: 10,
    };
    let backend = rig.hub.backend();
    let page = backend.queue_list(query).await.expect("a page");
    let delivery = DeliveryKey(page.rows[0].page_key.0);
    let attempts = backend
        .attempt_list(rig.store, delivery)
        .await
        .expect("its attempts");
    assert_eq!(
        attempts[0].answer_body,
        r#"{"parameters":[{"name":"acme.oauth","value":"***"}]}"#
    );
}

#[actix_web::test]
async fn what_is_handed_over_is_posted_once() {
    let rig = Rig::start(Stage::new(|_, _| Act::Answer(200))).await;
    rig.mapping("acme", "order:new").await;
    for round in 0..6 {
        // The users of one round push at the same time, those of the next after all have their answers.
        let orders: Vec<String> = (0..20).map(|n| format!("R{}", n % (20 - round))).collect();
        let pushes = orders.iter().map(|order| rig.push(order));
        futures_util::future::join_all(pushes).await;
    }
    rig.until_archived(120).await;
    let seen = rig.stage.seen();
    let mut messages: Vec<&str> = seen.iter().map(|one| one.id.as_str()).collect();
    messages.sort_unstable();
    messages.dedup();
    assert_eq!((seen.len(), messages.len()), (120, 120));
}
