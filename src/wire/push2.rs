//! `POST /push`: objects pushed in the second dialect.
//!
//! The body is `{"orders":[{...}],"products":[...]}`; a partial object is an update (WIRE B.5). Root names are small letters, `-` and `_`, values
//! arrays of objects with an `id`; one shipped example pushes a single object under the singular name, which is accepted too. It is all or
//! nothing: clients look at the status only, so a push of which half was taken could not be told from one that was taken whole.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{
    dialect1::Members,
    dialect2::{MAX_OBJECTS, read_object, singular},
};
use crate::domain::settle::{ReturnedObject, cut};

/// The most sentences about one push.
const MAX_SENTENCES: usize = 50;

/// A push, read and checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Push {
    /// Its objects in the order of the body.
    pub objects: Vec<ReturnedObject>,
    /// How many came under each root name: the answer.
    pub counts: BTreeMap<String, usize>,
}

impl Push {
    /// The body of the 202: `{"orders":2}`.
    #[must_use]
    pub fn answer(&self) -> String {
        serde_json::Value::from_iter(
            self.counts
                .iter()
                .map(|(name, count)| (name.clone(), serde_json::Value::from(*count))),
        )
        .to_string()
    }
}

/// Why a push is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The body is no JSON at all; answered 406 in this dialect.
    #[error("the body is not JSON: {problem}")]
    NotJson {
        /// The reader's words.
        problem: String,
    },
    /// JSON of another shape; nothing of it was taken.
    #[error("the body must be an object of arrays of objects with ids")]
    Shape {
        /// What is wrong, each `place: sentence`.
        errors: Vec<String>,
    },
}

/// Reads the body of a push.
///
/// # Errors
/// When it is no JSON or of another shape, with all mistakes at once.
pub fn read(body: &[u8]) -> Result<Push, PushError> {
    let shape = |sentence: &str| PushError::Shape {
        errors: vec![sentence.to_owned()],
    };
    let text = std::str::from_utf8(body).map_err(|_| PushError::NotJson {
        problem: "is not valid UTF-8".to_owned(),
    })?;
    let members: Members<'_> = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            shape("body: must be an object such as {\"orders\":[{\"id\":\"R1\"}]}")
        } else {
            PushError::NotJson {
                problem: error.to_string(),
            }
        }
    })?;
    let mut push = Push::default();
    let mut errors = Vec::new();
    for (name, value) in &members.0 {
        read_root(name, value, &mut push, &mut errors);
        if push.objects.len() > MAX_OBJECTS {
            return Err(shape(&format!("body: has more than {MAX_OBJECTS} objects")));
        }
    }
    if errors.is_empty() {
        Ok(push)
    } else {
        errors.truncate(MAX_SENTENCES);
        Err(PushError::Shape { errors })
    }
}

fn read_root(name: &str, value: &RawValue, push: &mut Push, errors: &mut Vec<String>) {
    let shown = cut(&name.replace(char::is_control, "?"), 60);
    if !is_root_name(name) {
        return errors.push(format!(
            "{shown}: must be small letters, - and _, such as orders"
        ));
    }
    let kind = singular(name);
    let items: Vec<&RawValue> = match value.get().as_bytes().first() {
        Some(b'[') => serde_json::from_str(value.get()).unwrap_or_default(),
        Some(b'{') => vec![value],
        _ => return errors.push(format!("{shown}: must be an array of objects")),
    };
    // Not larger than the bound plus one, so that a flood is noticed and not kept.
    let room = (MAX_OBJECTS + 1).saturating_sub(push.objects.len());
    for (index, item) in items.iter().take(room).enumerate() {
        match read_object(&kind, item) {
            Ok(object) => push.objects.push(object),
            Err(problem) if errors.len() < MAX_SENTENCES => {
                errors.push(format!("{shown}[{index}]: {problem}"));
            }
            Err(_) => return,
        }
    }
    *push.counts.entry(name.to_owned()).or_default() += items.len();
}

fn is_root_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= crate::domain::reference::MAX_KIND_BYTES
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'-' | b'_'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn errors(body: &str) -> Vec<String> {
        match read(body.as_bytes()) {
            Err(PushError::Shape { errors }) => errors,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn objects_are_taken_in_order_and_counted_by_root_name() {
        let push = read(
            br#"{"orders":[{"id":"R1","total":1.50},{"id":2}],"inventories":[{"id":"A-1"}],"returns":[]}"#,
        )
        .unwrap();
        let objects: Vec<_> = push
            .objects
            .iter()
            .map(|own| (own.kind.as_str(), own.id.as_str()))
            .collect();
        assert_eq!(
            objects,
            [("order", "R1"), ("order", "2"), ("inventory", "A-1")]
        );
        assert_eq!(push.objects[0].raw, r#"{"id":"R1","total":1.50}"#);
        assert_eq!(push.answer(), r#"{"inventories":1,"orders":2,"returns":0}"#);
    }

    #[test]
    fn a_singular_root_with_one_object_is_taken() {
        let push = read(br#"{"order":{"id":"R1"}}"#).unwrap();
        assert_eq!(push.objects[0].kind, "order");
        assert_eq!(push.answer(), r#"{"order":1}"#);
    }

    #[test]
    fn an_empty_push_is_nothing_and_no_mistake() {
        assert_eq!(read(b"{}").unwrap().answer(), "{}");
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let errors = errors(
            r#"{"Orders":[],"orders":[{"id":"R1"},{"number":"R2"},7,{"id":{}},{"id":""}],"products":"x","o2":[]}"#,
        );
        let places: Vec<_> = errors
            .iter()
            .map(|error| error.split(':').next().unwrap())
            .collect();
        assert_eq!(
            places,
            [
                "Orders",
                "orders[1]",
                "orders[2]",
                "orders[3]",
                "orders[4]",
                "products",
                "o2"
            ]
        );
    }

    #[test]
    fn another_shape_is_told_from_what_is_no_json() {
        assert!(matches!(read(b"[1]"), Err(PushError::Shape { .. })));
        assert!(matches!(read(b"orders=1"), Err(PushError::NotJson { .. })));
        assert!(matches!(
            read(b"{\"orders\":["),
            Err(PushError::NotJson { .. })
        ));
        assert!(matches!(read(b"\xff"), Err(PushError::NotJson { .. })));
    }

    #[test]
    fn what_later_readers_would_refuse_is_refused_here() {
        assert!(errors(r#"{"orders":[{"id":"R1","n":1e999}]}"#)[0].starts_with("orders[0]"));
        assert!(errors(r#"{"orders":[{"id":"R1","t":"\ud800"}]}"#)[0].starts_with("orders[0]"));
    }

    #[test]
    fn a_flood_is_refused_as_a_whole() {
        let many = vec![r#"{"id":1}"#; MAX_OBJECTS + 1].join(",");
        let errors = errors(&format!("{{\"orders\":[{many}]}}"));
        assert!(errors[0].contains("more than"));
    }
}
