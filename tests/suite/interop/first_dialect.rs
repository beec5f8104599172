//! Applications of 2013: endpoint_base up to 0.1.1, Rails ones, and the asynchronous ones.

use serde_json::{Value, json};

use crate::support::{Hub, Reply, Setup, Sink, order};

async fn one_order(sink: &Sink, more: Value) -> (Hub, crate::support::Store) {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    hub.mapping(
        &store,
        "acme.send_order",
        &format!("{}/send_order", sink.url),
        more,
    )
    .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    (hub, store)
}

#[actix_web::test]
async fn an_application_without_a_key_gets_no_token_header() {
    // endpoint_base up to 0.2 without ENDPOINT_KEY: nil is not the token, so any token is a 401.
    let sink = Sink::start(|request, _| match request.header("x-augury-token") {
        Some(_) => Reply::Now(401, String::new()),
        None => Reply::ok(),
    })
    .await;
    let (hub, store) = one_order(&sink, json!({"token": ""})).await;
    let stats = hub.quiet(&store).await;
    assert_eq!(stats["archived"], 1, "{stats}");
}

#[actix_web::test]
async fn an_application_with_a_key_gets_it_and_a_whole_envelope() {
    let sink = Sink::start(|request, _| {
        let sound = request.header("x-augury-token") == Some("the-key")
            && request.header("content-type") == Some("application/json")
            && request.body["payload"].is_object()
            && request.body["store_id"].is_string();
        if sound {
            Reply::ok()
        } else {
            Reply::Now(406, String::new())
        }
    })
    .await;
    let (hub, store) = one_order(&sink, json!({"token": "the-key"})).await;
    assert_eq!(hub.quiet(&store).await["archived"], 1);
}

#[actix_web::test]
async fn an_empty_payload_is_still_an_object() {
    let sink = Sink::start(|request, _| {
        if request.body["payload"].is_object() {
            Reply::ok()
        } else {
            Reply::Now(500, String::new())
        }
    })
    .await;
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    hub.mapping(
        &store,
        "acme.poll",
        &sink.url,
        json!({"messages": ["acme:poll"]}),
    )
    .await;
    hub.push(&store, "acme:poll", json!({})).await;
    assert_eq!(hub.quiet(&store).await["archived"], 1);
}

#[actix_web::test]
async fn json_that_is_called_html_is_read() {
    // 0.0.2 answered JSON as text/html.
    let sink = Sink::start(|request, _| match request.path.as_str() {
        "/send_order" => Reply::With(
            200,
            "content-type",
            "text/html".into(),
            json!({"message_id": request.id(), "messages": [{"message": "stock:actual", "payload": {"sku": "A", "quantity": 1}}]}).to_string(),
        ),
        _ => Reply::ok(),
    })
    .await;
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    hub.mapping(
        &store,
        "acme.send_order",
        &format!("{}/send_order", sink.url),
        json!({}),
    )
    .await;
    hub.mapping(
        &store,
        "acme.stock",
        &format!("{}/stock", sink.url),
        json!({"messages": ["stock:actual"]}),
    )
    .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    sink.wait("the returned message goes out", |all| {
        all.iter().any(|one| one.path == "/stock")
    })
    .await;
}

#[actix_web::test]
async fn only_200_is_done_and_406_says_that_they_could_not_read_us() {
    for (status, said) in [
        (201, "201"),
        (202, "202"),
        (204, "204"),
        (406, "406"),
        (302, "redirected"),
    ] {
        let sink = Sink::start(move |_, _| {
            Reply::With(
                status,
                "location",
                "http://127.0.0.1:9/".into(),
                String::new(),
            )
        })
        .await;
        let (hub, store) = one_order(&sink, json!({"options": {"retries_allowed": false}})).await;
        let rows = hub
            .rows(&store, "accepted?state=parked", "it is parked", |rows| {
                rows.len() == 1
            })
            .await;
        let error = rows[0]["last_error"].as_str().unwrap();
        assert!(error.contains(said), "{status}: {error}");
        assert_eq!(sink.received().len(), 1, "nothing was followed");
    }
}

