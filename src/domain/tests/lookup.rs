use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::domain::json::PayloadLimits;

fn payload(text: &str) -> Payload {
    Payload::parse(text, PayloadLimits::default()).unwrap()
}

fn view(payload: &Payload) -> RootView<'_> {
    RootView {
        message: "order:new",
        message_id: Some("m1"),
        store_id: Some("s1"),
        source: None,
        parent_id: None,
        payload,
    }
}

/// The values of one path, as text with their kind's letter.
fn find(text: &str, path: &str) -> Vec<String> {
    let mut paths = PathSet::new();
    let id = paths.add(&Path::parse(path).unwrap());
    let payload = payload(text);
    shown(paths.lookup(&view(&payload)).values(id))
}

fn shown(values: &[Scalar<'_>]) -> Vec<String> {
    let letter = |value: &Scalar<'_>| match value {
        Scalar::Null => 'z',
        Scalar::Bool(_) => 'b',
        Scalar::Number(_) => 'n',
        Scalar::Text(_) => 't',
        Scalar::Composite(_) => 'c',
    };
    values
        .iter()
        .map(|value| format!("{} {}", letter(value), value.as_text()))
        .collect()
}

#[test]
fn values_keep_their_text() {
    let text = r#"{"a":{"n":10.50,"t":"x\u00e9","b":true,"z":null,"c":[ 1 ]}}"#;
    assert_eq!(find(text, "payload.a.n"), ["n 10.50"]);
    assert_eq!(find(text, "payload.a.t"), ["t xé"]);
    assert_eq!(find(text, "payload.a.b"), ["b true"]);
    assert_eq!(find(text, "payload.a.z"), ["z "]);
    assert_eq!(find(text, "payload.a.c"), ["c [ 1 ]"]);
    assert_eq!(find(text, "payload"), [format!("c {text}")]);
    assert!(find(text, "payload.a.missing").is_empty());
    assert!(find(text, "payload.a.n.deeper").is_empty());
    assert!(find(text, "a.n").is_empty());
}

#[test]
fn root_members_are_found_and_lead_nowhere() {
    assert_eq!(find("{}", "message"), ["t order:new"]);
    assert_eq!(find("{}", "message_id"), ["t m1"]);
    assert_eq!(find("{}", "store_id"), ["t s1"]);
    assert!(find("{}", "source").is_empty());
    assert!(find("{}", "message.more").is_empty());
}

#[test]
fn a_star_walks_arrays_and_a_number_picks_an_element() {
    let text = r#"{"s":[{"i":[{"sku":"A"},{"sku":"B"}]},{"i":[]},7,{"i":[{"sku":"C"},{}]}],"o":{"1":"one","x":2}}"#;
    assert_eq!(find(text, "payload.s.*.i.*.sku"), ["t A", "t B", "t C"]);
    assert_eq!(find(text, "payload.s.0.i.1.sku"), ["t B"]);
    assert_eq!(find(text, "payload.s.2"), ["n 7"]);
    assert_eq!(find(text, "payload.s.*.i.0.sku"), ["t A", "t C"]);
    assert_eq!(find(text, "payload.o.1"), ["t one"]);
    assert!(find(text, "payload.o.*").is_empty());
    assert!(find(text, "payload.s.00").is_empty());
}

#[test]
fn the_last_of_repeated_members_counts() {
    assert_eq!(
        find(r#"{"a":{"b":1},"c":0,"a":{"b":2}}"#, "payload.a.b"),
        ["n 2"]
    );
    assert!(find(r#"{"a":{"b":1},"a":{}}"#, "payload.a.b").is_empty());
    assert_eq!(
        find(r#"{"a":[1,2,3],"\u0061":[4]}"#, "payload.a.*"),
        ["n 4"]
    );
}

#[test]
fn a_path_is_added_once() {
    let mut paths = PathSet::new();
    assert!(paths.is_empty());
    let first = paths.add(&Path::parse("payload.a").unwrap());
    let second = paths.add(&Path::parse("payload").unwrap());
    assert_eq!(paths.add(&Path::parse("payload.a").unwrap()), first);
    assert_ne!(first, second);
    assert_eq!(paths.len(), 2);
    assert!(paths.lookup(&view(&payload("{}"))).values(first).is_empty());
}

/// The same rules on a tree.
fn walk(value: &Value, segments: &[Segment], out: &mut Vec<Value>) {
    match (segments, value) {
        ([], _) => out.push(value.clone()),
        ([Segment::Each, rest @ ..], Value::Array(all)) => {
            all.iter().for_each(|one| walk(one, rest, out))
        }
        ([Segment::Name { name, .. }, rest @ ..], Value::Object(members)) => {
            members
                .get(&**name)
                .into_iter()
                .for_each(|one| walk(one, rest, out));
        }
        (
            [
                Segment::Name {
                    index: Some(index), ..
                },
                rest @ ..,
            ],
            Value::Array(all),
        ) => {
            all.get(*index)
                .into_iter()
                .for_each(|one| walk(one, rest, out));
        }
        _ => {}
    }
}

/// A found value as a tree.
fn tree(value: &Scalar<'_>) -> Value {
    match value {
        Scalar::Null => Value::Null,
        Scalar::Bool(yes) => Value::Bool(*yes),
        Scalar::Number(text) | Scalar::Composite(text) => serde_json::from_str(text).unwrap(),
        Scalar::Text(text) => Value::from(&**text),
    }
}

fn paths() -> impl Strategy<Value = Vec<String>> {
    let segment = prop::sample::select(vec!["a", "b", "0", "1", "*", "*", "é", "order"]);
    let path = prop::collection::vec(segment, 0..5).prop_map(|segments| {
        let mut path = String::from("payload");
        segments
            .iter()
            .for_each(|segment| path.extend([".", segment]));
        path
    });
    prop::collection::vec(path, 1..12)
}

proptest! {
    #[test]
    fn one_pass_finds_what_a_walk_on_a_tree_finds(
        document in crate::domain::json::tests::documents(),
        texts in paths(),
    ) {
        let payload = payload(&document);
        let whole: Value = serde_json::from_str(payload.as_str()).unwrap();
        let parsed: Vec<Path> = texts.iter().map(|text| Path::parse(text).unwrap()).collect();
        let mut set = PathSet::new();
        let ids: Vec<PathId> = parsed.iter().map(|path| set.add(path)).collect();
        let found = set.lookup(&view(&payload));
        for (path, id) in parsed.iter().zip(ids) {
            let mut expected = Vec::new();
            walk(&whole, &path.segments()[1..], &mut expected);
            let values: Vec<Value> = found.values(id).iter().map(tree).collect();
            prop_assert_eq!(values, expected, "{}", path);
        }
    }
}
