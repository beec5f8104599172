//! Words and small forms of endpoint.json that need interpreting.

use serde_json::Value;

use crate::domain::integration::{FieldType, compile};

/// The type that a word means, and whether it is a word of the protocol (`checkbox` is one, it stands in a real file).
pub(super) fn field_type(word: &str) -> (FieldType, bool) {
    match word.trim().to_ascii_lowercase().as_str() {
        "string" | "" => (FieldType::String, true),
        "password" => (FieldType::Password, true),
        "boolean" | "checkbox" => (FieldType::Boolean, true),
        "list" => (FieldType::List, true),
        "integer" => (FieldType::Integer, true),
        "float" => (FieldType::Float, true),
        "bool" => (FieldType::Boolean, false),
        "int" => (FieldType::Integer, false),
        "number" | "decimal" | "double" => (FieldType::Float, false),
        "array" | "hash" | "object" => (FieldType::List, false),
        "secret" => (FieldType::Password, false),
        _ => (FieldType::String, false),
    }
}

/// Whether the value of a `contains` filter is meant as a regular expression: `((notification:error)|(notification:warn))`
/// stands in real files, and as plain text it would never be found in any message.
pub(super) fn looks_like_pattern(value: &str) -> bool {
    let grouped = value.contains('(') && value.contains(')') && value.contains('|');
    (grouped || value.contains(".*")) && compile(value).is_ok()
}

/// Identifiers and filters may come as JSON inside a text, as old clients send them; null and blank are nothing.
pub(super) fn retype(value: Option<Value>) -> Option<Value> {
    match value? {
        Value::Null => None,
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => Some(serde_json::from_str(&text).unwrap_or(Value::String(text))),
        other => Some(other),
    }
}
