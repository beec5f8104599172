//! Merging what somebody says of an object with what is known of it.
//!
//! In the second dialect partial objects are normal: an endpoint that stored order R1 in a shop returns `{"id":"R1","shopify_id":"88"}`,
//! and a push of `{"id":"R1","status":"canceled"}` is an update (WIRE B.4, B.5). The rules:
//!
//! - **Shallow.** A member of the partial object replaces the known member of that name as a whole, nested objects and arrays
//!   included: nothing says how rows of an array would be told apart, and a list of items that shrank must be able to shrink.
//! - A member that is null replaces as well; a member that is left out stays as it is.
//! - Known members keep their place and their bytes; new ones follow in the order of the partial object.
//! - A member counts as changed when its value differs as JSON: the order of members and the way a text is escaped do not
//!   matter, `10.0` and `10` do. The `id` is never a change: `88` and `"88"` name the same object.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::Text;

/// The member that names an object.
const ID: &str = "id";

/// What a merge came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing was known: the partial object is now all that is.
    New,
    /// These members are new or have another value.
    Changed {
        /// Their names, in the order of the merged object.
        members: Vec<String>,
    },
    /// Everything said was known already.
    Unchanged,
}

/// An object after a merge.
#[derive(Clone, PartialEq, Eq)]
pub struct Merged {
    /// The whole object as JSON text. When nothing changed, the known text byte for byte.
    pub raw: String,
    /// Whether anything changed.
    pub change: Change,
}

impl fmt::Debug for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Merged({} bytes, {:?})", self.raw.len(), self.change)
    }
}

/// Why two objects cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// What is known is no object; it was stored by something else.
    #[error("what is known of the object is no JSON object: {problem}")]
    Known {
        /// The reader's words.
        problem: String,
    },
    /// What was said is no object.
    #[error("is no JSON object: {problem}")]
    Partial {
        /// The reader's words.
        problem: String,
    },
}

/// Merges `partial` into `known`, both JSON objects as text.
///
/// # Errors
/// When one of them is no object.
pub fn merge(known: Option<&str>, partial: &str) -> Result<Merged, MergeError> {
    let said = Members::read(partial).map_err(|problem| MergeError::Partial { problem })?;
    let Some(known) = known else {
        return Ok(Merged {
            raw: partial.trim().to_owned(),
            change: Change::New,
        });
    };
    let own = Members::read(known).map_err(|problem| MergeError::Known { problem })?;
    let by_name: HashMap<&str, &RawValue> = said.last_by_name();
    let mut changed = Vec::new();
    let mut out = Writer::default();
    for (name, value) in own.once() {
        match by_name.get(name) {
            Some(new) if name != ID && !alike(value, new) => {
                changed.push(name.to_owned());
                out.member(name, new.get());
            }
            _ => out.member(name, value.get()),
        }
    }
    let had = own.last_by_name();
    for (name, value) in said.once() {
        if !had.contains_key(name) {
            changed.push(name.to_owned());
            out.member(name, value.get());
        }
    }
    Ok(if changed.is_empty() {
        Merged {
            raw: known.to_owned(),
            change: Change::Unchanged,
        }
    } else {
        Merged {
            raw: out.end(),
            change: Change::Changed { members: changed },
        }
    })
}

/// Whether two raw values are the same JSON.
fn alike(one: &RawValue, other: &RawValue) -> bool {
    if one.get() == other.get() {
        return true;
    }
    let read = |raw: &RawValue| serde_json::from_str::<serde_json::Value>(raw.get()).ok();
    matches!((read(one), read(other)), (Some(one), Some(other)) if one == other)
}

