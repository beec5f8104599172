use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::parameter::DataType;

fn request(kind: &str, payload: Value) -> Value {
    let kind = MessageType::parse(kind).unwrap();
    let payload = Payload::parse(&payload.to_string(), PayloadLimits::default()).unwrap();
    serde_json::from_slice(&body_of("5626b1c2ac3d2f0003000a01", &kind, &payload, "{}")).unwrap()
}

fn objects(kind: &str, payload: Value) -> Value {
    let mut body = request(kind, payload);
    let root = body.as_object_mut().unwrap();
    assert_eq!(
        root.remove("request_id"),
        Some(json!("5626b1c2ac3d2f0003000a01"))
    );
    assert_eq!(root.remove("parameters"), Some(json!({})));
    body
}

fn answer(body: Value) -> ServiceAnswer {
    read_answer(body.to_string().as_bytes())
}

fn parameter(name: &str, value: Value) -> Parameter {
    Parameter {
        name: name.to_owned(),
        data_type: DataType::String,
        value,
        secret: true,
    }
}

#[test]
fn an_object_goes_to_the_root_under_its_name_with_its_number_as_id() {
    assert_eq!(
        objects(
            "order:new",
            json!({
                "order": {"number": "R1", "line_items": [{"sku": "A"}]},
                "original": {"id": 7}, "previous": {}, "diff": {"total": [1, 2]}
            })
        ),
        json!({"order": {"id": "R1", "number": "R1", "line_items": [{"sku": "A"}]}})
    );
}

#[test]
fn an_object_with_an_id_goes_byte_for_byte() {
    let kind = MessageType::parse("order:updated").unwrap();
    let payload = Payload::from_stored(r#"{"order":{ "id" : "R1","total":10.50 }}"#);
    let body = body_of("r", &kind, &payload, "{}");
    assert_eq!(
        std::str::from_utf8(&body).unwrap(),
        r#"{"request_id":"r","order":{ "id" : "R1","total":10.50 },"parameters":{}}"#
    );
}

#[test]
fn several_members_go_side_by_side_and_the_noun_first() {
    let kind = MessageType::parse("shipment:ready").unwrap();
    let payload = Payload::from_stored(
        r#"{"order":{"number":"R1"},"shipment":{"number":"H1","order_number":"R1"},"original":{}}"#,
    );
    let body = body_of("r", &kind, &payload, "{}");
    assert_eq!(
        std::str::from_utf8(&body).unwrap(),
        r#"{"request_id":"r","shipment":{"id":"H1","order_id":"R1","number":"H1","order_number":"R1"},"order":{"id":"R1","number":"R1"},"parameters":{}}"#
    );
}

#[test]
fn a_flat_payload_is_the_object_itself() {
    assert_eq!(
        objects("stock:actual", json!({"sku": "A-1", "quantity": 3})),
        json!({"inventory": {"id": "A-1", "product_id": "A-1", "sku": "A-1", "quantity": 3}})
    );
    assert_eq!(
        objects(
            "product:update",
            json!({"sku": "A-1", "properties": {"a": "b"}})
        ),
        json!({"product": {"id": "A-1", "sku": "A-1", "properties": {"a": "b"}}})
    );
    assert_eq!(
        objects(
            "shipment:confirm",
            json!({"shipment_number": "H1", "tracking_number": "1Z"})
        ),
        json!({"shipment": {"id": "H1", "shipment_number": "H1", "tracking_number": "1Z"}})
    );
}

#[test]
fn a_poll_has_only_request_id_and_parameters_and_what_it_was_pushed_with() {
    assert_eq!(objects("acme:poll", json!({})), json!({}));
    assert_eq!(
        objects("hub:poll", json!({"target": "orders"})),
        json!({"target": "orders"})
    );
    assert_eq!(objects("order:new", json!({})), json!({}));
}

#[test]
fn objects_of_another_name_here_are_renamed_unless_that_name_is_taken() {
    assert_eq!(
        objects("user:new", json!({"user": {"email": "a@example.org"}})),
        json!({"customer": {"id": "a@example.org", "email": "a@example.org"}})
    );
    assert_eq!(
        objects(
            "user:new",
            json!({"user": {"id": 1}, "customer": {"id": 2}})
        ),
        json!({"user": {"id": 1}, "customer": {"id": 2}})
    );
    assert_eq!(
        objects(
            "return_authorization:new",
            json!({"return_authorization": {"number": "RMA1", "order_number": "R1"}})
        ),
        json!({"return": {"id": "RMA1", "order_id": "R1", "number": "RMA1", "order_number": "R1"}})
    );
}

#[test]
fn members_of_the_protocol_cannot_be_overwritten_by_a_payload() {
    let body = request(
        "order:new",
        json!({"order": {"id": 1}, "request_id": {"x": 1}}),
    );
    assert_eq!(body["request_id"], "5626b1c2ac3d2f0003000a01");
    assert_eq!(body["parameters"], json!({}));
}

#[test]
fn parameters_are_flat_unprefixed_and_as_configured() {
    let own = [
        parameter("acme.api_key", json!("k")),
        parameter("acme.sandbox", json!("1")),
        parameter("acme.active", json!(true)),
        parameter("since", json!("2015-10-20")),
        parameter("api_key", json!("another")),
        parameter("acmeish.key", json!(1)),
    ];
    let text = parameter_object("acme", own.iter());
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({"api_key": "k", "sandbox": "1", "active": true, "since": "2015-10-20", "acmeish.key": 1})
    );
}

