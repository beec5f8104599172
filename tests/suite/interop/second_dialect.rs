//! Applications of 2014 and later: Wombat, FlowLink, Cangaroo.

use serde_json::{Value, json};

use crate::support::{Hub, Reply, Sink, Store, order};

const TWO: &str = "2";

async fn shop(sink: &Sink, more: Value) -> (Hub, Store) {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let mut mapping = json!({"token": "the-token", "options": {"dialect": TWO}});
    mapping
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    hub.mapping(
        &store,
        "acme.add_order",
        &format!("{}/add_order", sink.url),
        mapping,
    )
    .await;
    (hub, store)
}

#[actix_web::test]
async fn a_request_has_the_object_at_its_root_and_flat_parameters() {
    let sink = Sink::taking_everything().await;
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let parameter = hub
        .post(
            &store.token,
            &store.path("/parameters"),
            &json!({"name": "acme.api_key", "data_type": "string", "value": "k-123"}),
        )
        .await;
    let id = parameter.body["id"].clone();
    hub.mapping(
        &store,
        "acme.add_order",
        &sink.url,
        json!({"token": "the-token", "options": {"dialect": TWO}, "parameters": [id]}),
    )
    .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete"), "original": {"id": 7}}),
    )
    .await;
    let all = sink.wait("it arrives", |all| all.len() == 1).await;
    let one = &all[0];
    assert_eq!(one.body["order"]["id"], "R1");
    assert_eq!(one.body["parameters"], json!({"api_key": "k-123"}));
    assert!(
        one.body["request_id"].is_string()
            && one.body.get("payload").is_none()
            && one.body.get("original").is_none(),
        "{}",
        one.bytes
    );
    // The first builds of this dialect still read the old name.
    assert_eq!(one.header("x-hub-token"), Some("the-token"));
    assert_eq!(one.header("x-augury-token"), Some("the-token"));
    assert_eq!(one.header("x-hub-store"), Some(store.id.as_str()));
    assert_eq!(one.header("accept"), Some("application/json"));
}

#[actix_web::test]
async fn any_2xx_is_a_success_and_may_be_empty() {
    for status in [200, 201, 202, 204] {
        let sink = Sink::start(move |_, _| Reply::Now(status, String::new())).await;
        let (hub, store) = shop(&sink, json!({})).await;
        hub.push(
            &store,
            "order:new",
            json!({"order": order("R1", "complete")}),
        )
        .await;
        assert_eq!(hub.quiet(&store).await["archived"], 1, "{status}");
    }
}

#[actix_web::test]
async fn returned_objects_are_merged_and_told_once() {
    let sink = Sink::start(|request, _| match request.path.as_str() {
        "/add_order" => Reply::json(200, json!({"request_id": "x", "summary": "ok", "orders": [{"id": "R1", "shopify_id": "88"}], "products": [{"id": "SKU-1", "name": "Tote"}]})),
        _ => Reply::ok(),
    })
    .await;
    let (hub, store) = shop(&sink, json!({})).await;
    hub.mapping(
        &store,
        "book.keep",
        &format!("{}/keep", sink.url),
        json!({"messages": ["order:updated", "product:new", "product:updated"]}),
    )
    .await;
    for _ in 0..2 {
        hub.push(
            &store,
            "order:new",
            json!({"order": order("R1", "complete")}),
        )
        .await;
        hub.quiet(&store).await;
    }
    let all = sink.received();
    let kept: Vec<_> = all.iter().filter(|one| one.path == "/keep").collect();
    let mut kinds: Vec<&str> = kept.iter().map(|one| one.kind()).collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        ["order:updated", "product:new"],
        "the second time nothing was news"
    );
    let updated = kept
        .iter()
        .find(|one| one.kind() == "order:updated")
        .unwrap();
    let order = &updated.body["payload"]["order"];
    assert_eq!(
        (&order["shopify_id"], &order["email"]),
        (&json!("88"), &json!("ada@example.org")),
        "merged with what was sent"
    );
}

#[actix_web::test]
async fn what_is_no_object_is_kept_as_the_result() {
    let answer = json!({"request_id": "x", "summary": ["line 1", "line 2"], "mandrill_message_id": "m-1", "success": {"a": 1}, "order": {"id": "R1"}, "backtrace": ["a.rb:1"]});
    let body = answer.to_string();
    let sink = Sink::start(move |_, _| Reply::Now(200, body.clone())).await;
    let (hub, store) = shop(&sink, json!({})).await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    let stats = hub.quiet(&store).await;
    assert_eq!(stats["archived"], 1, "no message came of it");
    let rows = hub
        .rows(&store, "archived", "it is archived", |rows| rows.len() == 1)
        .await;
    let id = rows[0]["id"].as_str().unwrap();
    let detail = hub
        .get(&store.token, &store.path(&format!("/messages/{id}")))
        .await
        .body;
    assert_eq!(detail["result"]["mandrill_message_id"], "m-1");
    assert_eq!(detail["result"]["summary"][1], "line 2");
}

#[actix_web::test]
async fn a_failure_tells_its_summary_and_parameters_are_saved_flat() {
    let sink = Sink::start(|_, before| match before {
        0 => Reply::json(
            500,
            json!({"request_id": "x", "summary": "The sky fell", "backtrace": ["a.rb:1"]}),
        ),
        _ => Reply::json(
            200,
            json!({"request_id": "x", "parameters": {"acme_since": "2014-03-17"}}),
        ),
    })
    .await;
    let (hub, store) = shop(&sink, json!({})).await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    let rows = hub
        .rows(&store, "accepted?state=failing", "it fails once", |rows| {
            rows.len() == 1
        })
        .await;
    assert!(
        rows[0]["last_error"]
            .as_str()
            .unwrap()
            .contains("The sky fell")
    );
    hub.quiet(&store).await;
    let parameters = hub.get(&store.token, &store.path("/parameters")).await;
    assert_eq!(
        parameters.body[0]["name"], "acme_since",
        "{}",
        parameters.text
    );
}
