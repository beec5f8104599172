//! endpoint.json: registering, signing up, refreshing, and applications that dropped the file.

use serde_json::{Value, json};

use crate::support::{Hub, OPERATOR, Received, Reply, Sink, Store, eventually, order};

fn description() -> Value {
    // The spellings of 2013, misspellings included.
    json!({
        "name": "acme", "display": "Acme Shipping", "icon_url": "acme.png",
        "consumers": [
            {"name": "send_order", "path": "/send_order",
             "requires": {"paramaters": [
                {"name": "api_key", "description": "Key", "data_type": "password"},
                {"name": "acme.map", "data_type": "list", "optional": true},
                {"name": "speed", "allowed": ["slow", "fast"], "default": "slow"}]},
             "reccomends": {"keys": ["order:new"], "identifiers": {"number": "payload.order.number"}, "allow_retries": false}},
            {"name": "poll", "path": "/poll", "required": true,
             "recommends": {"messages": ["acme:poll"], "schedule": {"count": 1, "interval": "seconds"}}}],
    })
}

async fn registered(hub: &Hub, store: &Store, url: &str) -> String {
    let answer = hub
        .post(&store.token, &store.path("/integrations"), &json!({"integration": {"name": "acme", "url": url, "category": "shipping", "token": "an-integration-token"}}))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body["id"].as_str().unwrap().to_owned()
}

async fn read(hub: &Hub, store: &Store, id: &str) -> Value {
    let path = store.path(&format!("/integrations/{id}"));
    eventually("its description was read", || async {
        let own = hub.get(&store.token, &path).await.body;
        (own["services_from"] != "nowhere").then_some(own)
    })
    .await
}

fn application(request_path: &str) -> Reply {
    match request_path {
        "/endpoint.json" => Reply::json(200, description()),
        _ => Reply::ok(),
    }
}

#[actix_web::test]
async fn an_application_is_registered_by_its_address_and_signed_up_for_with_a_form() {
    let sink = Sink::start(|request, _| application(&request.path)).await;
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let id = registered(&hub, &store, &sink.url).await;
    let own = read(&hub, &store, &id).await;
    assert_eq!(
        (&own["state"], &own["display"]),
        (&json!("ready"), &json!("Acme Shipping"))
    );
    assert_eq!(own["services"].as_array().unwrap().len(), 2);
    assert_eq!(own["error_messages"], json!([]));
    let warnings = own["warnings"].to_string();
    assert!(
        warnings.contains("consumers") && warnings.contains("paramaters"),
        "{warnings}"
    );
    assert!(!own.to_string().contains("an-integration-token"));

    let path = store.path(&format!("/integrations/{id}/signup"));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let wrong = hub
        .call(
            "POST",
            &store.token,
            &path,
            &form,
            "parameters[speed]=warp&enabled[]=send_order",
        )
        .await;
    assert_eq!(wrong.status, 422);
    let said = wrong.body["errors"].to_string();
    assert!(said.contains("speed") && said.contains("api_key"), "{said}");
    let body = "store_id=x&parameters%5Bapi_key%5D=k-123-secret&parameters%5Bmap%5D=%5B%7B%22a%22%3A%22b%22%7D%5D&enabled%5B%5D=send_order";
    let answer = hub.call("POST", &store.token, &path, &form, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let mappings = answer.body.as_array().unwrap();
    assert_eq!(mappings.len(), 2);
    let send = mappings
        .iter()
        .find(|one| one["name"] == "acme.send_order")
        .unwrap();
    assert_eq!(
        (&send["integration_id"], &send["options"]["retries_allowed"]),
        (&json!(id), &json!(false))
    );
    assert_eq!(
        send["identifiers"],
        json!({"number": "payload.order.number"})
    );
    assert!(
        mappings.iter().all(|one| one["enabled"] == true),
        "the required one too"
    );

    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    let all = sink
        .wait("the order and a scheduled poll", |all| {
            all.iter().any(|one| one.path == "/send_order")
                && all.iter().any(|one| one.path == "/poll")
        })
        .await;
    let sent = all.iter().find(|one| one.path == "/send_order").unwrap();
    assert_eq!(
        sent.body["payload"]["parameters"],
        json!([{"name": "acme.api_key", "value": "k-123-secret"}, {"name": "acme.map", "value": [{"a": "b"}]}, {"name": "acme.speed", "value": "slow"}])
    );
    assert_eq!(sent.header("x-augury-token"), Some("an-integration-token"));

    let off = hub
        .get(
            &store.token,
            &store.path(&format!("/integrations/{id}/disable_mappings")),
        )
        .await;
    let enabled: Vec<bool> = off
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["enabled"] == true)
        .collect();
    assert_eq!(enabled, [false, true], "{}", off.text);
    let endpoints = hub.get(&store.token, &store.path("/endpoints")).await;
    assert_eq!(
        (&endpoints.body[0]["id"], &endpoints.body[0]["name"]),
        (&json!(id), &json!("acme"))
    );
    for member in [
        "state",
        "breaker",
        "in_flight",
        "waiting",
        "oldest_waiting_secs",
        "rate_per_min",
        "restarts",
    ] {
        assert!(
            endpoints.body[0].get(member).is_some(),
            "{member}: {}",
            endpoints.text
        );
    }
    let gone = hub
        .call(
            "DELETE",
            &store.token,
            &store.path(&format!("/integrations/{id}")),
            &[],
            "",
        )
        .await;
    assert_eq!(gone.status, 200);
    assert_eq!(
        hub.get(&store.token, &store.path("/mappings")).await.body,
        json!([])
    );
    assert!(!hub.printed().contains("k-123-secret"));
}

