//! The document of the API, held against the router and against real answers.

use std::{collections::BTreeSet, sync::Arc};

use actix_web::App;
use serde_json::{Value, json};

use super::{OPERATOR, ROUTES, Site};
use crate::web::{
    ConsoleState, configure,
    openapi::{OPERATIONS, document},
};

/// A route and its methods without `HEAD`, one text each.
fn described() -> BTreeSet<String> {
    let row = |path: &str, verb: &str| format!("{verb} {}", path.trim_end_matches(".json"));
    let all = OPERATIONS.iter();
    all.map(|one| row(one.path, one.verb.word())).collect()
}

#[actix_web::test]
async fn every_route_is_in_the_document_and_every_row_of_it_is_a_route() {
    let site = Site::start().await;
    ROUTES.with_borrow_mut(Vec::clear);
    let (hub, state) = (site.hub.clone(), Arc::new(ConsoleState::default()));
    drop(App::new().configure(|config| configure(config, hub, state)));
    let routes = ROUTES.with_borrow(Clone::clone);
    let registered: BTreeSet<String> = routes
        .iter()
        .flat_map(|(path, allow)| {
            let verbs = allow.split(", ").filter(|verb| *verb != "HEAD");
            verbs.map(move |verb| format!("{verb} {path}"))
        })
        .collect();
    assert!(registered.len() > 50, "routes are noted: {registered:?}");
    let described = described();
    let missing: Vec<_> = registered.difference(&described).collect();
    let invented: Vec<_> = described.difference(&registered).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "not in the document: {missing:?}; not a route: {invented:?}"
    );
    site.stop().await;
}

#[actix_web::test]
async fn every_operation_of_the_document_is_answered_by_the_running_hub() {
    let site = Site::start().await;
    let told = site.get("", "/api/openapi.json").await.expect(200);
    assert_eq!(told.body, document());
    let paths = told.body["paths"].as_object().expect("paths");
    let nobody = "54d1c0aa84a81618ab000001";
    for (path, methods) in paths {
        let mut asked = path.clone();
        for parameter in ["store", "id", "queue", "type", "token", "name"] {
            asked = asked.replace(&format!("{{{parameter}}}"), nobody);
        }
        for verb in methods.as_object().expect("methods").keys() {
            let verb = verb.to_uppercase();
            let answer = site.call(OPERATOR, &verb, &asked, json!(null)).await;
            let is_route = answer.status != 405
                && answer.body["error"] != json!("There is nothing at this address.");
            assert!(is_route, "{verb} {path}: {} {}", answer.status, answer.text);
        }
    }
    site.stop().await;
}

#[test]
fn every_name_that_is_referred_to_is_there_and_used() {
    let document = document();
    let text = document.to_string();
    let mut unused = Vec::new();
    for kind in ["schemas", "responses"] {
        let all = document["components"][kind].as_object().expect("names");
        assert!(!all.is_empty());
        for name in all.keys() {
            if !text.contains(&format!("#/components/{kind}/{name}\"")) {
                unused.push(name);
            }
        }
    }
    assert!(unused.is_empty(), "nobody refers to {unused:?}");
    for reference in text.split("\"$ref\":\"#/").skip(1) {
        let place = reference.split('"').next().expect("a place");
        assert!(
            document.pointer(&format!("/{place}")).is_some(),
            "{place} is not there"
        );
    }
    let ids: BTreeSet<_> = text.split("\"operationId\":\"").skip(1).collect();
    assert_eq!(ids.len(), OPERATIONS.len(), "each id once");
}

