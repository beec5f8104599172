use super::*;

fn pusher() -> Pusher {
    Pusher {
        store: StoreKey(1),
        source: Source::Push("shop".into()),
        limits: PayloadLimits::default(),
    }
}

fn read(text: &str) -> Result<Pushed, Vec<String>> {
    let raw = RawValue::from_string(text.to_owned()).expect("JSON");
    pusher()
        .read(&raw)
        .map_err(|error| error.document().errors.to_vec())
}

fn message(text: &str) -> NewMessage {
    read(text).expect("a message").message
}

#[test]
fn all_three_forms_give_the_same_message() {
    let plain = message(r#"{"message":"stock:change","payload":{"sku":"TW-TOTE","quantity":10}}"#);
    let wrapped = message(
        r#"{"origin":"test","message":{"message":"stock:change","payload":{"sku":"TW-TOTE","quantity":10}}}"#,
    );
    let text = r#"{"source":"test","message":"{\"message\":\"stock:change\",\"payload\":{\"sku\":\"TW-TOTE\",\"quantity\":10}}"}"#;
    let text = message(text);
    assert!(!plain.test && wrapped.test && text.test);
    for other in [wrapped, text] {
        assert_eq!(
            NewMessage {
                test: false,
                ..other
            },
            plain
        );
    }
}

#[test]
fn a_payload_keeps_its_bytes() {
    let payload = r#"{ "total" : 10.50, "big":123456789012345678901234567890, "sku":"\u0041" , "b":1,"a":2 }"#;
    let message = message(&format!(
        r#"{{"payload": {payload} ,"message":"order:new"}}"#
    ));
    assert_eq!(message.payload.as_str(), payload);
}

#[test]
fn the_object_is_read_from_the_payload_unless_the_pusher_names_it() {
    let found = message(r#"{"message":"order:new","payload":{"order":{"number":"R123"}}}"#);
    assert_eq!(
        found
            .about
            .primary
            .map(|object| object.to_string())
            .as_deref(),
        Some("order/R123")
    );
    let given = message(
        r#"{"message":"order:new","payload":{"order":{"number":"R123"}},"reference_type":"cart","reference_token":"C9"}"#,
    );
    assert_eq!(
        given
            .about
            .primary
            .map(|object| object.to_string())
            .as_deref(),
        Some("cart/C9")
    );
    assert_eq!(given.extra, None);
    assert_eq!(
        read(r#"{"message":"order:new","payload":{},"reference_type":"cart"}"#),
        Err(vec![
            "reference_token: is missing beside reference_type".to_owned()
        ])
    );
}

#[test]
fn further_members_travel_along_and_the_hubs_own_do_not() {
    let message = message(
        r#"{"message":"order:new","payload":{},"store_id":"1","parameters":[{"value":"s"}],"channel":"web","n":1.50}"#,
    );
    assert_eq!(
        message.extra.as_deref(),
        Some(r#"{"channel":"web","n":1.50}"#)
    );
    let long = format!(
        r#"{{"message":"order:new","payload":{{}},"x":"{}"}}"#,
        "x".repeat(MAX_EXTRA_BYTES)
    );
    assert!(read(&long).expect_err("too long")[0].starts_with("further root members: take"));
    let lone = read(r#"{"message":"order:new","payload":{},"x":"\ud800"}"#).expect_err("no text");
    assert!(lone[0].starts_with("x: "), "{lone:?}");
}

#[test]
fn everything_that_is_wrong_is_told() {
    for (text, errors) in [
        (
            "[]",
            &["message: must be an object with message and payload, found an array"][..],
        ),
        (
            "{}",
            &[
                "message: is missing, expected a type such as order:new",
                "payload: is missing, an object is needed (an empty one when there is nothing to say)",
            ],
        ),
        (
            r#"{"message":"order","payload":[]}"#,
            &[
                "message: has no colon, expected noun:verb in lower case such as order:new",
                "payload: must be an object, found an array",
            ],
        ),
        (
            r#"{"message":7,"payload":{}}"#,
            &["message: must be a type such as order:new, found a number"],
        ),
    ] {
        assert_eq!(
            read(text),
            Err(errors.iter().map(|&error| error.to_owned()).collect()),
            "{text}"
        );
    }
}

#[test]
fn what_the_readers_behind_cannot_read_is_not_accepted() {
    for value in [
        r#""\ud800""#,
        "1e999",
        &format!("{}{}", "[".repeat(200), "]".repeat(200)),
    ] {
        let errors = read(&format!(
            r#"{{"message":"order:new","payload":{{"x":{value}}}}}"#
        ))
        .expect_err(value);
        assert!(errors[0].starts_with("payload.x"), "{errors:?}");
    }
}

#[test]
fn the_digest_follows_what_is_kept_and_not_how_it_was_spelt() {
    let one = message(r#"{"message":"order:new","payload":{"a":1}}"#);
    let same = message(r#"{ "payload": {"a":1}, "message": "order:new", "id": "x" }"#);
    let other = message(r#"{"message":"order:new","payload":{"a":2}}"#);
    assert_eq!(digest_of(&one), digest_of(&same));
    assert_ne!(digest_of(&one), digest_of(&other));
    assert_ne!(
        digest_of_key(StoreKey(1), "k"),
        digest_of_key(StoreKey(2), "k")
    );
}

#[test]
fn an_idempotency_key_is_visible_ascii() {
    let longest = "k".repeat(255);
    for key in ["k", "a-1_2:3", longest.as_str()] {
        assert_eq!(check_key(key), Ok(()), "{key}");
    }
    let too_long = "k".repeat(256);
    for key in ["", "a b", "ä", "a\n", too_long.as_str()] {
        assert!(check_key(key).is_err(), "{key}");
    }
}
