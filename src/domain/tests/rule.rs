use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{
    key::{MessageKey, StoreKey},
    reference::About,
    time::Micros,
};

fn rule(extra: Value) -> Rule {
    let mut rule = json!({
        "name": "warehouse", "messages": ["order:new", "order:updated"], "message": "warehouse:order",
        "payload": {"number": {"path": "payload.order.number"}}
    });
    for (name, value) in extra.as_object().unwrap() {
        rule[name] = value.clone();
    }
    serde_json::from_value(rule).unwrap()
}

fn message(kind: &str, payload: &str) -> Message {
    Message {
        key: MessageKey(5),
        id: "5626b1c2ac3d2f0003000a01".parse().unwrap(),
        store: StoreKey(1),
        kind: MessageType::parse(kind).unwrap(),
        payload: Payload::parse(payload, PayloadLimits::default()).unwrap(),
        about: About::default(),
        source: Source::Push("shop".into()),
        ancestry: None,
        test: true,
        extra: None,
        accepted_at: Micros(0),
    }
}

const ORDER: &str = r#"{"order":{"number":"R1","email":"a@example.org","total":10.50,"note":null,"items":[{"sku":"A\"1"},{"sku":"B"}],"address":{ "city":"Easton" }}}"#;

fn derived(payload: Value) -> String {
    let rule = rule(json!({ "payload": payload }))
        .compile(PayloadLimits::default())
        .unwrap();
    match rule.review(&message("order:new", ORDER), None) {
        RuleOutcome::Derived { payload, .. } => payload.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn mistakes(extra: Value) -> Vec<String> {
    rule(extra).compile(PayloadLimits::default()).unwrap_err()
}

#[test]
fn parts_of_the_original_are_taken_byte_for_byte() {
    assert_eq!(
        derived(json!({
            "number": {"path": "payload.order.number"},
            "total": {"path": "payload.order.total"},
            "to": {"path": "payload.order.address"},
            "note": {"path": "payload.order.note"},
            "first": {"path": "payload.order.items.0.sku"},
            "kind": {"path": "message"},
            "channel": {"value": {"name": "warehouse", "n": [1]}}
        })),
        r#"{"channel":{"n":[1],"name":"warehouse"},"first":"A\"1","kind":"order:new","note":null,"number":"R1","to":{ "city":"Easton" },"total":10.50}"#
    );
}

#[test]
fn a_path_that_finds_nothing_leaves_its_member_out_and_a_star_gives_an_array() {
    assert_eq!(
        derived(json!({
            "missing": {"path": "payload.order.phone"},
            "nested.missing": {"path": "payload.order.phone"},
            "skus": {"path": "payload.order.items.*.sku"},
            "none": {"path": "payload.order.shipments.*.number"}
        })),
        r#"{"none":[],"skus":["A\"1","B"]}"#
    );
    assert_eq!(derived(json!({"missing": {"path": "payload.x"}})), "{}");
}

#[test]
fn names_with_dots_build_objects() {
    assert_eq!(
        derived(json!({
            "customer.email": {"path": "payload.order.email"},
            "customer.address.city": {"path": "payload.order.address.city"}
        })),
        r#"{"customer":{"address":{"city":"Easton"},"email":"a@example.org"}}"#
    );
}

#[test]
fn only_messages_of_its_types_that_pass_its_filters_are_taken() {
    let own = rule(json!({"filters": [
        {"path": "payload.order.email", "operator": "present"},
        {"path": "payload.order.number", "operator": "eq", "value": "R2"}
    ]}))
    .compile(PayloadLimits::default())
    .unwrap();
    assert_eq!(
        own.review(&message("user:new", ORDER), None),
        RuleOutcome::OtherType
    );
    assert_eq!(
        own.review(&message("order:update", ORDER), None),
        RuleOutcome::Refused { index: 1 }
    );
    assert_eq!(own.derive(&message("order:new", ORDER), None), Ok(None));
}

#[test]
fn what_is_derived_descends_from_the_original_and_is_about_what_it_says() {
    let own = rule(json!({"message": "shipment:wanted", "payload": {"shipment.order_number": {"path": "payload.order.number"}, "shipment.number": {"value": "H1"}}}))
        .compile(PayloadLimits::default())
        .unwrap();
    let made = own
        .derive(&message("order:new", ORDER), None)
        .unwrap()
        .unwrap();
    assert_eq!(made.source, Source::Consumer("warehouse".into()));
    assert_eq!(made.ancestry.unwrap().depth, 1);
    assert_eq!(made.about.primary.unwrap().to_string(), "order/R1");
    assert!(made.test);
}

#[test]
fn a_rule_that_takes_what_it_derives_is_refused() {
    for own in [
        json!({"message": "order:update"}),
        json!({"messages": ["*"]}),
        json!({"messages": ["warehouse:*"]}),
    ] {
        assert!(mistakes(own)[0].contains("for ever"));
    }
}

#[test]
fn all_mistakes_are_told_by_field() {
    let errors = mistakes(json!({
        "name": " ", "messages": [],
        "filters": [{"path": "payload.a", "operator": "gt", "value": "x"}],
        "payload": {
            "a": {"value": 1}, "a.b": {"value": 1}, "b..c": {"value": 1}, "parameters": {"value": 1},
            "long": {"value": "x".repeat(MAX_LITERAL_BYTES)}
        }
    }));
    for field in [
        "name:",
        "messages:",
        "filters[0].value:",
        "payload.a.b:",
        "payload.b..c:",
        "payload.parameters:",
        "payload.long:",
    ] {
        assert!(
            errors.iter().any(|error| error.starts_with(field)),
            "{field} {errors:?}"
        );
    }
}

#[test]
fn a_payload_beyond_the_limit_is_a_failure_and_not_half_a_payload() {
    let own = rule(json!({"payload": {
        "a": {"path": "payload.order"}, "b": {"path": "payload.order"}, "c.d": {"path": "payload.order"}, "e": {"value": 1}
    }}))
    .compile(PayloadLimits { bytes: 200, depth: 50 })
    .unwrap();
    assert!(matches!(
        own.review(&message("order:new", ORDER), None),
        RuleOutcome::Failed { .. }
    ));
    assert!(own.derive(&message("order:new", ORDER), None).is_err());
}

#[test]
fn a_rule_is_read_as_it_is_written() {
    let own = rule(
        json!({"filters": "[{\"path\":\"payload.a\",\"operator\":\"present\"}]", "payload": {"a": {"value": null}, "b": {"path": "message"}}}),
    );
    assert_eq!(own.filters.len(), 1);
    let text = serde_json::to_string(&own).unwrap();
    assert_eq!(serde_json::from_str::<Rule>(&text).unwrap(), own);
    assert!(serde_json::from_value::<Rule>(json!({"name": "a", "colour": 1})).is_err());
}

proptest! {
    #[test]
    fn what_is_derived_is_always_a_payload(
        names in proptest::collection::btree_set("[a-c](\\.[a-c]){0,2}", 1..6),
        path in prop::sample::select(vec!["payload", "payload.order", "payload.order.items.*", "payload.order.items.*.sku", "payload.x", "source"]),
    ) {
        let payload: serde_json::Map<String, Value> =
            names.into_iter().map(|name| (name, json!({"path": path}))).collect();
        if let Ok(own) = rule(json!({"payload": payload})).compile(PayloadLimits::default()) {
            let derived = matches!(own.review(&message("order:new", ORDER), None), RuleOutcome::Derived { .. });
            prop_assert!(derived);
        }
    }
}
