//! Each wrong input gets the status and the sentence that help.

use std::process::Command;

use serde_json::json;

use crate::support::{Hub, Setup, Store};

struct Case {
    what: &'static str,
    method: &'static str,
    path: String,
    token: String,
    body: Vec<u8>,
    status: u16,
    says: &'static str,
}

async fn cases(hub: &Hub, store: &Store) -> Vec<Case> {
    let scope = json!({"token": {"name": "reader", "scopes": ["read"]}});
    let reader = hub.post(&store.token, &store.path("/tokens"), &scope).await;
    assert_eq!(reader.status, 201, "{}", reader.text);
    let reader = reader.body["token"].as_str().unwrap().to_owned();
    let messages = store.path("/messages");
    let case = |what, method, path: &str, token: &str, body: &str, status, says| Case {
        what,
        method,
        path: path.to_owned(),
        token: token.to_owned(),
        body: body.as_bytes().to_vec(),
        status,
        says,
    };
    let admin = store.token.as_str();
    let deep = format!(
        r#"{{"message":"a:b","payload":{{"x":{}1{}}}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let mapping = r#"{"mapping":{"name":"a.b","url":"http://sink.example/","messages":["order:new"],"enabeld":true}}"#;
    vec![
        case(
            "broken JSON",
            "POST",
            &messages,
            admin,
            r#"{"message":"#,
            400,
            "JSON",
        ),
        case(
            "a type that is no type",
            "POST",
            &messages,
            admin,
            r#"{"message":"Order New","payload":{}}"#,
            422,
            "order:new",
        ),
        case(
            "no type",
            "POST",
            &messages,
            admin,
            r#"{"payload":{}}"#,
            422,
            "message:",
        ),
        case(
            "a payload that is no object",
            "POST",
            &messages,
            admin,
            r#"{"message":"a:b","payload":[1]}"#,
            422,
            "payload: must be an object, found an array",
        ),
        case(
            "a lone surrogate",
            "POST",
            &messages,
            admin,
            r#"{"message":"a:b","payload":{"x":"\ud800"}}"#,
            422,
            "payload",
        ),
        case(
            "a number out of range",
            "POST",
            &messages,
            admin,
            r#"{"message":"a:b","payload":{"x":1e999}}"#,
            422,
            "payload",
        ),
        case("too deep", "POST", &messages, admin, &deep, 422, "payload"),
        case(
            "a wrong token",
            "POST",
            &messages,
            "wrong",
            r#"{"message":"a:b","payload":{}}"#,
            401,
            "Token is invalid.",
        ),
        case(
            "no token",
            "GET",
            &store.path("/queues"),
            "",
            "",
            401,
            "oken",
        ),
        case(
            "a wrong scope",
            "POST",
            &messages,
            &reader,
            r#"{"message":"a:b","payload":{}}"#,
            403,
            "push",
        ),
        case(
            "an unknown store",
            "GET",
            "/api/stores/54d1c0aa84a81618ab000001/queues",
            admin,
            "",
            404,
            "Store not found.",
        ),
        case(
            "a store id that is none",
            "GET",
            "/api/stores/7/queues",
            admin,
            "",
            404,
            "Store not found.",
        ),
        case(
            "an unknown message",
            "GET",
            &store.path("/messages/54d1c0aa84a81618ab000001"),
            admin,
            "",
            404,
            "essage",
        ),
        case(
            "an unknown route",
            "GET",
            "/api/nothing",
            admin,
            "",
            404,
            "",
        ),
        case(
            "a wrong method",
            "PUT",
            &store.path("/queues"),
            admin,
            "{}",
            405,
            "",
        ),
        case(
            "an unknown field",
            "POST",
            &store.path("/mappings"),
            admin,
            mapping,
            422,
            "enabled",
        ),
        case(
            "an address that is none",
            "POST",
            &store.path("/mappings"),
            admin,
            r#"{"mapping":{"name":"a.b","url":"ftp://x/","messages":["a:b"],"enabled":true}}"#,
            422,
            "url:",
        ),
        case(
            "an unknown operator",
            "POST",
            &store.path("/mappings"),
            admin,
            r#"{"mapping":{"name":"a.b","url":"http://x.example/","messages":["a:b"],"enabled":true,"filters":[{"path":"payload.x","operator":"equals","value":"1"}]}}"#,
            422,
            "filters",
        ),
        case(
            "an expression that is none",
            "POST",
            &store.path("/mappings"),
            admin,
            r#"{"mapping":{"name":"a.b","url":"http://x.example/","messages":["a:b"],"enabled":true,"filters":[{"path":"payload.x","operator":"match","value":"("}]}}"#,
            422,
            "filters",
        ),
        case(
            "a value of another type",
            "POST",
            &store.path("/parameters"),
            admin,
            r#"{"name":"a.n","data_type":"integer","value":"many"}"#,
            422,
            "value:",
        ),
        case(
            "a page too far",
            "GET",
            &store.path("/queues/archived?page=41"),
            admin,
            "",
            422,
            "next",
        ),
        case(
            "a date that is none",
            "GET",
            &store.path("/queues/archived?start_date=yesterday"),
            admin,
            "",
            422,
            "start_date",
        ),
        case(
            "a store's token on all stores",
            "POST",
            "/api/stores",
            admin,
            r#"{"store":{"name":"x"}}"#,
            403,
            "perator",
        ),
    ]
}

#[actix_web::test]
async fn each_wrong_request_gets_the_status_and_the_sentence_that_help() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    for Case {
        what,
        method,
        path,
        token,
        body,
        status,
        says,
    } in cases(&hub, &store).await
    {
        let answer = hub
            .call(
                method,
                &token,
                &path,
                &[("Content-Type", "application/json")],
                body,
            )
            .await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        assert!(answer.body["error"].is_string(), "{what}: {}", answer.text);
        assert!(
            answer.text.contains(says),
            "{what}: expected {says:?} in {}",
            answer.text
        );
        if status == 422 {
            let errors = answer.body["errors"]
                .as_array()
                .unwrap_or_else(|| panic!("{what}: {}", answer.text));
            assert!(
                !errors.is_empty() && errors.iter().all(serde_json::Value::is_string),
                "{what}: {}",
                answer.text
            );
        }
    }
    let stats = hub.get(&store.token, &store.path("/queues")).await.body;
    assert_eq!(
        (&stats["incoming"], &stats["archived"]),
        (&json!(0), &json!(0)),
        "nothing of it was accepted"
    );
}