#[actix_web::test]
async fn a_redirected_description_is_followed_and_no_token_is_shown_to_it() {
    let sink = Sink::start(|request, _| match request.path.as_str() {
        "/app/endpoint.json" if request.header("x-augury-token").is_none() => {
            Reply::With(302, "location", "/endpoint.json".into(), String::new())
        }
        path => application(path),
    })
    .await;
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let id = registered(&hub, &store, &format!("{}/app", sink.url)).await;
    assert_eq!(read(&hub, &store, &id).await["state"], "ready");
}

#[actix_web::test]
async fn an_unusable_description_says_why_and_a_refresh_reads_it_again() {
    let sink = Sink::start(|request, before| match request.path.as_str() {
        "/endpoint.json" if before == 0 => Reply::Now(200, "<html>parked domain</html>".into()),
        path => application(path),
    })
    .await;
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let id = registered(&hub, &store, &sink.url).await;
    let own = read(&hub, &store, &id).await;
    assert_eq!(own["state"], "pending");
    assert_eq!(own["error_messages"].as_array().unwrap().len(), 1, "{own}");
    let path = store.path(&format!("/integrations/{id}"));
    let refreshed = hub
        .post(&store.token, &format!("{path}/refresh"), &json!({}))
        .await;
    assert_eq!(refreshed.status, 202, "{}", refreshed.text);
    eventually("it is ready", || async {
        (hub.get(&store.token, &path).await.body["state"] == "ready").then_some(())
    })
    .await;
}

#[actix_web::test]
async fn an_application_that_dropped_the_file_is_described_by_hand() {
    let sink = Sink::start(|request, _| match request.path.as_str() {
        "/endpoint.json" => Reply::Now(404, "Not Found".into()),
        _ => Reply::ok(),
    })
    .await;
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let id = registered(&hub, &store, &sink.url).await;
    let own = read(&hub, &store, &id).await;
    assert!(
        own["error_messages"][0].as_str().unwrap().contains("404"),
        "{own}"
    );
    let path = store.path(&format!("/integrations/{id}"));
    let services = json!([{"name": "add_order", "path": "/add_order", "recommends": {"messages": ["order:new"], "options": {"dialect": "2"}}}]);
    let answer = hub
        .put(
            &store.token,
            &path,
            &json!({"integration": {"services": services}}),
        )
        .await;
    assert_eq!(
        (answer.status, &answer.body["state"]),
        (200, &json!("ready")),
        "{}",
        answer.text
    );
    let answer = hub
        .post(
            &store.token,
            &format!("{path}/signup"),
            &json!({"enabled": ["add_order"]}),
        )
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    let all = sink
        .wait("it arrives", |all| {
            all.iter().any(|one| one.path == "/add_order")
        })
        .await;
    let sent = all.iter().find(|one| one.path == "/add_order").unwrap();
    assert_eq!(sent.body["order"]["id"], "R1");
    assert_eq!(sent.header("x-hub-token"), Some("an-integration-token"));
}

#[actix_web::test]
async fn an_integration_can_come_in_the_query() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let path = store.path("/integrations?integration[name]=acme&integration[url]=http%3A%2F%2F127.0.0.1%3A9&integration[category]=custom");
    let answer = hub.call("POST", &store.token, &path, &[], "").await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(
        (&answer.body["name"], &answer.body["display"]),
        (&json!("acme"), &Value::Null)
    );
    let wrong = hub
        .post(
            &store.token,
            &store.path("/integrations"),
            &json!({"integration": {"name": "A B", "url": "ftp://x"}}),
        )
        .await;
    assert_eq!(wrong.status, 422);
    assert_eq!(
        wrong.body["errors"].as_array().unwrap().len(),
        3,
        "{}",
        wrong.text
    );
}