/// An object's members in order, values unread.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Where a name stands twice, the last one counts.
    fn last_by_name(&self) -> HashMap<&str, &'a RawValue> {
        self.0
            .iter()
            .map(|(name, value)| (&**name, *value))
            .collect()
    }

    /// Each name once, at its first place, with its last value.
    fn once(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        let mut last = self.last_by_name();
        self.0
            .iter()
            .filter_map(move |(name, _)| last.remove(&**name).map(|value| (&**name, value)))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key_seed(Text)? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Writes an object member by member.
#[derive(Default)]
struct Writer(String);

impl Writer {
    fn member(&mut self, name: &str, raw: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&serde_json::Value::from(name).to_string());
        self.0.push(':');
        self.0.push_str(raw);
    }

    fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changed(names: &[&str]) -> Change {
        Change::Changed {
            members: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn an_unknown_object_is_new() {
        let merged = merge(None, r#" {"id":"R1"} "#).unwrap();
        assert_eq!(merged.change, Change::New);
        assert_eq!(merged.raw, r#"{"id":"R1"}"#);
    }

    #[test]
    fn a_partial_object_adds_its_members_and_leaves_the_rest_byte_for_byte() {
        let merged = merge(
            Some(r#"{"id":"R1","total":10.50,"items":[ 1 ]}"#),
            r#"{"id":"R1","shopify_id":"88","total":11}"#,
        )
        .unwrap();
        assert_eq!(merged.change, changed(&["total", "shopify_id"]));
        assert_eq!(
            merged.raw,
            r#"{"id":"R1","total":11,"items":[ 1 ],"shopify_id":"88"}"#
        );
    }

    #[test]
    fn what_was_known_already_changes_nothing_however_it_is_written() {
        let known = r#"{"id":88,"address":{"city":"Easton","zip":"1"},"name":"Zoë"}"#;
        let merged = merge(
            Some(known),
            r#"{"name":"Zo\u00eb","id":"88","address":{"zip":"1","city":"Easton"}}"#,
        )
        .unwrap();
        assert_eq!(merged.change, Change::Unchanged);
        assert_eq!(merged.raw, known);
    }

    #[test]
    fn a_nested_member_is_replaced_as_a_whole() {
        let merged = merge(
            Some(r#"{"id":"R1","address":{"city":"Easton","zip":"1"}}"#),
            r#"{"address":{"zip":"2"}}"#,
        )
        .unwrap();
        assert_eq!(merged.raw, r#"{"id":"R1","address":{"zip":"2"}}"#);
        assert_eq!(merged.change, changed(&["address"]));
    }

    #[test]
    fn null_replaces_and_absence_does_not() {
        let merged = merge(Some(r#"{"id":"R1","a":1,"b":2}"#), r#"{"a":null}"#).unwrap();
        assert_eq!(merged.raw, r#"{"id":"R1","a":null,"b":2}"#);
    }

    #[test]
    fn the_last_of_repeated_members_counts() {
        let merged = merge(Some(r#"{"a":1,"a":2}"#), r#"{"a":3,"a":2,"b":1,"b":5}"#).unwrap();
        assert_eq!(merged.raw, r#"{"a":2,"b":5}"#);
        assert_eq!(merged.change, changed(&["b"]));
    }

    #[test]
    fn only_objects_are_merged() {
        assert!(matches!(
            merge(None, "[1]"),
            Err(MergeError::Partial { .. })
        ));
        assert!(matches!(
            merge(Some("7"), "{}"),
            Err(MergeError::Known { .. })
        ));
    }

    proptest! {
        #[test]
        fn saying_the_same_again_changes_nothing(
            known in proptest::collection::btree_map("[a-d]{1,2}", 0u8..4, 0..6),
            said in proptest::collection::btree_map("[a-d]{1,2}", 0u8..4, 0..6),
        ) {
            let known = serde_json::to_string(&known).unwrap();
            let said = serde_json::to_string(&said).unwrap();
            let first = merge(Some(&known), &said).unwrap();
            let second = merge(Some(&first.raw), &said).unwrap();
            prop_assert_eq!(second.change, Change::Unchanged);
            prop_assert_eq!(second.raw, first.raw);
        }
    }
}
