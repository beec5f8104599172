use proptest::prelude::*;

use super::*;
use crate::domain::json::{Payload, PayloadLimits, from_json_or_string};
use crate::domain::lookup::RootView;

fn with_found<T>(
    identifiers: &str,
    payload: &str,
    then: impl FnOnce(&CompiledIdentifiers, &Found<'_>) -> T,
) -> T {
    let identifiers: Identifiers = serde_json::from_str(identifiers).unwrap();
    let payload = Payload::parse(payload, PayloadLimits::default()).unwrap();
    let mut paths = PathSet::new();
    let compiled = CompiledIdentifiers::compile(&identifiers, &mut paths);
    let root = RootView {
        message: "order:new",
        message_id: None,
        store_id: None,
        source: None,
        parent_id: None,
        payload: &payload,
    };
    then(&compiled, &paths.lookup(&root))
}

fn claim(identifiers: &str, payload: &str) -> Option<ClaimKey> {
    with_found(identifiers, payload, CompiledIdentifiers::claim)
}

const TWO: &str = r#"{"number":"payload.n","skus":"payload.s.*"}"#;

#[test]
fn the_key_of_a_message_never_changes() {
    let key = claim(TWO, r#"{"n":"R123","s":["A",null,{"b": 1}]}"#).unwrap();
    assert_eq!(key.to_string(), "f4a17306b8a51e20167d4a3772be123d");
    assert_eq!(ClaimKey::from_bytes(*key.as_bytes()), key);
}

#[test]
fn a_missing_path_is_null_and_all_null_claims_nothing() {
    assert_eq!(claim(TWO, "{}"), None);
    assert_eq!(claim(TWO, r#"{"n":null,"s":[]}"#), None);
    assert_eq!(claim("{}", r#"{"n":1}"#), None);
    assert_eq!(
        claim(TWO, r#"{"n":1}"#),
        claim(TWO, r#"{"n":1,"s":[null]}"#)
    );
    assert_ne!(
        claim(TWO, r#"{"n":1}"#),
        claim(TWO, r#"{"n":1,"s":[null,null]}"#)
    );
    assert_ne!(claim(TWO, r#"{"n":1}"#), claim(TWO, r#"{"n":1,"s":[""]}"#));
    assert_ne!(
        claim(TWO, r#"{"n":1,"s":[null,1]}"#),
        claim(TWO, r#"{"n":1,"s":["null",1]}"#)
    );
}

#[test]
fn values_are_compared_as_text_and_lists_in_order() {
    assert_eq!(claim(TWO, r#"{"n":1}"#), claim(TWO, r#"{"n":"1"}"#));
    assert_ne!(claim(TWO, r#"{"n":1.0}"#), claim(TWO, r#"{"n":1}"#));
    assert_ne!(claim(TWO, r#"{"s":[1,2]}"#), claim(TWO, r#"{"s":[2,1]}"#));
    assert_ne!(
        claim(TWO, r#"{"s":["ab"]}"#),
        claim(TWO, r#"{"s":["a","b"]}"#)
    );
    assert_eq!(
        claim(TWO, r#"{"n":{"a": "x \" y" }}"#),
        claim(TWO, r#"{"n": {"a":"x \" y"}}"#)
    );
    assert_ne!(
        claim(TWO, r#"{"n":{"a":"xy"}}"#),
        claim(TWO, r#"{"n":{"a":"x y"}}"#)
    );
    assert_ne!(claim(TWO, r#"{"n":"{}"}"#), claim(TWO, r#"{"n":{}}"#));
}

#[test]
fn the_order_of_identifiers_does_not_matter_but_their_names_do() {
    let message = r#"{"n":1,"s":[2]}"#;
    let turned = r#"{"skus":"payload.s.*","number":"payload.n"}"#;
    assert_eq!(claim(TWO, message), claim(turned, message));
    assert_ne!(
        claim(TWO, message),
        claim(r#"{"no":"payload.n","skus":"payload.s.*"}"#, message)
    );
}

#[test]
fn a_claim_can_be_told_to_people() {
    let told = |payload: &str| with_found(TWO, payload, CompiledIdentifiers::describe);
    assert_eq!(
        told(r#"{"n":"R1\n23","s":["A","B"]}"#),
        "number=R123 skus=[A, B]"
    );
    assert_eq!(told(r#"{"s":["A"]}"#), "number=null skus=A");
    let long = told(&format!(r#"{{"n":"{}"}}"#, "é".repeat(500)));
    assert_eq!(long.chars().count(), MAX_DESCRIPTION_CHARS);
    assert!(long.ends_with('…'));
}

#[test]
fn identifiers_are_an_object_of_texts() {
    let text = r#"{"z":"payload.z","a":"payload.a"}"#;
    let identifiers: Identifiers = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&identifiers).unwrap(), text);
    #[derive(Deserialize)]
    struct Mapping {
        #[serde(deserialize_with = "from_json_or_string")]
        identifiers: Identifiers,
    }
    let mapping: Mapping =
        serde_json::from_str(r#"{"identifiers":"{\"a\": \"payload.a\"}"}"#).unwrap();
    assert_eq!(mapping.identifiers.iter().count(), 1);
    for (text, sentence) in [
        (
            r#"{"a":"payload..a"}"#,
            "identifiers.a: segment 2 of the path is empty",
        ),
        (r#"{"a":"x","a":"y"}"#, "identifiers.a: stands twice"),
        (r#"{"":"x"}"#, "identifiers: a name must have"),
        (r#"{"a":1}"#, "invalid type"),
    ] {
        let error = serde_json::from_str::<Identifiers>(text)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(sentence), "{error}");
    }
}

proptest! {
    #[test]
    fn claims_are_equal_exactly_when_values_are(
        a in prop::collection::vec("[ab]{0,2}", 0..3), b in "[ab]{0,2}",
        c in prop::collection::vec("[ab]{0,2}", 0..3), d in "[ab]{0,2}",
    ) {
        let of = |list: &Vec<String>, text: &str| {
            claim(TWO, &serde_json::json!({ "s": list, "n": text }).to_string())
        };
        prop_assert_eq!(of(&a, &b) == of(&c, &d), a == c && b == d);
    }
}
