//! One message's whole way: pushed, reviewed, routed, delivered, archived, and seen on its order's timeline.

use serde_json::json;

use crate::support::{Hub, Reply, Sink, eventually, order};

#[actix_web::test]
async fn a_pushed_order_is_delivered_with_its_parameters_and_seen_on_its_timeline() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::start(|request, _| {
        Reply::json(200, json!({
            "message_id": request.body["message_id"],
            "notifications": [{"level": "info", "subject": "Taken", "description": "thank you"}],
            "booked": 7,
        }))
    })
    .await;
    let parameter = json!({"name": "acme.api_key", "data_type": "string", "value": "k-123-secret"});
    let parameter = hub
        .post(&store.token, &store.path("/parameters"), &parameter)
        .await;
    assert_eq!(parameter.status, 201, "{}", parameter.text);
    let more = json!({"token": "t0ken-of-the-mapping", "parameters": [parameter.body["id"]]});
    let mapping = hub
        .mapping(
            &store,
            "acme.send_order",
            &format!("{}/send_order", sink.url),
            more,
        )
        .await;

    let payload = json!({"order": order("R1001", "complete")});
    let pushed = hub.push(&store, "order:new", payload.clone()).await;
    let request = sink
        .wait("the order arrives", |all| !all.is_empty())
        .await
        .remove(0);

    assert_eq!(
        (
            request.path.as_str(),
            request.kind(),
            request.header("x-augury-token")
        ),
        ("/send_order", "order:new", Some("t0ken-of-the-mapping"))
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(
        request
            .header("user-agent")
            .unwrap()
            .starts_with("Integrator/")
    );
    assert_eq!(request.body["payload"]["order"], payload["order"]);
    assert_eq!(
        request.body["payload"]["parameters"],
        json!([{"name": "acme.api_key", "value": "k-123-secret"}])
    );
    assert_eq!(request.body["store_id"], json!(store.id));
    assert_ne!(request.id(), pushed, "the delivery has an id of its own");

    let stats = hub.quiet(&store).await;
    // The order's delivery, and the notification:info that nobody subscribes to.
    assert_eq!(stats["archived"], 2);
    let detail = hub
        .get(
            &store.token,
            &store.path(&format!("/messages/{}", request.id())),
        )
        .await
        .body;
    assert_eq!(
        (&detail["state"], &detail["parent_id"], &detail["attempts"]),
        (&json!("completed"), &json!(pushed), &json!(1))
    );
    assert_eq!(detail["result"]["booked"], 7);
    let parent = hub
        .get(&store.token, &store.path(&format!("/messages/{pushed}")))
        .await
        .body;
    assert_eq!(parent["children"][0]["id"], json!(request.id()));
    assert_eq!(parent["payload"], payload);

    let timeline = hub
        .get(&store.token, &store.path("/objects/order/r1001"))
        .await;
    assert_eq!(timeline.status, 200, "{}", timeline.text);
    let entries: Vec<&str> = timeline.body["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["entry"].as_str())
        .collect();
    for entry in ["message", "delivery", "attempt", "event"] {
        assert!(
            entries.contains(&entry),
            "{entry} is missing in {entries:?}"
        );
    }
    let attempts = hub
        .get(
            &store.token,
            &store.path(&format!("/messages/{}/attempts", request.id())),
        )
        .await;
    assert!(
        !attempts.text.contains("k-123-secret") && !attempts.text.contains("t0ken-of-the-mapping"),
        "{}",
        attempts.text
    );
    assert!(!timeline.text.contains("k-123-secret"));
    assert!(
        !hub.printed().contains("k-123-secret") && !hub.printed().contains("t0ken-of-the-mapping")
    );
    let mapping = hub
        .get(&store.token, &store.path(&format!("/mappings/{mapping}")))
        .await;
    assert!(
        !mapping.text.contains("t0ken-of-the-mapping"),
        "{}",
        mapping.text
    );
}

#[actix_web::test]
async fn an_order_that_is_canceled_already_reaches_subscribers_of_cancellations_and_no_others() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    hub.mapping(
        &store,
        "a.cancel",
        &format!("{}/cancel", sink.url),
        json!({"messages": ["order:canceled"]}),
    )
    .await;
    hub.mapping(
        &store,
        "a.ship",
        &format!("{}/ship", sink.url),
        json!({"messages": ["shipment:ready"]}),
    )
    .await;
    hub.mapping(
        &store,
        "a.new",
        &format!("{}/new", sink.url),
        json!({"messages": ["order:new"]}),
    )
    .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "canceled"), "original": {"id": 1}}),
    )
    .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R2", "complete")}),
    )
    .await;
    sink.wait("two new orders and one cancellation", |all| all.len() >= 3)
        .await;
    hub.quiet(&store).await;
    let mut seen: Vec<(String, String)> = sink
        .received()
        .iter()
        .map(|one| (one.path.clone(), one.order().to_owned()))
        .collect();
    seen.sort();
    let expected = [("/cancel", "R1"), ("/new", "R1"), ("/new", "R2")]
        .map(|(path, order)| (path.to_owned(), order.to_owned()));
    assert_eq!(seen, expected);
    let canceled = sink
        .received()
        .into_iter()
        .find(|one| one.path == "/cancel")
        .unwrap();
    assert_eq!(
        (canceled.kind(), &canceled.body["payload"]["original"]),
        ("order:canceled", &json!({"id": 1}))
    );
}