/// What of `value` does not conform to `schema`: the keywords that the document uses.
fn faults(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = document.pointer(reference.trim_start_matches('#'));
        return faults(document, found.expect("a schema"), value, place);
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let all: Vec<_> = choices
                .iter()
                .map(|one| faults(document, one, value, place))
                .collect();
            let fits = all.iter().any(Vec::is_empty);
            return if fits { Vec::new() } else { all.concat() };
        }
    }
    let mut wrong = Vec::new();
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    };
    let fits = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    if !fits {
        wrong.push(format!("{place}: {value} is no {}", schema["type"]));
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|all| !all.contains(value))
        || schema.get("const").is_some_and(|only| only != value)
    {
        wrong.push(format!("{place}: {value} is not among the values"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        if schema.get("items").is_some() {
            let place = format!("{place}[{index}]");
            wrong.extend(faults(document, &schema["items"], item, &place));
        }
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if value.is_object() && value.get(name).is_none() {
            wrong.push(format!("{place}: {name} is missing"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let place = format!("{place}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => wrong.push(format!("{place}: is not described")),
            (Value::Null, further @ Value::Object(_)) => {
                wrong.extend(faults(document, further, member, &place));
            }
            (Value::Null, _) => {}
            (known, _) => wrong.extend(faults(document, known, member, &place)),
        }
    }
    wrong
}

/// Asks, and holds the answer against what the document says of it.
async fn held(site: &Site, token: &str, verb: &str, path: &str, row: &str, body: Value) -> Value {
    let document = document();
    let answer = site.call(token, verb, path, body).await;
    let operation = &document["paths"][row][verb.to_lowercase()];
    let described = &operation["responses"][answer.status.to_string()];
    let described = match described["$ref"].as_str() {
        Some(place) => document.pointer(place.trim_start_matches('#')).expect("it"),
        None => described,
    };
    let schema = &described["content"]["application/json"]["schema"];
    assert!(
        schema.is_object(),
        "{verb} {row} does not describe {}: {}",
        answer.status,
        answer.text
    );
    let wrong = faults(&document, schema, &answer.body, verb);
    assert!(
        wrong.is_empty(),
        "{verb} {row}: {wrong:#?}\n{}",
        answer.text
    );
    answer.body
}

#[actix_web::test]
async fn real_answers_are_as_the_document_describes_them() {
    let site = Site::start().await;
    let stores = "/api/stores";
    let body = json!({"store": {"name": "shop", "api_key": "k-secret"}});
    let made = held(&site, OPERATOR, "POST", stores, stores, body).await;
    let store = format!("{stores}/{}", made["id"].as_str().expect("an id"));
    let token = made["token"].as_str().expect("a token").to_owned();
    let ask = async |verb: &str, rest: &str, row: &str, body: Value| {
        let (path, row) = (
            format!("{store}{rest}"),
            format!("/api/stores/{{store}}{row}"),
        );
        held(&site, &token, verb, &path, &row, body).await
    };
    held(&site, OPERATOR, "GET", stores, stores, Value::Null).await;
    held(&site, "wrong", "GET", stores, stores, Value::Null).await;
    held(&site, OPERATOR, "GET", "/", "/", Value::Null).await;
    let nodes = "/api/nodes";
    let nodes = held(&site, OPERATOR, "GET", nodes, nodes, Value::Null).await;
    assert_eq!(nodes[0]["owns"]["routing_shards"], 64);
    held(
        &site,
        "",
        "GET",
        "/health/ready",
        "/health/ready",
        Value::Null,
    )
    .await;
    ask("GET", "", "", Value::Null).await;
    ask("PUT", "", "", json!({"store": {"wrong": 1}})).await;
    let scopes = json!({"token": {"name": "t", "scopes": ["read"]}});
    ask("POST", "/tokens", "/tokens", scopes).await;
    ask("GET", "/tokens", "/tokens", Value::Null).await;

    let parameter = json!({"name": "acme.key", "value": "k"});
    let parameter = ask("POST", "/parameters", "/parameters", parameter).await;
    let services = json!([{"name": "send", "path": "/send", "recommends": {"messages": ["order:new"]},
        "requires": {"parameters": [{"name": "key", "allowed": ["k", "l"]}], "sku": "a sku"}}]);
    let integration = json!({"integration": {"name": "acme", "url": "http://app.example", "category": "custom", "services": services, "signing_secret": "long enough"}});
    let integration = ask("POST", "/integrations", "/integrations", integration).await;
    ask("GET", "/integrations", "/integrations", Value::Null).await;
    let signup = format!(
        "/integrations/{}/signup",
        integration["id"].as_str().expect("an id")
    );
    let filled = json!({"parameters": {"key": "k"}, "enabled": ["send"]});
    ask("POST", &signup, "/integrations/{id}/signup", filled).await;
    let mapping = json!({"mapping": {"name": "acme.other", "url": "http://127.0.0.1:9/", "messages": ["order:new"],
        "parameters": [parameter["id"]], "filters": [{"path": "payload.order.number", "operator": "present"}],
        "identifiers": {"n": "payload.order.number"}, "options": {"retries_allowed": false, "retry_schedule": [1, 2], "signing_secret": ["a secret", "b secret"]}}});
    ask("POST", "/mappings", "/mappings", mapping).await;
    ask("GET", "/mappings", "/mappings", Value::Null).await;
    let scheduler = json!({"scheduler": {"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "key": "hub:poll"}});
    ask("POST", "/schedulers", "/schedulers", scheduler).await;
    ask("GET", "/schedulers", "/schedulers", Value::Null).await;
    let rule = json!({"rule": {"name": "r", "messages": ["order:new"], "message": "picking:ready",
        "payload": {"number": {"path": "payload.order.number"}, "place": {"value": "north"}}}});
    ask("POST", "/rules", "/rules", rule).await;

    let order = |number: &str| json!({"message": "order:new", "payload": {"order": {"number": number}}, "x": 1});
    ask("POST", "/messages", "/messages", order("R1")).await;
    let batch = json!([order("R2"), {"message": 1}]);
    ask("POST", "/messages/batch", "/messages/batch", batch).await;
    let queues = format!("{store}/queues/accepted?state=parked");
    let parked = site
        .until(&token, &queues, "a parked delivery", |page| {
            page["messages"]
                .as_array()
                .is_some_and(|rows| !rows.is_empty())
        })
        .await;
    let row = &parked["messages"][0];
    ask("GET", "/queues", "/queues", Value::Null).await;
    for queue in ["incoming", "accepted", "archived"] {
        let path = format!("/queues/{queue}");
        ask("GET", &path, "/queues/{queue}", Value::Null).await;
    }
    for id in [&row["id"], &row["parent_id"]] {
        let path = format!("/messages/{}", id.as_str().expect("an id"));
        ask("GET", &path, "/messages/{id}", Value::Null).await;
        let attempts = format!("{path}/attempts");
        ask("GET", &attempts, "/messages/{id}/attempts", Value::Null).await;
    }
    ask(
        "GET",
        "/objects/order/R1",
        "/objects/{type}/{token}",
        Value::Null,
    )
    .await;
    ask("GET", "/notifications", "/notifications", Value::Null).await;
    let retry = json!({"state": "parked", "delay_secs": 3600});
    let path = "/queues/accepted/retry";
    let retry = ask("POST", path, path, retry).await;
    let path = format!("/actions/{}", retry["id"].as_str().expect("an id"));
    ask("GET", "/actions", "/actions", Value::Null).await;
    ask("GET", &path, "/actions/{id}", Value::Null).await;
    ask("DELETE", &path, "/actions/{id}", Value::Null).await;
    let replay = json!({"message": "order:new", "delay_secs": 3600});
    ask("POST", "/replays", "/replays", replay).await;
    ask("GET", "/replays", "/replays", Value::Null).await;
    let email = json!({"email": "ada@example.org"});
    ask("POST", "/erasures", "/erasures", email).await;
    ask("GET", "/erasures", "/erasures", Value::Null).await;
    ask(
        "GET",
        "/available_messages",
        "/available_messages",
        Value::Null,
    )
    .await;
    ask("GET", "/endpoints", "/endpoints", Value::Null).await;
    ask("GET", "/health", "/health", Value::Null).await;
    ask("GET", "/set_aside", "/set_aside", Value::Null).await;
    ask("GET", "/backfills", "/backfills", Value::Null).await;
    ask(
        "POST",
        "/rules/dry_run",
        "/rules/dry_run",
        json!({"rule": {"name": "d", "messages": ["order:*"], "message": "x:y"}}),
    )
    .await;
    ask("POST", "/poll", "/poll", Value::Null).await;
    site.stop().await;
}
