use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn parse(text: &str) -> Result<Payload, PayloadError> {
    Payload::parse(text, PayloadLimits::default())
}

#[test]
fn a_payload_stays_as_it_was_written() {
    let text = "{ \"b\" : 10.50,\"a\":\"\\u00e9\" ,\"b\":1E2,\n\"c\":[ ] }";
    assert_eq!(parse(&format!(" \r\n{text}\t")).unwrap().as_str(), text);
    assert_eq!(
        Payload::parse_bytes(text.as_bytes(), PayloadLimits::default())
            .unwrap()
            .as_str(),
        text
    );
    assert_eq!(
        Payload::parse_bytes(b"{\"a\":\"\xff\"}", PayloadLimits::default()),
        Err(PayloadError::NotUtf8)
    );
}

#[test]
fn parameters_are_cut_out_however_they_are_spelled() {
    for (given, kept) in [
        (r#"{"parameters":1}"#, "{}"),
        (r#"{ "parameters" : [1,{"a":","}] }"#, "{}"),
        (r#"{"a":1,"parameters":{"b":2}}"#, r#"{"a":1}"#),
        (r#"{"parameters":[], "a" : 1 }"#, r#"{ "a" : 1}"#),
        (
            r#"{"a":1 , "parameters":2 , "b":",3"}"#,
            r#"{"a":1, "b":",3"}"#,
        ),
        (
            r#"{"\u0070arameters":1,"x":{"parameters":2},"parameters":3}"#,
            r#"{"x":{"parameters":2}}"#,
        ),
        (r#"{"Parameters":1}"#, r#"{"Parameters":1}"#),
        (r#"{"a":"parameters"}"#, r#"{"a":"parameters"}"#),
    ] {
        assert_eq!(parse(given).unwrap().as_str(), kept, "{given}");
    }
}

#[test]
fn what_not_every_reader_takes_is_refused_with_its_place() {
    for (text, sentence) in [
        (
            r#"{"order":{"total":1e999}}"#,
            "payload.order.total: number out of range",
        ),
        (
            r#"{"order":{"items":[{},{"sku":"\ud800"}]}}"#,
            "payload.order.items.1.sku: ",
        ),
        (r#"{"a":1} {}"#, "payload: trailing characters"),
        (r#"{"a":1,}"#, "payload: "),
        (r#"{"a":nul}"#, "payload.a: "),
        ("{", "payload: EOF"),
        ("{\"a\":\"\u{1}\"}", "payload.a: control character"),
        ("[1]", "payload: must be an object, found an array"),
        ("\"{}\"", "payload: must be an object, found a text"),
        ("", "payload: must be an object, found nothing"),
        ("null", "payload: must be an object, found null"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(sentence), "{text}: {error}");
    }
    let raw: Box<RawValue> = serde_json::from_str(r#"{"a":"\ud800"}"#).unwrap();
    assert!(Payload::parse_raw(&raw, PayloadLimits::default()).is_err());
}

#[test]
fn nesting_and_length_have_limits() {
    let nested = |levels: usize| {
        format!(
            "{{\"a\":{}{}}}",
            "[".repeat(levels - 1),
            "]".repeat(levels - 1)
        )
    };
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    let error = parse(&nested(MAX_DEPTH + 1)).unwrap_err();
    assert!(
        matches!(
            error,
            PayloadError::TooDeep {
                limit: MAX_DEPTH,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().starts_with("payload.a.0.0"), "{error}");
    let wide = PayloadLimits {
        depth: 5_000,
        ..Default::default()
    };
    assert!(matches!(
        Payload::parse(&nested(5_000), wide),
        Err(PayloadError::TooDeep { .. })
    ));
    let short = PayloadLimits {
        bytes: 3,
        ..Default::default()
    };
    assert_eq!(
        Payload::parse("{  }", short),
        Err(PayloadError::TooLong { found: 4, limit: 3 })
    );
}

#[test]
fn parameters_are_written_behind_the_members() {
    assert_eq!(
        Payload::empty().with_parameters("[]"),
        br#"{"parameters":[]}"#
    );
    assert_eq!(
        parse("{ }").unwrap().with_parameters("[1]"),
        br#"{"parameters":[1]}"#
    );
    let body = parse(r#"{"a":{}}"#)
        .unwrap()
        .with_parameters(r#"[{"name":"x"}]"#);
    assert_eq!(body, br#"{"a":{},"parameters":[{"name":"x"}]}"#);
}

#[test]
fn a_payload_serializes_as_it_is_and_debugs_without_its_text() {
    #[derive(Serialize)]
    struct Message {
        payload: Payload,
    }
    let message = Message {
        payload: parse(r#"{"total": 10.50}"#).unwrap(),
    };
    assert_eq!(
        serde_json::to_string(&message).unwrap(),
        r#"{"payload":{"total": 10.50}}"#
    );
    assert_eq!(format!("{:?}", message.payload), "Payload(16 bytes)");
}

#[test]
fn old_clients_may_send_json_inside_a_text() {
    #[derive(Deserialize)]
    struct Mapping {
        #[serde(default, deserialize_with = "from_json_or_string")]
        filters: Vec<u8>,
    }
    for (text, filters) in [
        (r#"{"filters":[1,2]}"#, vec![1, 2]),
        (r#"{"filters":"[1,2]"}"#, vec![1, 2]),
        (r#"{"filters":" "}"#, vec![]),
        (r#"{"filters":null}"#, vec![]),
        (r#"{}"#, vec![]),
    ] {
        assert_eq!(
            serde_json::from_str::<Mapping>(text).unwrap().filters,
            filters,
            "{text}"
        );
    }
    assert!(serde_json::from_str::<Mapping>(r#"{"filters":"[1"}"#).is_err());
}

/// A document with odd spacing and repeated members; also used by the tests of lookup and identifier.
pub(crate) fn documents() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("-0.10".to_owned()),
        Just("1E+2".to_owned()),
        any::<u32>().prop_map(|number| number.to_string()),
        "[a-c\"\\\\\n é,{}\\[\\]]{0,5}".prop_map(|text| Value::from(text).to_string()),
        Just(r#""\u0061\ud83d\ude00""#.to_owned()),
    ];
    let value = leaf.prop_recursive(4, 40, 5, |inner| {
        let members = prop::collection::vec((name(), gap(), inner.clone()), 0..6);
        prop_oneof![
            (prop::collection::vec(inner, 0..5), gap())
                .prop_map(|(all, gap)| format!("[{}]", all.join(&format!("{gap},")))),
            members.prop_map(object),
        ]
    });
    prop::collection::vec((name(), gap(), value), 0..6).prop_map(object)
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b",
        "0",
        "1",
        "\\u0061",
        "parameters",
        "\\u0070arameters",
        "é",
        "order",
        "*",
    ])
}

fn gap() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", " ", "\n\t"])
}

fn object(members: Vec<(&'static str, &'static str, String)>) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, gap, value)| format!("{gap}\"{name}\"{gap}:{value}{gap}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

proptest! {
    #[test]
    fn only_parameters_are_lost(document in documents()) {
        let payload = parse(&document).unwrap();
        let mut expected: Value = serde_json::from_str(&document).unwrap();
        let had = expected.as_object_mut().unwrap().remove("parameters").is_some();
        let found: Value = serde_json::from_str(payload.as_str()).unwrap();
        prop_assert_eq!(&found, &expected);
        if had {
            prop_assert!(payload.len() < document.len());
            prop_assert_eq!(&parse(payload.as_str()).unwrap(), &payload);
        } else {
            prop_assert_eq!(payload.as_str(), document.trim());
        }
        prop_assert_eq!(payload.is_empty(), expected.as_object().unwrap().is_empty());
        expected["parameters"] = Value::from(vec![1, 2]);
        let body: Value = serde_json::from_slice(&payload.with_parameters("[1, 2]")).unwrap();
        prop_assert_eq!(body, expected);
    }

    #[test]
    fn what_is_accepted_is_what_a_full_reader_accepts(text in "[{}\\[\\]\",:0-9ab\\\\ude.\\- ]{0,12}") {
        let whole = format!("{{\"a\":{text}}}");
        prop_assert_eq!(parse(&whole).is_ok(), serde_json::from_str::<Value>(&whole).is_ok());
    }
}

/// Whether the thorough reader takes a text as it is.
fn is_sound(text: &str, depth: usize) -> bool {
    other_than_object(text).is_none() && check(text, depth).is_ok_and(|parameters| !parameters)
}

#[test]
fn the_quick_look_takes_ordinary_payloads() {
    for text in [
        "{}",
        "{ }",
        r#"{"a":[],"b":{},"c":[{}]}"#,
        "{\"order\":{\"number\":\"R1\",\"total\":-10.50,\"at\":null,\"ok\":[true,false,0]},\n\t\"x\" : \"\\u00e9\\n\\\"\"}",
    ] {
        assert!(is_sound(text, MAX_DEPTH), "{text}");
        assert!(skim(text, MAX_DEPTH, 1).is_some(), "{text}");
    }
    assert!(skim("{\"a\":[{}]}", 3, 1).is_some());
    assert!(skim("{\"a\":[{}]}", 2, 1).is_none());
}

#[test]
fn the_quick_look_notes_outer_members_where_they_stand() {
    let text = r#"{"a":{"b":[{"c":1}],"d":{"e":2}},"f" : "x\n" ,"g":[[],{"h":3}],"i":-1.5}"#;
    let seen: Vec<(usize, &str, &str)> = skim(text, MAX_DEPTH, 2)
        .unwrap()
        .iter()
        .map(|member| (member.depth, member.name, member.value))
        .collect();
    assert_eq!(
        seen,
        [
            (1, "a", r#"{"b":[{"c":1}],"d":{"e":2}}"#),
            (2, "b", r#"[{"c":1}]"#),
            (2, "d", r#"{"e":2}"#),
            (1, "f", "\"x\\n\""),
            (1, "g", r#"[[],{"h":3}]"#),
            (1, "i", "-1.5"),
        ]
    );
    let long = format!("{{\"a\":\"{}\u{e9}{}\"}}", "x".repeat(13), "y".repeat(40));
    assert!(skim(&long, 1, 1).is_some());
    for broken in ["\u{1}", "\n", "\\", "\u{1f}"] {
        let text = format!("{{\"a\":\"{}{broken}{}\"}}", "x".repeat(21), "y".repeat(11));
        assert!(skim(&text, 1, 1).is_none(), "{text:?}");
    }
}

proptest! {
    /// Texts of the pieces that JSON is made of, most of them broken.
    #[test]
    fn the_quick_look_takes_nothing_that_the_thorough_one_refuses(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"parameters\"", "\"\\u0070arameters\"", "\"\\ud800\"", "\"\\u00e9\"", "\"\\x\"",
            "\"", "\\", "1", "-", "0", "01", "1.", "1.5", "1e5", "1e999", "true", "tru", "null", "false", " ", "\n", "\u{1}", "\u{e9}", "\"\\n\"",
        ]), 0..12),
        inside in any::<bool>(),
        depth in 1_usize..4,
    ) {
        let text = pieces.concat();
        let text = if inside { format!("{{\"a\":{text}}}") } else { format!("{{{text}}}") };
        let payload = skim(&text, depth, 1).and_then(|members| Payload::of_members(&text, &members, 1));
        prop_assert!(payload.is_none() || is_sound(&text, depth), "{}", text);
    }
}