#[actix_web::test]
async fn what_an_endpoint_returns_becomes_messages_parameters_and_events_even_with_a_500() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::start(|request, before| match request.path.as_str() {
        "/orders" if before < 2 => Reply::json(500, json!({"message_id": null, "notifications": [{"level": "error", "subject": "Rejected", "description": "No such carrier"}]})),
        "/orders" => Reply::json(200, json!({
            "messages": [{"message": "stock:actual", "payload": {"sku": "A", "quantity": 3}}],
            "parameters": [{"name": "acme.since", "value": "2015-returned-secret"}],
        })),
        _ => Reply::ok(),
    })
    .await;
    hub.mapping(
        &store,
        "acme.orders",
        &format!("{}/orders", sink.url),
        json!({}),
    )
    .await;
    hub.mapping(
        &store,
        "acme.stock",
        &format!("{}/stock", sink.url),
        json!({"messages": ["stock:*"]}),
    )
    .await;
    let pushed = hub
        .push(
            &store,
            "order:new",
            json!({"order": order("R1", "complete")}),
        )
        .await;
    let all = sink
        .wait("the stock message arrives", |all| {
            all.iter().any(|one| one.path == "/stock")
        })
        .await;
    let stock = all.iter().find(|one| one.path == "/stock").unwrap();
    assert_eq!(stock.body["payload"]["quantity"], 3);
    let orders: Vec<String> = all
        .iter()
        .filter(|one| one.path == "/orders")
        .map(|one| one.id())
        .collect();
    assert_eq!(orders.len(), 3, "two failures and a success");
    assert!(
        orders.iter().all(|id| *id == orders[0]),
        "the same message_id at every attempt"
    );
    hub.quiet(&store).await;
    let events = hub
        .get(
            &store.token,
            &store.path("/notifications?level=error&reference_token=r1"),
        )
        .await
        .body;
    let events = events["notifications"].as_array().unwrap().clone();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(
        (
            &events[0]["subject"],
            &events[0]["occurrences"],
            &events[0]["reference_type"]
        ),
        (&json!("Rejected"), &json!(2), &json!("order"))
    );
    let types = hub
        .get(&store.token, &store.path("/available_messages"))
        .await
        .body;
    assert_eq!(
        types,
        json!(["notification:error", "order:new", "stock:actual"])
    );
    let archived = hub
        .get(
            &store.token,
            &store.path("/queues/archived?state=never_processed&message=notification:error"),
        )
        .await
        .body;
    assert_eq!(
        archived["messages"].as_array().unwrap().len(),
        1,
        "announced once: {archived}"
    );
    let parameters = hub.get(&store.token, &store.path("/parameters")).await.body;
    assert_eq!(parameters[0]["name"], "acme.since");
    let attempts = hub
        .get(
            &store.token,
            &store.path(&format!("/messages/{}/attempts", orders[0])),
        )
        .await;
    assert!(
        !attempts.text.contains("2015-returned-secret"),
        "{}",
        attempts.text
    );
    let descended = hub
        .get(&store.token, &store.path(&format!("/messages/{pushed}")))
        .await
        .body;
    assert!(
        descended["children"]
            .as_array()
            .unwrap()
            .iter()
            .any(|child| child["message"] == "stock:actual"),
        "{descended}"
    );
}

