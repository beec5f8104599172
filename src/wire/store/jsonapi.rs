//! The Platform API's documents, put together again.
//!
//! JSON:API (jsonapi.org, 1.0) sends an order's attributes in one place and its line items, variants, payments and addresses
//! in another, tied by type and id. [`join`] makes the document that the older API sent in one piece, so that everything
//! behind reads one form: attributes become members, a relationship becomes the object or the list it points to.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::list::ListError;

/// A page of joined documents.
#[derive(Debug)]
pub struct JoinedPage {
    /// Each an object.
    pub documents: Vec<Value>,
    /// How many pages there are. `links.next` tells nothing: at the end it names the last page again.
    pub pages: Option<u64>,
    /// How many rows there are in all.
    pub total: Option<u64>,
}

#[derive(Deserialize)]
struct Body {
    data: Value,
    #[serde(default)]
    included: Vec<Value>,
    #[serde(default)]
    meta: Value,
}

/// How deep relationships are followed: order, line item, variant, its option values.
const DEPTH: usize = 3;

/// Relationships that have other names in the older documents.
const RENAMED: [(&str, &str); 3] = [
    ("billing_address", "bill_address"),
    ("shipping_address", "ship_address"),
    ("all_adjustments", "adjustments"),
];

/// Reads an answer, a list or a single document, and joins each document with what came along.
///
/// # Errors
/// [`ListError`].
pub fn join(text: &str) -> Result<JoinedPage, ListError> {
    let body: Body =
        serde_json::from_str(text).map_err(|_| ListError::NoList("data".to_owned()))?;
    let included: HashMap<(String, String), &Value> = body
        .included
        .iter()
        .filter_map(|part| Some((key(part)?, part)))
        .collect();
    let resources = match &body.data {
        Value::Array(resources) => resources.as_slice(),
        Value::Null => &[],
        one => std::slice::from_ref(one),
    };
    Ok(JoinedPage {
        documents: resources
            .iter()
            .map(|resource| flatten(resource, &included, DEPTH))
            .collect(),
        pages: body.meta.get("total_pages").and_then(Value::as_u64),
        total: body.meta.get("total_count").and_then(Value::as_u64),
    })
}

fn key(resource: &Value) -> Option<(String, String)> {
    let kind = resource.get("type")?.as_str()?;
    let id = super::row::text(resource.get("id")?)?;
    Some((kind.to_owned(), id))
}

fn flatten(resource: &Value, included: &HashMap<(String, String), &Value>, depth: usize) -> Value {
    let mut members = match resource.get("attributes") {
        Some(Value::Object(attributes)) => attributes.clone(),
        _ => Map::new(),
    };
    if let Some(id) = resource.get("id") {
        members.insert("id".to_owned(), id.clone());
    }
    let relationships = resource.get("relationships").and_then(Value::as_object);
    for (name, relationship) in relationships.into_iter().flatten() {
        let name = RENAMED
            .iter()
            .find(|(given, _)| given == name)
            .map_or(name.as_str(), |(_, meant)| meant);
        match relationship.get("data") {
            Some(Value::Array(references)) => {
                let parts: Vec<Value> = references
                    .iter()
                    .map(|reference| follow(reference, included, depth))
                    .collect();
                // Both `adjustments` and `all_adjustments` may be there: the longer one is the whole.
                let known = members
                    .get(name)
                    .and_then(Value::as_array)
                    .map_or(0, Vec::len);
                if parts.len() >= known {
                    members.insert(name.to_owned(), Value::Array(parts));
                }
            }
            Some(reference @ Value::Object(_)) => {
                let part = follow(reference, included, depth);
                if let Some(id) = part.get("id") {
                    members.insert(format!("{name}_id"), id.clone());
                }
                members.insert(name.to_owned(), part);
            }
            _ => {}
        }
    }
    Value::Object(members)
}

/// What a reference points to; of what was not sent along, only the id is known.
fn follow(reference: &Value, included: &HashMap<(String, String), &Value>, depth: usize) -> Value {
    match key(reference).and_then(|key| included.get(&key)) {
        Some(part) if depth > 0 => flatten(part, included, depth - 1),
        _ => reference
            .get("id")
            .map_or(Value::Null, |id| serde_json::json!({ "id": id })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_put_together_from_its_parts() {
        let page = join(
            r#"{"data":[{"id":"9","type":"order","attributes":{"number":"R9","total":"4.0"},"relationships":{
                "line_items":{"data":[{"id":"5","type":"line_item"}]},
                "billing_address":{"data":{"id":"1","type":"address"}},
                "user":{"data":{"id":"37","type":"user"}},"market":{"data":null}}}],
              "included":[{"id":"5","type":"line_item","attributes":{"quantity":2},
                "relationships":{"variant":{"data":{"id":"3","type":"variant"}}}},
                {"id":"3","type":"variant","attributes":{"sku":"TOTE"}},
                {"id":"1","type":"address","attributes":{"city":"Easton"}}],
              "meta":{"total_pages":4,"total_count":80}}"#,
        )
        .unwrap();
        assert_eq!((page.pages, page.total), (Some(4), Some(80)));
        let expected = serde_json::json!({
            "id": "9", "number": "R9", "total": "4.0",
            "line_items": [{"id": "5", "quantity": 2, "variant_id": "3", "variant": {"id": "3", "sku": "TOTE"}}],
            "bill_address": {"id": "1", "city": "Easton"}, "bill_address_id": "1",
            "user": {"id": "37"}, "user_id": "37",
        });
        assert_eq!(page.documents, [expected]);
    }

    #[test]
    fn parts_that_point_at_each_other_come_to_an_end() {
        let page = join(
            r#"{"data":{"id":"1","type":"a","relationships":{"b":{"data":{"id":"2","type":"b"}}}},
              "included":[{"id":"2","type":"b","relationships":{"a":{"data":{"id":"1","type":"a"}}}},
                {"id":"1","type":"a","relationships":{"b":{"data":{"id":"2","type":"b"}}}}]}"#,
        )
        .unwrap();
        assert_eq!(page.documents.len(), 1);
    }
}
