use super::*;
use crate::domain::json::{Payload, PayloadLimits, from_json_or_string};
use crate::domain::lookup::RootView;

fn filters(text: &str) -> Vec<Filter> {
    serde_json::from_str(text).unwrap()
}

fn judge(filters: &[Filter], payload: &str) -> Verdict {
    let payload = Payload::parse(payload, PayloadLimits::default()).unwrap();
    let mut paths = PathSet::new();
    let compiled = CompiledFilters::compile(filters, &mut paths).unwrap();
    let root = RootView {
        message: "order:new",
        message_id: None,
        store_id: None,
        source: None,
        parent_id: None,
        payload: &payload,
    };
    compiled.matches(&paths.lookup(&root))
}

/// Whether one filter on `payload.v` holds; `v` and `value` are raw JSON, blank for absent.
fn holds(v: &str, operator: &str, value: &str) -> bool {
    let value = if value.is_empty() {
        String::new()
    } else {
        format!(",\"value\":{value}")
    };
    let filter = format!(r#"[{{"path":"payload.v","operator":"{operator}"{value}}}]"#);
    let payload = if v.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{\"v\":{v}}}")
    };
    judge(&filters(&filter), &payload) == Verdict::Passed
}

#[test]
fn equality_is_that_of_the_text() {
    assert!(holds(r#""complete""#, "eq", r#""complete""#));
    assert!(!holds(r#""Complete""#, "eq", r#""complete""#));
    assert!(holds("10.50", "eq", r#""10.50""#));
    assert!(holds("10.50", "eq", "10.50"));
    assert!(!holds("10.0", "eq", "10"));
    assert!(holds("true", "eq", r#""true""#));
    assert!(holds(r#""true""#, "eq", "true"));
    assert!(holds("null", "eq", ""));
    assert!(holds(r#""x""#, "neq", r#""y""#));
    assert!(!holds(r#""x""#, "neq", r#""x""#));
}

#[test]
fn greater_and_less_want_numbers_on_both_sides() {
    assert!(holds("10", "gt", r#""9.5""#));
    assert!(holds(r#"" 9 ""#, "lt", "9.5"));
    assert!(!holds("9", "gt", "9"));
    assert!(!holds(r#""ten""#, "gt", "1"));
    assert!(!holds(r#""inf""#, "gt", "1"));
    assert!(!holds("null", "lt", "1"));
}

#[test]
fn parts_of_a_text_are_compared_with_their_case() {
    assert!(holds(r#""R123""#, "begin", r#""R1""#));
    assert!(holds(r#""R123""#, "contains", r#""12""#));
    assert!(holds(r#""R123""#, "end", r#""23""#));
    assert!(!holds(r#""R123""#, "begin", r#""r1""#));
    assert!(
        holds(r#""a.*b""#, "contains", r#"".*""#),
        "regex-looking text in contains is a text"
    );
    assert!(holds("[1, 2]", "contains", r#""1, 2""#));
}

#[test]
fn match_finds_a_regular_expression_anywhere() {
    assert!(holds(r#""R123""#, "match", r#""\\d{3}$""#));
    assert!(!holds(r#""R123""#, "match", r#""^\\d""#));
}

#[test]
fn null_the_empty_text_and_the_text_null_are_empty() {
    for v in ["", "null", r#""""#, r#""null""#] {
        assert!(holds(v, "empty", ""), "{v}");
        assert!(!holds(v, "present", ""), "{v}");
    }
    for v in ["0", "false", "[]", "{}", r#"" ""#, r#""Null""#] {
        assert!(holds(v, "present", ""), "{v}");
        assert!(!holds(v, "empty", ""), "{v}");
    }
}

#[test]
fn a_path_that_finds_nothing_counts_as_one_null() {
    assert!(holds("", "neq", r#""x""#));
    assert!(holds("", "empty", ""));
    for (operator, value) in [
        ("eq", "\"x\""),
        ("gt", "0"),
        ("lt", "1"),
        ("begin", "\"\""),
        ("contains", "\"\""),
        ("end", "\"\""),
        ("match", "\".*\""),
    ] {
        assert!(!holds("", operator, value), "{operator}");
        assert!(!holds("null", operator, value), "{operator}");
    }
}

#[test]
fn several_values_pass_all_or_any() {
    let all = filters(r#"[{"path":"payload.v.*","operator":"gt","value":1}]"#);
    let any = filters(r#"[{"path":"payload.v.*","operator":"gt","value":1,"match_rule":"any"}]"#);
    assert_eq!(judge(&all, r#"{"v":[1,2]}"#), Verdict::Refused { index: 0 });
    assert_eq!(judge(&all, r#"{"v":[3,2]}"#), Verdict::Passed);
    assert_eq!(judge(&any, r#"{"v":[1,2]}"#), Verdict::Passed);
    assert_eq!(judge(&any, r#"{"v":[]}"#), Verdict::Refused { index: 0 });
}

#[test]
fn a_refusal_names_the_first_filter_that_fails() {
    let list = filters(
        r#"[{"path":"message","operator":"begin","value":"order:"},
            {"path":"payload.order.status","operator":"eq","value":"complete"},
            {"path":"payload.order.status","operator":"eq","value":"done"}]"#,
    );
    assert_eq!(
        judge(&list, r#"{"order":{"status":"cart"}}"#),
        Verdict::Refused { index: 1 }
    );
    assert_eq!(list[1].to_string(), "payload.order.status eq complete");
    assert_eq!(judge(&[], "{}"), Verdict::Passed);
}

#[test]
fn filters_come_out_as_they_went_in() {
    let text = r#"[{"path":"payload.a","operator":"eq","value":10.50},{"path":"payload.b","operator":"present"},{"path":"message","operator":"neq","value":"x","match_rule":"any"}]"#;
    let list = filters(text);
    assert_eq!(serde_json::to_string(&list).unwrap(), text);

    #[derive(Deserialize)]
    struct Mapping {
        #[serde(deserialize_with = "from_json_or_string")]
        filters: Vec<Filter>,
    }
    let nested = format!("{{\"filters\":{text}}}");
    assert_eq!(
        serde_json::from_str::<Mapping>(&nested).unwrap().filters,
        list
    );
    let in_text = format!("{{\"filters\":{}}}", serde_json::Value::from(text));
    assert_eq!(
        serde_json::from_str::<Mapping>(&in_text).unwrap().filters,
        list
    );
    let tree: serde_json::Value = serde_json::from_str(&nested).unwrap();
    assert_eq!(
        serde_json::from_value::<Mapping>(tree)
            .unwrap()
            .filters
            .len(),
        3
    );
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    for text in [
        r#"[{"path":"payload.a","operator":"equals","value":1}]"#,
        r#"[{"path":"","operator":"eq","value":1}]"#,
        r#"[{"path":"payload.a","operator":"eq","value":[1]}]"#,
        r#"[{"path":"payload.a","operator":"eq","wert":1}]"#,
        r#"[{"path":"payload.a","operator":"eq","value":1,"match_rule":"some"}]"#,
    ] {
        assert!(serde_json::from_str::<Vec<Filter>>(text).is_err(), "{text}");
    }
    for (operator, value, sentence) in [
        (
            "match",
            r#""(""#,
            "filters[0].value: is no regular expression: unclosed group",
        ),
        (
            "match",
            r#""\\w{900}""#,
            "filters[0].value: is too large a regular expression",
        ),
        (
            "gt",
            r#""x""#,
            "filters[0].value: must be a number for the operator gt",
        ),
        (
            "contains",
            "null",
            "filters[0].value: is needed by the operator contains",
        ),
    ] {
        let list = filters(&format!(
            r#"[{{"path":"payload.a","operator":"{operator}","value":{value}}}]"#
        ));
        let error = CompiledFilters::compile(&list, &mut PathSet::new()).unwrap_err();
        assert_eq!(error.to_string(), sentence);
    }
    let mut one = filters(r#"[{"path":"payload.a","operator":"eq","value":"x"}]"#);
    let many = vec![one[0].clone(); MAX_FILTERS + 1];
    assert_eq!(
        CompiledFilters::compile(&many, &mut PathSet::new()).unwrap_err(),
        FilterError::TooMany { found: 51 }
    );
    one[0].value = Some(FilterValue::of_text(&"x".repeat(MAX_VALUE_BYTES + 1)));
    assert!(CompiledFilters::compile(&one, &mut PathSet::new()).is_err());
}
