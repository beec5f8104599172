use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::domain::{
    delivery::WaitState,
    id::IdSeal,
    key::{DeliveryKey, EndpointKey, MappingKey, MessageKey, StoreKey},
    message::{Message, Source},
    parameter::DataType,
    time::Micros,
};

fn asked() -> Url {
    Url::parse("https://ep.example/acme/send_order").unwrap()
}

fn read(body: &Value) -> ServiceAnswer {
    read_answer(body.to_string().as_bytes(), &asked())
}

fn body(payload: &str, extra: Option<&str>, parameters: &[Parameter]) -> Value {
    let seal = IdSeal::new(1);
    let message = Message {
        key: MessageKey(7),
        id: seal.seal(7, Micros(0)),
        store: StoreKey(1),
        kind: MessageType::parse("order:new").unwrap(),
        payload: Payload::parse(payload, PayloadLimits::default()).unwrap(),
        about: About::default(),
        source: Source::Push("shop \"one\"".into()),
        ancestry: None,
        test: false,
        extra: extra.map(str::to_owned),
        accepted_at: Micros(0),
    };
    let delivery = Delivery {
        key: DeliveryKey(8),
        id: seal.seal(8, Micros(0)),
        message: Arc::new(message),
        mapping: MappingKey(3),
        endpoint: EndpointKey(3),
        lane: None,
        state: WaitState::Pending,
        attempts: 0,
        failures: 0,
        since: Micros(0),
        asynchronous: None,
    };
    serde_json::from_slice(&request_body(
        &delivery,
        seal.seal(1, Micros(0)),
        &parameter_array(parameters.iter()),
    ))
    .unwrap()
}

fn parameter(name: &str, value: Value) -> Parameter {
    Parameter {
        name: name.into(),
        data_type: DataType::String,
        value,
        secret: true,
    }
}

#[test]
fn a_request_carries_the_payload_with_the_mapping_s_parameters_inside() {
    let parameters = [
        parameter("acme.api_key", json!("k")),
        parameter("acme.map", json!([{"a": "b"}])),
    ];
    let sent = body(
        r#"{"order":{"total":10.50}}"#,
        Some(r#"{"channel":"x"}"#),
        &parameters,
    );
    assert_eq!(
        sent["payload"],
        json!({"order": {"total": 10.50}, "parameters": [
            {"name": "acme.api_key", "value": "k"}, {"name": "acme.map", "value": [{"a": "b"}]}
        ]})
    );
    assert_eq!(
        (&sent["message"], &sent["source"], &sent["channel"]),
        (&json!("order:new"), &json!("shop \"one\""), &json!("x"))
    );
    assert_eq!(sent["message_id"].as_str().unwrap().len(), 24);
    assert_ne!(sent["message_id"], sent["store_id"]);
}

#[test]
fn an_empty_payload_is_an_object_all_the_same() {
    assert_eq!(body("{}", None, &[])["payload"], json!({"parameters": []}));
}

#[test]
fn an_answer_is_judged_by_its_bytes() {
    assert_eq!(read_answer(b" \r\n", &asked()).body, Body::Empty);
    assert_eq!(
        read_answer(b"\xef\xbb\xbf{\"message_id\":null}", &asked()).body,
        Body::Json
    );
    assert_eq!(
        read_answer(b"<html>", &asked()).body,
        Body::Other("<html>".into())
    );
    assert_eq!(
        read_answer(b"\xff\xfe", &asked()).body,
        Body::Other("\u{fffd}\u{fffd}".into())
    );
    let bare = read_answer(b"\"ok\"", &asked());
    assert_eq!(
        (bare.body, bare.result.as_deref()),
        (Body::Json, Some(r#"{"answer":"ok"}"#))
    );
}

#[test]
fn messages_notifications_and_parameters_are_read_and_the_rest_is_the_result() {
    let answer = read(&json!({
        "message_id": null,
        "messages": [{"message": "stock:actual", "payload": {"sku": "A", "parameters": [{"name": "k", "value": "v"}]}, "batch": 7}],
        "notifications": [{"level": "warning", "subject": "Slow", "description": {"ms": 9}, "backtrace": "a.rb:1"}],
        "parameters": [{"name": "acme.since", "value": "2015"}],
        "delivered": true,
    }));
    assert_eq!(answer.complaints, Vec::<String>::new());
    let message = &answer.messages[0];
    assert_eq!(
        (message.kind.as_str(), message.payload.as_str()),
        ("stock:actual", r#"{"sku":"A"}"#)
    );
    assert_eq!(message.extra.as_deref(), Some(r#"{"batch":7}"#));
    let notification = &answer.notifications[0];
    assert_eq!(
        (notification.level, notification.description.as_str()),
        (Level::Warn, r#"{"ms":9}"#)
    );
    assert_eq!(
        notification.attributes.as_deref(),
        Some(r#"{"backtrace":"a.rb:1"}"#)
    );
    assert_eq!(
        answer.parameters,
        [ReturnedParameter {
            name: "acme.since".into(),
            value: json!("2015")
        }]
    );
    assert_eq!(answer.result.as_deref(), Some(r#"{"delivered":true}"#));
}

#[test]
fn one_odd_item_is_told_and_spoils_nothing_else() {
    let answer = read(&json!({
        "messages": [{"message": "No Type", "payload": {}}, 7, {"message": "a:b", "payload": []}, {"message": "stock:query", "payload": {"sku": "A"}}],
        "notifications": "none",
        "parameters": [{"value": 1}],
    }));
    assert_eq!(answer.messages.len(), 1);
    assert_eq!(answer.complaints.len(), 5, "{:?}", answer.complaints);
    assert!(
        answer.complaints[0].starts_with("messages[0]: message: has 'N' in it"),
        "{:?}",
        answer.complaints
    );
    assert_eq!(answer.complaints[3], "notifications: expected an array");
}

#[test]
fn a_single_inline_message_is_taken() {
    let answer = read(
        &json!({"message_id": "x", "message": "product:in_stock", "payload": {"product": {"name": "Tote"}}}),
    );
    assert_eq!(answer.messages[0].kind.as_str(), "product:in_stock");
    assert_eq!(answer.result, None);
}

#[test]
fn an_error_s_reason_is_found_under_its_usual_names() {
    assert_eq!(
        read(&json!({"error": "connection refused", "trace": "[]"}))
            .summary
            .as_deref(),
        Some("connection refused")
    );
    assert_eq!(
        read(&json!({"text": "unauthorized"})).summary.as_deref(),
        Some("unauthorized")
    );
}

#[test]
fn an_asynchronous_answer_names_an_absolute_address() {
    let ask = |body: Value| read(&body).ask_again.unwrap();
    let absolute = ask(json!({"delay": 6000, "update_url": "https://other.example/status/1"}));
    assert_eq!(
        (absolute.delay.as_secs(), absolute.update_url.as_deref()),
        (6000, Some("https://other.example/status/1"))
    );
    let relative = ask(json!({"delay": "600", "update_url": "/status/QB/991"}));
    assert_eq!(
        relative.update_url.as_deref(),
        Some("https://ep.example/status/QB/991")
    );
    assert_eq!(ask(json!({"delay": 120})).update_url, None);
}