#[actix_web::test]
async fn a_global_application_serves_every_store_and_only_the_operator_changes_it() {
    let sink = Sink::start(|request, _| application(&request.path)).await;
    let hub = Hub::start().await;
    let (one, two) = (hub.store("one").await, hub.store("two").await);
    let body = json!({"integration": {"name": "acme", "url": sink.url, "category": "shipping", "token": "an-integration-token"}});
    let all = "/api/integrations";
    assert_eq!(hub.post(&one.token, all, &body).await.status, 403);
    let made = hub.post(OPERATOR, all, &body).await;
    assert_eq!(
        (made.status, &made.body["store_id"]),
        (201, &Value::Null),
        "{}",
        made.text
    );
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(read(&hub, &one, id).await["state"], "ready");
    for store in [&one, &two] {
        for path in ["/integrations", "/integrations?global=1"] {
            let listed = hub.get(&store.token, &store.path(path)).await;
            assert_eq!(
                (&listed.body[0]["id"], &listed.body[0]["store_id"]),
                (&json!(id), &Value::Null),
                "{}",
                listed.text
            );
        }
        let taken = hub
            .post(&store.token, &store.path("/integrations"), &body)
            .await;
        assert_eq!(taken.status, 422, "{}", taken.text);
        let path = store.path(&format!("/integrations/{id}"));
        let changed = hub
            .put(
                &store.token,
                &path,
                &json!({"integration": {"category": "mine"}}),
            )
            .await;
        assert_eq!(changed.status, 403, "{}", changed.text);
        let signup = json!({"parameters": {"api_key": store.id}, "enabled": ["send_order"]});
        let answer = hub
            .post(&store.token, &format!("{path}/signup"), &signup)
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    // Each store has an endpoint of its own: pausing one stops nobody else's.
    let pause = one.path(&format!("/endpoints/{id}/pause"));
    assert_eq!(hub.post(&one.token, &pause, &json!({})).await.status, 200);
    for store in [&one, &two] {
        hub.push(
            store,
            "order:new",
            json!({"order": order("R1", "complete")}),
        )
        .await;
    }
    let key_of = |one: &Received| one.body["payload"]["parameters"][0]["value"].clone();
    let sent = |all: &[Received]| {
        let orders = all.iter().filter(|one| one.path == "/send_order");
        orders.map(key_of).collect::<Vec<_>>()
    };
    let all_sent = sink
        .wait("the other store's order", |all| !sent(all).is_empty())
        .await;
    assert_eq!(sent(&all_sent), [json!(two.id)]);
    let endpoints = hub.get(&one.token, &one.path("/endpoints")).await;
    assert_eq!(
        (&endpoints.body[0]["id"], &endpoints.body[0]["paused"]),
        (&json!(id), &json!(true)),
        "{}",
        endpoints.text
    );
    let resume = one.path(&format!("/endpoints/{id}/resume"));
    assert_eq!(hub.post(&one.token, &resume, &json!({})).await.status, 200);
    sink.wait("both orders", |all| sent(all).len() == 2).await;

    // A store leaves it: it stays offered. The operator removes it: it is gone everywhere.
    let own = one.path(&format!("/integrations/{id}"));
    assert_eq!(
        hub.call("DELETE", &one.token, &own, &[], "").await.status,
        200
    );
    let left = hub.get(&one.token, &one.path("/mappings")).await.body;
    let used = hub.get(&two.token, &two.path("/mappings")).await.body;
    assert_eq!(
        (
            left.as_array().unwrap().len(),
            used.as_array().unwrap().len()
        ),
        (0, 2)
    );
    assert_eq!(hub.get(&one.token, &own).await.status, 200);
    let whole = format!("{all}/{id}");
    assert_eq!(
        hub.call("DELETE", &one.token, &whole, &[], "").await.status,
        403
    );
    assert_eq!(
        hub.call("DELETE", OPERATOR, &whole, &[], "").await.status,
        200
    );
    let used = hub.get(&two.token, &two.path("/mappings")).await.body;
    assert_eq!(used, json!([]));
    let gone = two.path(&format!("/integrations/{id}"));
    assert_eq!(hub.get(&two.token, &gone).await.status, 404);
}