#[test]
fn an_empty_token_sends_no_token_header() {
    let store: Id = "54d1c0aa84a81618ab000001".parse().unwrap();
    let names = |token| -> Vec<_> {
        headers(token, store)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    };
    assert_eq!(names(""), ["Accept", "X-Hub-Store"]);
    assert_eq!(
        names("t"),
        ["Accept", "X-Hub-Store", "X-Hub-Token", "X-Augury-Token"]
    );
}

#[test]
fn an_answer_gives_objects_parameters_and_a_summary() {
    let read = answer(json!({
        "request_id": "x", "summary": "2 orders", "parameters": {"acme_last": "2015", "n": 1},
        "orders": [{"id": "R1", "shopify_id": "88"}, {"id": 2}], "inventories": [{"id": "A"}]
    }));
    assert_eq!(read.body, Body::Json);
    assert_eq!(read.summary.as_deref(), Some("2 orders"));
    let names: Vec<_> = read
        .parameters
        .iter()
        .map(|own| own.name.as_str())
        .collect();
    assert_eq!(names, ["acme_last", "n"]);
    let mut objects: Vec<_> = read
        .objects
        .iter()
        .map(|own| format!("{}/{}", own.kind, own.id))
        .collect();
    objects.sort();
    assert_eq!(objects, ["inventory/A", "order/2", "order/R1"]);
    assert_eq!(
        read.objects.iter().find(|own| own.id == "R1").unwrap().raw,
        r#"{"id":"R1","shopify_id":"88"}"#
    );
    assert_eq!(read.result.as_deref(), Some(r#"{"summary":"2 orders"}"#));
    assert!(read.complaints.is_empty());
}

#[test]
fn what_is_no_array_of_objects_with_ids_is_kept_as_the_result() {
    let read = answer(json!({
        "request_id": "x", "summary": "ok", "mandrill_message_id": "abc", "success": {"a": 1},
        "order": {"id": "R1"}, "backtrace": ["a.rb:1"], "lines": [{"n": 1}], "none": []
    }));
    assert!(read.objects.is_empty());
    let result: Value = serde_json::from_str(read.result.as_deref().unwrap()).unwrap();
    assert_eq!(
        result,
        json!({
            "summary": "ok", "mandrill_message_id": "abc", "success": {"a": 1}, "order": {"id": "R1"},
            "backtrace": ["a.rb:1"], "lines": [{"n": 1}], "none": []
        })
    );
    assert!(read.complaints.is_empty());
}

#[test]
fn an_object_without_id_among_others_is_told() {
    let read = answer(json!({"orders": [{"id": "R1"}, {"number": "R2"}]}));
    assert_eq!(read.objects.len(), 1);
    assert_eq!(read.complaints, ["orders[1]: id: is missing"]);
}

#[test]
fn a_summary_may_be_any_json() {
    assert_eq!(
        answer(json!({"summary": ["a.rb:1", "b.rb:2"]}))
            .summary
            .unwrap(),
        r#"["a.rb:1","b.rb:2"]"#
    );
    assert_eq!(answer(json!({"summary": null})).summary, None);
    assert_eq!(
        answer(json!({"error": "boom"})).summary.as_deref(),
        Some("boom")
    );
}

#[test]
fn parameters_in_the_array_of_the_first_dialect_are_taken() {
    let read = answer(json!({"parameters": [{"name": "a", "value": 1}, 7]}));
    assert_eq!(read.parameters.len(), 1);
    assert_eq!(read.complaints.len(), 1);
}

#[test]
fn bodies_are_judged_by_their_bytes() {
    assert_eq!(read_answer(b" \n").body, Body::Empty);
    assert_eq!(read_answer(b"\"waiting\"").body, Body::Json);
    assert!(matches!(read_answer(b"<html>").body, Body::Other(_)));
    assert!(matches!(read_answer(b"\xff").body, Body::Other(_)));
}

proptest! {
    #[test]
    fn every_payload_gives_a_body_that_is_json_with_one_id(
        kind in "(order|shipment|stock|user|acme):(new|poll|x)",
        members in proptest::collection::btree_map(
            "(order|shipment|user|customer|sku|original|request_id|n)",
            prop_oneof![Just(json!(1)), Just(json!("a\"b")), Just(json!({})), Just(json!([1])), Just(json!({"number": "R\n1", "email": null})), Just(json!({"id": null, "sku": 2}))],
            0..5,
        ),
    ) {
        let body = request(&kind, json!(members));
        prop_assert_eq!(&body["request_id"], "5626b1c2ac3d2f0003000a01");
        prop_assert!(body["parameters"].is_object());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(body in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = read_answer(&body);
        let _ = super::super::push2::read(&body);
    }
}
