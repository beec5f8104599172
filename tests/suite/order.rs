//! What concerns one order stays in order at an endpoint, and holds back nothing else.

use std::{collections::HashMap, sync::Mutex};

use serde_json::json;

use crate::support::{Hub, Reply, Setup, Sink, order};

#[actix_web::test]
async fn two_messages_of_one_order_arrive_in_order_though_the_first_fails_twice_and_other_orders_pass()
 {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let failures = Mutex::new(0);
    let sink = Sink::start(move |request, _| {
        let mut failures = failures.lock().unwrap();
        if request.order() == "R1" && request.kind() == "order:new" && *failures < 2 {
            *failures += 1;
            return Reply::json(500, json!({"error": "not now"}));
        }
        Reply::ok()
    })
    .await;
    hub.mapping(
        &store,
        "books.record",
        &sink.url,
        json!({"messages": ["order:*"]}),
    )
    .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    hub.push(
        &store,
        "order:updated",
        json!({"order": order("R1", "complete"), "previous": {"status": "complete"}}),
    )
    .await;
    for number in 2..30 {
        hub.push(
            &store,
            "order:new",
            json!({"order": order(&format!("R{number}"), "complete")}),
        )
        .await;
    }
    sink.wait("everything", |all| all.len() == 2 + 2 + 28).await;
    hub.quiet(&store).await;
    let all = sink.received();
    let first: Vec<&str> = all
        .iter()
        .filter(|one| one.order() == "R1")
        .map(|one| one.kind())
        .collect();
    assert_eq!(
        first,
        ["order:new", "order:new", "order:new", "order:updated"]
    );
    let last_of_r1 = all.iter().rposition(|one| one.order() == "R1").unwrap();
    let others_before = all[..last_of_r1]
        .iter()
        .filter(|one| one.order() != "R1")
        .count();
    assert_eq!(others_before, 28, "other orders waited for R1");
}

#[actix_web::test]
async fn many_orders_at_once_keep_each_their_own_order() {
    let hub = Hub::start_with(Setup::default().with("dispatch.concurrency", 16)).await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    hub.mapping(
        &store,
        "books.record",
        &sink.url,
        json!({"messages": ["order:*"]}),
    )
    .await;
    let lines: Vec<String> = (0..600)
        .map(|step| json!({"message": "order:updated", "payload": {"order": {"number": format!("R{}", step % 20), "step": step}, "previous": {"status": "complete"}}}).to_string())
        .collect();
    let path = store.path("/messages/batch");
    let answer = hub
        .call(
            "POST",
            &store.token,
            &path,
            &[("Content-Type", "application/x-ndjson")],
            lines.join("\n"),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let all = sink.wait("all of them", |all| all.len() >= 600).await;
    let mut last: HashMap<String, i64> = HashMap::new();
    for one in all {
        let step = one.body["payload"]["order"]["step"].as_i64().unwrap();
        let before = last.insert(one.order().to_owned(), step);
        assert!(
            before.is_none_or(|before| before < step),
            "{} saw {step} after {before:?}",
            one.order()
        );
    }
}

#[actix_web::test]
async fn retry_after_is_a_floor() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::start(|_, before| {
        if before == 0 {
            Reply::With(503, "Retry-After", "3".into(), String::new())
        } else {
            Reply::ok()
        }
    })
    .await;
    hub.mapping(&store, "a.b", &sink.url, json!({})).await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    let all = sink.wait("the second attempt", |all| all.len() == 2).await;
    hub.quiet(&store).await;
    let attempts = hub
        .get(
            &store.token,
            &store.path(&format!("/messages/{}/attempts", all[0].id())),
        )
        .await;
    let attempts = attempts
        .body
        .as_array()
        .or(attempts.body["attempts"].as_array())
        .unwrap()
        .clone();
    let at = |index: usize| {
        chrono::DateTime::parse_from_rfc3339(attempts[index]["started_at"].as_str().unwrap())
            .unwrap()
    };
    assert!((at(1) - at(0)).num_milliseconds() >= 3_000, "{attempts:?}");
}
