use super::*;
use crate::domain::json::PayloadLimits;

fn about(message: &str, payload: &str) -> About {
    let payload = Payload::parse(payload, PayloadLimits::default()).unwrap();
    object_of(&MessageType::parse(message).unwrap(), &payload)
}

/// All objects as one text.
fn told(message: &str, payload: &str) -> String {
    about(message, payload)
        .objects()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

fn object(kind: &str, token: &str) -> ObjectRef {
    ObjectRef::new(kind, token).unwrap()
}

#[test]
fn a_message_is_about_the_object_that_its_noun_names() {
    assert_eq!(
        told(
            "order:new",
            r#"{"order":{"id":5,"number":"R123"},"original":{"id":9}}"#
        ),
        "order/R123"
    );
    assert_eq!(
        told("order:new", r#"{"order":{"id":5,"number":""}}"#),
        "order/5"
    );
    assert_eq!(
        told(
            "order:payment:captured",
            r#"{"order":{"id":12345678901234567890123}}"#
        ),
        "order/12345678901234567890123"
    );
    assert_eq!(
        told(
            "user:new",
            r#"{"user":{"email":"ada@example.org","token":"t"}}"#
        ),
        "user/ada@example.org"
    );
    assert_eq!(
        told("product:new", r#"{"product":{"sku":"TW","number":true}}"#),
        "product/TW"
    );
    assert_eq!(
        told("cart:new", r#"{"cart":{"token":"c1","id":null}}"#),
        "cart/c1"
    );
}

#[test]
fn else_it_is_about_the_order_beside_it_else_about_nothing() {
    assert_eq!(
        told("email:send", r#"{"order":{"number":"R1"},"email":"x"}"#),
        "order/R1"
    );
    assert_eq!(
        told(
            "user:new",
            r#"{"user":{"name":"Ada"},"order":{"number":"R1"}}"#
        ),
        "order/R1"
    );
    for (message, payload) in [
        ("stock:change", r#"{"sku":"A","quantity":1}"#),
        ("product:update", r#"{"sku":"A","name":"a"}"#),
        ("notification:error", r#"{"subject":"s","description":"d"}"#),
        ("order:new", "{}"),
        ("order:new", r#"{"order":"R1"}"#),
        ("order:new", r#"{"order":[{"number":"R1"}]}"#),
        ("order:new", r#"{"order":{"number":["R1"]}}"#),
        ("hub:poll", r#"{"target":"collections.orders"}"#),
    ] {
        assert_eq!(
            about(message, payload),
            About::default(),
            "{message} {payload}"
        );
    }
}

#[test]
fn a_shipment_payment_or_return_travels_with_its_order() {
    let expected = "order/R1 shipment/H1";
    assert_eq!(
        told(
            "shipment:confirm",
            r#"{"shipment":{"number":"H1","order_number":"R1","order_id":7}}"#
        ),
        expected
    );
    assert_eq!(
        told(
            "shipment:confirm",
            r#"{"shipment":{"id":"H1","order_id":"R1"}}"#
        ),
        expected
    );
    assert_eq!(
        told(
            "shipment:ready",
            r#"{"order":{"number":"R1"},"shipment":{"number":"H1"}}"#
        ),
        expected
    );
    assert_eq!(
        told(
            "shipment:ready",
            r#"{"shipment":{"number":"H1","order":{"number":"R1"}}}"#
        ),
        expected
    );
    assert_eq!(
        told("shipment:ready", r#"{"shipment":{"number":"H1"}}"#),
        "shipment/H1"
    );
    assert_eq!(
        told("shipment:ready", r#"{"order":{"number":"R1"}}"#),
        "order/R1"
    );
    assert_eq!(
        told("payment:ready", r#"{"payment":{"id":3,"order_id":"R1"}}"#),
        "order/R1 payment/3"
    );
    // A raw store document: order_id is a row's number there.
    let raw = r#"{"return_authorization":{"number":"RMA1","order_id":1412,"order":{"id":1412,"number":"R1"}}}"#;
    assert_eq!(
        told("return_authorization:new", raw),
        "order/R1 return_authorization/RMA1"
    );
    assert_eq!(
        told(
            "product:new",
            r#"{"product":{"sku":"A","order_number":"R1"}}"#
        ),
        "product/A"
    );
}

#[test]
fn the_last_of_repeated_members_names_the_object() {
    assert_eq!(
        told(
            "order:new",
            r#"{"order":{"number":"R1"},"order":{"number":"R2"}}"#
        ),
        "order/R2"
    );
    assert_eq!(
        told(
            "order:new",
            r#"{"order":{"number":"R1","number":null,"id":4}}"#
        ),
        "order/4"
    );
}

#[test]
fn a_token_is_shown_as_given_and_compared_in_lower_case() {
    let given = object(" Order ", " R123 ");
    assert_eq!(
        (given.kind(), given.token(), given.folded()),
        ("order", "R123", "r123")
    );
    assert_eq!(given, object("order", "r123"));
    assert_ne!(given, object("cart", "r123"));
    assert_eq!(fold(" R123 "), given.folded());
    assert_eq!(lane_hash(1, &given), lane_hash(1, &object("order", "r123")));
}

#[test]
fn what_names_no_object_is_refused_or_passed_over() {
    assert_eq!(About::given("order", " "), Err(ReferenceError::EmptyToken));
    assert_eq!(About::given("or der", "R1"), Err(ReferenceError::BadKind));
    assert_eq!(
        About::given("order", "a\u{0}b"),
        Err(ReferenceError::ControlCharacter)
    );
    assert_eq!(
        About::given("order", &"é".repeat(256)),
        Err(ReferenceError::LongToken)
    );
    assert!(About::given("order", &"é".repeat(255)).is_ok());
    assert_eq!(
        told("order:new", r#"{"order":{"number":"a\nb","id":1}}"#),
        "order/1"
    );
    assert_eq!(
        About::given("order", "R1").unwrap().primary,
        Some(object("order", "R1"))
    );
}

#[test]
fn lanes_and_shards_never_change() {
    assert_eq!(
        lane_hash(1, &object("order", "R123")),
        2_002_151_463_103_286_277
    );
    assert_eq!(
        lane_hash(-7, &object("user", "Ada@Example.org")),
        5_315_258_828_324_981_822
    );
    assert_eq!(shard_of(1, Some(&object("order", "R123")), 99), 6);
    assert_eq!(shard_of(1, None, 99), 38);
    assert_eq!(shard_of_lane(-1), SHARDS - 1);
    assert_eq!(shard_of_lane(i64::MIN), 32);
}

#[test]
fn messages_without_a_lane_spread_over_all_shards() {
    let mut hit = [false; SHARDS as usize];
    (0..2_000).for_each(|seq| hit[usize::from(shard_of(5, None, seq))] = true);
    assert!(hit.iter().all(|hit| *hit));
}