#[actix_web::test]
async fn a_body_of_10_mb_is_refused_and_the_hub_goes_on() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let body = json!({"message": "a:b", "payload": {"x": "y".repeat(10 << 20)}}).to_string();
    match hub
        .try_call(
            "POST",
            &store.token,
            &store.path("/messages"),
            &[("Content-Type", "application/json")],
            body,
        )
        .await
    {
        Ok(answer) => assert_eq!(
            (answer.status, answer.body["error"].is_string()),
            (413, true),
            "{}",
            answer.text
        ),
        // It may close the connection while the client still writes.
        Err(error) => assert!(
            error.to_lowercase().contains("connect")
                || error.contains("pipe")
                || error.contains("reset"),
            "{error}"
        ),
    }
    hub.push(&store, "a:b", json!({})).await;
}

#[actix_web::test]
async fn read_only_fields_are_ignored_and_a_masked_secret_keeps_its_value() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let made = hub
        .post(
            &store.token,
            &store.path("/parameters"),
            &json!({"name": "a.key", "data_type": "string", "value": "s3cret-value"}),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(!made.text.contains("s3cret-value"), "{}", made.text);
    let path = store.path(&format!(
        "/parameters/{}",
        made.body["id"].as_str().unwrap()
    ));
    let mut sent_back = made.body.clone();
    sent_back["name"] = json!("a.renamed");
    let changed = hub.put(&store.token, &path, &sent_back).await;
    assert_eq!(
        (changed.status, &changed.body["name"]),
        (200, &json!("a.renamed")),
        "{}",
        changed.text
    );
    let sink = crate::support::Sink::taking_everything().await;
    hub.mapping(
        &store,
        "a.b",
        &sink.url,
        json!({"messages": ["a:b"], "parameters": [made.body["id"]]}),
    )
    .await;
    hub.push(&store, "a:b", json!({})).await;
    let request = sink
        .wait("it arrives", |all| all.len() == 1)
        .await
        .remove(0);
    assert_eq!(
        request.body["payload"]["parameters"],
        json!([{"name": "a.renamed", "value": "s3cret-value"}])
    );
}

#[actix_web::test]
async fn a_full_hub_answers_503_with_retry_after_and_loses_nothing_it_answered() {
    let hub = Hub::start_with(Setup::default().with("intake.max_waiting", 1)).await;
    let store = hub.store("shop").await;
    let body = json!({"message": "a:b", "payload": {}});
    let (mut accepted, mut refused) = (0, 0);
    while refused == 0 {
        let path = store.path("/messages");
        let pushes = (0..60).map(|_| hub.post(&store.token, &path, &body));
        for answer in futures_util::future::join_all(pushes).await {
            match answer.status {
                201 => accepted += 1,
                503 => {
                    refused += 1;
                    assert!(
                        answer.retry_after.is_some() && answer.body["error"].is_string(),
                        "{}",
                        answer.text
                    );
                }
                other => panic!("{other} {}", answer.text),
            }
        }
    }
    assert!(accepted > 0);
    assert_eq!(hub.quiet(&store).await["archived"], accepted);
}

#[test]
fn an_unknown_key_of_the_configuration_names_the_nearest_one() {
    let output = Command::new(env!("CARGO_BIN_EXE_integrator"))
        .arg("check-config")
        .env("INTEGRATOR__RETRY__BASE_SEC", "3")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("INTEGRATOR__RETRY__BASE_SEC")
            && said.contains("INTEGRATOR__RETRY__BASE_SECS"),
        "{said}"
    );
}
