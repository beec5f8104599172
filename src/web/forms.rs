//! Bodies and queries of forms, as JSON: `integration[name]=acme` is `{"integration":{"name":"acme"}}`.
//!
//! `a[b]=v` is a member of a member, `a[]=v` an item of an array, a plain `a=v` a member. All values are texts. Where two
//! spellings of one name contradict each other, the later one counts.

use serde_json::{Map, Value, value::RawValue};

use super::{
    error::ApiError,
    extract::{Body, Kind},
};

/// The deepest nesting read.
const MAX_DEPTH: usize = 4;
/// The most pairs read.
const MAX_PAIRS: usize = 5_000;

/// The pairs of a form or query as a JSON object.
///
/// # Errors
/// 400 when the text is no form; 422 when it has too many pairs.
pub fn nested(text: &[u8]) -> Result<Value, ApiError> {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_bytes(text).map_err(ApiError::broken_request)?;
    if pairs.len() > MAX_PAIRS {
        return Err(ApiError::invalid_field(
            "request",
            "body",
            format_args!("has more than {MAX_PAIRS} pairs"),
        ));
    }
    let mut root = Map::new();
    for (name, value) in pairs {
        place(&mut root, &parts_of(&name), Value::String(value));
    }
    Ok(Value::Object(root))
}

/// `a[b][]` is `a`, `b` and the empty text. A name with brackets that do not match is a plain one.
fn parts_of(name: &str) -> Vec<&str> {
    let Some((first, rest)) = name.split_once('[') else {
        return vec![name];
    };
    let Some(inner) = rest.strip_suffix(']').filter(|_| !first.is_empty()) else {
        return vec![name];
    };
    let mut parts = vec![first];
    parts.extend(inner.split("]["));
    if parts.len() > MAX_DEPTH || parts.iter().any(|part| part.contains(['[', ']'])) {
        return vec![name];
    }
    parts
}

fn place(root: &mut Map<String, Value>, parts: &[&str], value: Value) {
    match parts {
        [] => {}
        [name] => {
            root.insert((*name).to_owned(), value);
        }
        [name, ""] => match root.get_mut(*name) {
            Some(Value::Array(items)) => items.push(value),
            _ => {
                root.insert((*name).to_owned(), Value::Array(vec![value]));
            }
        },
        [name, rest @ ..] => {
            let below = root.entry((*name).to_owned()).or_insert(Value::Null);
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            if let Value::Object(members) = below {
                place(members, rest, value);
            }
        }
    }
}

/// The body as one JSON document, whether it came as JSON, as a form, or (without a body) in the query.
///
/// # Errors
/// 415 for other kinds of body, 400 when it is not what it says.
pub fn document(body: &Body, query: &str) -> Result<Box<RawValue>, ApiError> {
    let text = body.bytes.trim_ascii();
    let is_json = body.kind == Kind::Json && (text.starts_with(b"{") || text.starts_with(b"["));
    let value = if is_json {
        return body.json().map(ToOwned::to_owned);
    } else if text.is_empty() && !query.is_empty() {
        nested(query.as_bytes())?
    } else if body.kind == Kind::Form || (body.kind == Kind::Json && text.contains(&b'=')) {
        nested(text)?
    } else if body.kind == Kind::Json {
        return body.json().map(ToOwned::to_owned);
    } else {
        return Err(body.unsupported("application/json and application/x-www-form-urlencoded"));
    };
    serde_json::value::to_raw_value(&value).map_err(|error| ApiError::internal(&error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn brackets_make_objects_and_arrays() {
        let form = b"store_id=54d1&parameters%5Bapi_key%5D=k-123&parameters[order.from]=a+b&enabled%5B%5D=one&enabled[]=two";
        assert_eq!(
            nested(form).expect("a form"),
            json!({
                "store_id": "54d1", "parameters": {"api_key": "k-123", "order.from": "a b"}, "enabled": ["one", "two"],
            })
        );
    }

    #[test]
    fn odd_names_are_plain_names() {
        for name in ["[a]", "a[b", "a]b[", "a[b][c][d][e]", "a[b]c"] {
            let text = serde_urlencoded::to_string([(name, "v")]).expect("a form");
            assert_eq!(
                nested(text.as_bytes()).expect("a form")[name],
                "v",
                "{name}"
            );
        }
        assert_eq!(
            nested(b"a=1&a[b]=2").expect("a form"),
            json!({"a": {"b": "2"}})
        );
    }

    #[test]
    fn a_body_goes_before_the_query() {
        let read = |kind, bytes, query| {
            document(&Body::of(kind, bytes), query).map(|raw| raw.get().to_owned())
        };
        assert_eq!(
            read(Kind::Json, b"{\"a\":1}", "b=2").expect("JSON"),
            "{\"a\":1}"
        );
        assert_eq!(
            read(Kind::Json, b"", "b=2").expect("a query"),
            "{\"b\":\"2\"}"
        );
        assert_eq!(
            read(Kind::Form, b"c=3", "b=2").expect("a form"),
            "{\"c\":\"3\"}"
        );
        assert!(read(Kind::Json, b"", "").is_err());
    }
}