#[actix_web::test]
async fn a_message_without_takers_is_archived_with_the_reason() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    let filters = json!([{"path": "payload.order.status", "operator": "eq", "value": "complete"}]);
    let mapping = hub
        .mapping(&store, "a.complete", &sink.url, json!({"filters": filters}))
        .await;
    let filtered = hub
        .push(&store, "order:new", json!({"order": order("R1", "cart")}))
        .await;
    let unheard = hub
        .push(
            &store,
            "user:new",
            json!({"user": {"email": "ada@example.org"}}),
        )
        .await;
    let rows = hub
        .rows(
            &store,
            "archived?state=never_processed",
            "both are archived",
            |rows| rows.len() == 2,
        )
        .await;
    let reason =
        |id: &str| rows.iter().find(|row| row["id"] == json!(id)).unwrap()["reason"].clone();
    assert_eq!(
        (reason(&filtered), reason(&unheard)),
        (json!("not_wanted"), json!("no_subscriber"))
    );
    let detail = hub
        .get(&store.token, &store.path(&format!("/messages/{filtered}")))
        .await;
    assert!(
        detail.text.contains("payload.order.status eq complete") && detail.text.contains(&mapping),
        "{}",
        detail.text
    );
}

#[actix_web::test]
async fn identifiers_keep_a_mapping_from_taking_the_same_shipment_twice() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    let more = json!({"messages": ["shipment:ready"], "identifiers": {"shipment": "payload.shipment.number"}});
    hub.mapping(&store, "w.ship", &sink.url, more).await;
    let mut ready = order("R1", "complete");
    ready["shipments"] = json!([{"number": "H1", "status": "ready"}]);
    for kind in ["order:new", "order:updated", "order:updated"] {
        hub.push(&store, kind, json!({"order": ready})).await;
    }
    ready["shipments"] =
        json!([{"number": "H1", "status": "ready"}, {"number": "H2", "status": "ready"}]);
    hub.push(&store, "order:updated", json!({"order": ready}))
        .await;
    sink.wait("both shipments", |all| all.len() >= 2).await;
    hub.quiet(&store).await;
    let numbers: Vec<String> = sink
        .received()
        .iter()
        .map(|one| {
            one.body["payload"]["shipment"]["number"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(numbers, ["H1", "H2"]);
    assert_eq!(
        sink.received()[0].body["payload"]["shipment"]["order_number"],
        "R1"
    );
}

#[actix_web::test]
async fn a_parked_delivery_is_listed_with_its_error_and_tried_again_or_archived_by_a_person() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::start(|_, before| {
        if before < 2 {
            Reply::json(500, json!({"error": "outside the shipping zone"}))
        } else {
            Reply::ok()
        }
    })
    .await;
    hub.mapping(
        &store,
        "w.ship",
        &sink.url,
        json!({"options": {"retries_allowed": false}}),
    )
    .await;
    for number in ["R1", "R2"] {
        hub.push(
            &store,
            "order:new",
            json!({"order": order(number, "complete")}),
        )
        .await;
    }
    let parked = hub
        .rows(&store, "accepted?state=parked", "both are parked", |rows| {
            rows.len() == 2
        })
        .await;
    assert_eq!(parked[0]["last_error"], "500 outside the shipping zone");
    let id = |row: usize| parked[row]["id"].as_str().unwrap().to_owned();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let tried = hub
        .call(
            "PUT",
            &store.token,
            &store.path(&format!("/messages/{}", id(0))),
            &form,
            "attempt_now=true",
        )
        .await;
    assert_eq!(tried.status, 200, "{}", tried.text);
    let archived = hub
        .call(
            "PUT",
            &store.token,
            &store.path(&format!("/messages/{}", id(1))),
            &form,
            "archive=true",
        )
        .await;
    assert_eq!(archived.status, 200, "{}", archived.text);
    let stats = hub.quiet(&store).await;
    assert_eq!(
        (&stats["parked"], &stats["archived"]),
        (&json!(0), &json!(2))
    );
    let state = |id: String| {
        let path = store.path(&format!("/messages/{id}"));
        let hub = &hub;
        let token = store.token.clone();
        async move { hub.get(&token, &path).await.body["state"].clone() }
    };
    assert_eq!(
        (state(id(0)).await, state(id(1)).await),
        (json!("completed"), json!("archived"))
    );
}

#[actix_web::test]
async fn the_same_idempotency_key_is_accepted_once() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let push = |key: &'static str, body: &'static str| {
        let path = store.path("/messages");
        let (hub, token) = (&hub, store.token.clone());
        async move {
            hub.call(
                "POST",
                &token,
                &path,
                &[
                    ("Content-Type", "application/json"),
                    ("Idempotency-Key", key),
                ],
                body,
            )
            .await
        }
    };
    let first = push("k1", r#"{"message":"stock:change","payload":{"sku":"A"}}"#).await;
    let again = push("k1", r#"{"message":"stock:change","payload":{"sku":"A"}}"#).await;
    let other = push("k1", r#"{"message":"stock:change","payload":{"sku":"B"}}"#).await;
    assert_eq!(
        (first.status, again.status, other.status),
        (201, 201, 422),
        "{} {}",
        again.text,
        other.text
    );
    assert_eq!(first.body["message_id"], again.body["message_id"]);
    assert_eq!(hub.quiet(&store).await["archived"], 1);
}

#[actix_web::test]
async fn a_batch_takes_what_is_good_and_tells_what_is_not() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let lines = "{\"message\":\"a:b\",\"payload\":{}}\nnot json\n{\"message\":\"NO\",\"payload\":{}}\n{\"message\":\"a:c\",\"payload\":{}}\n";
    let answer = hub
        .call(
            "POST",
            &store.token,
            &store.path("/messages/batch"),
            &[("Content-Type", "application/x-ndjson")],
            lines,
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let accepted: Vec<bool> = answer.body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["message_id"].is_string())
        .collect();
    assert_eq!(accepted, [true, false, false, true]);
    assert!(
        answer.body["results"][2]["errors"][0]
            .as_str()
            .unwrap()
            .starts_with("message:"),
        "{}",
        answer.text
    );
    assert_eq!(hub.quiet(&store).await["archived"], 2);
}

#[actix_web::test]
async fn a_fan_out_to_ten_mappings_stores_the_payload_once() {
    let mut hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    for number in 0..10 {
        hub.mapping(
            &store,
            &format!("a.m{number}"),
            &format!("{}/{number}", sink.url),
            json!({}),
        )
        .await;
    }
    let filler = "x".repeat(400_000);
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete"), "filler": filler}),
    )
    .await;
    sink.wait("all ten", |all| all.len() == 10).await;
    hub.quiet(&store).await;
    // Stopped, the hub has folded its log into the one file.
    assert_eq!(hub.terminate().await, Some(0));
    let size = std::fs::metadata(hub.folder().join("hub.db"))
        .unwrap()
        .len();
    assert!(
        (400_000..2_000_000).contains(&size),
        "{size} bytes; ten copies of the payload would be 4,000,000"
    );
}

#[actix_web::test]
async fn a_change_of_configuration_is_in_force_at_once() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    let mapping = hub
        .mapping(&store, "a.b", &format!("{}/one", sink.url), json!({}))
        .await;
    for round in 0..5 {
        let path = if round % 2 == 0 { "/two" } else { "/one" };
        let changed = hub
            .put(
                &store.token,
                &store.path(&format!("/mappings/{mapping}")),
                &json!({"mapping": {"url": format!("{}{path}", sink.url)}}),
            )
            .await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        hub.push(
            &store,
            "order:new",
            json!({"order": order(&format!("R{round}"), "complete")}),
        )
        .await;
        let all = sink.wait("the next order", |all| all.len() > round).await;
        assert_eq!(all[round].path, path);
    }
    let path = store.path(&format!("/mappings/{mapping}"));
    assert_eq!(
        hub.call("DELETE", &store.token, &path, &[], "")
            .await
            .status,
        200
    );
    let id = hub
        .push(
            &store,
            "order:new",
            json!({"order": order("R9", "complete")}),
        )
        .await;
    eventually("it is archived as unheard", || async {
        let detail = hub
            .get(&store.token, &store.path(&format!("/messages/{id}")))
            .await
            .body;
        (detail["state"] == "never_processed").then_some(())
    })
    .await;
}