#[actix_web::test]
async fn errors_of_every_shape_are_kept_for_people() {
    for (status, body, said) in [
        (
            500,
            r#"{"message_id":null,"notifications":[{"level":"error","subject":"Rejected","description":"No carrier"}]}"#,
            "Rejected: No carrier",
        ),
        (
            500,
            r#"{"error":"undefined method","trace":["a.rb:1"]}"#,
            "undefined method",
        ),
        (
            500,
            "<html><h1>Internal Server Error</h1></html>",
            "Internal Server Error",
        ),
        (401, "", "401"),
        (401, r#"{"text":"unauthorized"}"#, "unauthorized"),
    ] {
        let sink = Sink::start(move |_, _| Reply::Now(status, body.into())).await;
        let (hub, store) = one_order(&sink, json!({"options": {"retries_allowed": false}})).await;
        let rows = hub
            .rows(&store, "accepted?state=parked", "it is parked", |rows| {
                rows.len() == 1
            })
            .await;
        let error = rows[0]["last_error"].as_str().unwrap();
        assert!(error.contains(said), "{body}: {error}");
    }
}

#[actix_web::test]
async fn an_asynchronous_answer_is_polled_with_the_whole_message_across_a_restart() {
    let sink = Sink::start(|request, before| match (request.path.as_str(), before) {
        ("/app/send_order", _) => Reply::json(
            200,
            json!({"message_id": request.id(), "delay": 3, "update_url": "status/7"}),
        ),
        // Absolute on the second poll.
        ("/app/status/7", 1) => Reply::json(200, json!({"delay": "1", "update_url": "/other/8"})),
        ("/other/8", _) => Reply::json(200, json!({"message_id": request.id(), "done": true})),
        _ => Reply::Now(500, String::new()),
    })
    .await;
    let mut hub = Hub::start().await;
    let store = hub.store("shop").await;
    hub.mapping(
        &store,
        "acme.send_order",
        &format!("{}/app/send_order", sink.url),
        json!({}),
    )
    .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    sink.wait("the first request", |all| !all.is_empty()).await;
    hub.rows(
        &store,
        "accepted?state=scheduled",
        "it is scheduled",
        |rows| rows.len() == 1,
    )
    .await;
    hub.kill();
    hub.launch().await;
    let stats = hub.quiet(&store).await;
    assert_eq!(stats["archived"], 1);
    let all = sink.received();
    let paths: Vec<&str> = all.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["/app/send_order", "/app/status/7", "/other/8"]);
    assert!(
        all.iter()
            .all(|one| one.order() == "R1" && one.id() == all[0].id())
    );
}

#[actix_web::test]
async fn a_delay_without_an_address_asks_the_same_one_again() {
    let sink = Sink::start(|_, before| match before {
        0 => Reply::json(200, json!({"delay": 1})),
        _ => Reply::ok(),
    })
    .await;
    let (hub, store) = one_order(&sink, json!({"options": {"retries_allowed": false}})).await;
    assert_eq!(
        hub.quiet(&store).await["archived"],
        1,
        "waiting is no failure"
    );
    assert_eq!(sink.received().len(), 2);
}

#[actix_web::test]
async fn an_endless_delay_has_a_budget() {
    let sink = Sink::start(|_, _| Reply::json(200, json!({"delay": 1}))).await;
    let hub = Hub::start_with(Setup::default().with("retry.deadline_secs", 2)).await;
    let store = hub.store("shop").await;
    hub.mapping(
        &store,
        "acme.slow",
        &sink.url,
        json!({"options": {"retries_allowed": false}}),
    )
    .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    let rows = hub
        .rows(&store, "accepted?state=parked", "it is parked", |rows| {
            rows.len() == 1
        })
        .await;
    assert!(
        rows[0]["last_error"]
            .as_str()
            .unwrap()
            .contains("asked to wait"),
        "{rows:?}"
    );
}

#[actix_web::test]
async fn a_client_that_subscribes_by_an_old_spelling_gets_the_message() {
    let sink = Sink::taking_everything().await;
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    hub.mapping(
        &store,
        "acme.cancel",
        &sink.url,
        json!({"messages": ["order:cancelled"]}),
    )
    .await;
    hub.push(
        &store,
        "order:cancel",
        json!({"order": order("R1", "canceled")}),
    )
    .await;
    sink.wait("it arrives", |all| all.len() == 1).await;
}
