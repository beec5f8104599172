use serde_json::{Value, json};

use super::*;
use crate::domain::{
    id::IdSeal,
    json::{Payload, PayloadLimits},
    key::{MessageKey, StoreKey},
    message::Source,
    message_type::MessageType,
    reference::object_of,
    time::Micros,
};

fn message(kind: &str, payload: &Value) -> Message {
    let kind = MessageType::parse(kind).unwrap();
    let payload = Payload::parse(&payload.to_string(), PayloadLimits::default()).unwrap();
    Message {
        key: MessageKey(7),
        id: IdSeal::new(1).seal(7, Micros(0)),
        store: StoreKey(1),
        about: object_of(&kind, &payload),
        kind,
        payload,
        source: Source::Poller,
        ancestry: None,
        test: false,
        extra: None,
        accepted_at: Micros(0),
    }
}

/// The types and payloads that all built-in consumers derive.
fn derived(kind: &str, payload: &Value) -> Vec<(String, Value)> {
    let message = message(kind, payload);
    built_in()
        .iter()
        .filter(|consumer| consumer.wants(message.kind.canonical()))
        .flat_map(|consumer| consumer.review(&message).unwrap())
        .map(|new| {
            (
                new.kind.to_string(),
                serde_json::from_str(new.payload.as_str()).unwrap(),
            )
        })
        .collect()
}

fn canceled() -> Value {
    json!({"number": "R1", "status": "canceled", "shipments": [{"number": "H1", "status": "ready"}]})
}

#[test]
fn a_new_order_that_is_canceled_already_is_told_as_canceled() {
    let payload = json!({"order": canceled(), "original": {"id": 1}});
    assert_eq!(
        derived("order:new", &payload),
        [("order:canceled".to_owned(), payload)]
    );
}

#[test]
fn an_update_tells_of_a_cancellation_unless_it_was_told_before() {
    let update = |previous: Value| {
        derived(
            "order:update",
            &json!({"order": canceled(), "previous": previous}),
        )
        .len()
    };
    assert_eq!(update(json!({"status": "complete"})), 1);
    assert_eq!(update(json!({"status": "canceled"})), 0);
    let by_diff = |from: &str| {
        derived(
            "order:updated",
            &json!({"order": canceled(), "diff": {"state": [from, "canceled"]}}),
        )
        .len()
    };
    assert_eq!((by_diff("complete"), by_diff("canceled")), (1, 0));
    assert_eq!(
        derived("order:updated", &json!({"order": canceled()})).len(),
        1
    );
}

#[test]
fn a_canceled_message_derives_nothing() {
    assert_eq!(derived("order:canceled", &json!({"order": canceled()})), []);
}

#[test]
fn each_ready_shipment_travels_with_its_order() {
    let order = json!({
        "number": "R1", "status": "complete", "email": "ada@example.org", "shipping_address": {"city": "Easton"},
        "shipments": [{"number": "H1", "status": "ready"}, {"number": "H2", "status": "shipped"}, {"number": "H3", "status": "ready", "email": "own@example.org"}],
    });
    let found = derived(
        "order:updated",
        &json!({"order": order, "original": {"id": 1}}),
    );
    let shipments: Vec<&Value> = found
        .iter()
        .map(|(_, payload)| &payload["shipment"])
        .collect();
    let address = json!({"city": "Easton"});
    assert_eq!(
        shipments,
        [
            &json!({"number": "H1", "status": "ready", "order_number": "R1", "email": "ada@example.org", "shipping_address": address}),
            &json!({"number": "H3", "status": "ready", "order_number": "R1", "email": "own@example.org", "shipping_address": address}),
        ]
    );
    assert!(found.iter().all(|(kind, payload)| kind == "shipment:ready"
        && payload["order"] == order
        && payload["original"] == json!({"id": 1})));
}

#[test]
fn a_derived_shipment_is_in_its_order_s_lane_and_on_both_timelines() {
    let order = json!({"number": "R1", "status": "complete", "shipments": [{"number": "H1", "status": "ready"}]});
    let new = ShipmentReady
        .review(&message("order:new", &json!({"order": order})))
        .unwrap()
        .remove(0);
    assert_eq!(new.about.primary.unwrap().to_string(), "order/R1");
    assert_eq!(new.about.also[0].to_string(), "shipment/H1");
    assert_eq!(new.source, Source::Consumer("shipment_ready".into()));
    assert_eq!(new.ancestry.unwrap().depth, 1);
}

#[test]
fn a_payload_of_another_shape_is_no_failure_unless_it_is_broken() {
    for payload in [
        json!({}),
        json!({"order": "ready canceled"}),
        json!({"order": {"shipments": "ready"}}),
        json!({"order": {"shipments": ["ready"]}}),
    ] {
        assert_eq!(derived("order:new", &payload), [], "{payload}");
    }
}
