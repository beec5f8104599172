//! Sample messages: one of every known type in both dialects, for people who build an endpoint and for trying out a mapping.
//!
//! They are all of one invented shop. `samples/dialect1.json` has payloads by type, `samples/dialect2.json` what stands at the root
//! of a request in the second dialect, in the forms its own objects had. Names are the canonical types; other spellings find them too.

use std::sync::LazyLock;

use super::dialect1::Members;
use crate::domain::{message_type::MessageType, registry::Dialect};

/// The id that samples carry.
pub const SAMPLE_ID: &str = "69a599d60f1c2b0000000001";

/// The notifications among the samples name the service that caused them.
const SAMPLE_SOURCE: &str = "acme.send_order";

static PAYLOADS: LazyLock<Members<'static>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("samples/dialect1.json")).expect("a test reads this file")
});

static ROOTS: LazyLock<Members<'static>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("samples/dialect2.json")).expect("a test reads this file")
});

/// The types there are samples of, in the order of the protocol's table.
#[must_use]
pub fn names() -> Vec<&'static str> {
    PAYLOADS.0.iter().map(|(name, _)| &**name).collect()
}

/// Which dialect a client asks for with `?version=`. Old clients put the shop's version there (`2.0`, `1.3`), which always means the first
/// dialect; the second is asked for with a bare `2`.
#[must_use]
pub fn dialect_of(version: Option<&str>) -> Dialect {
    match version.map(str::trim) {
        Some("2") => Dialect::Two,
        _ => Dialect::One,
    }
}

/// The payload of a type's sample (first dialect), as raw JSON; any spelling of the type.
#[must_use]
pub fn payload(name: &str) -> Option<&'static str> {
    find(&PAYLOADS, name).map(|(_, raw)| raw)
}

/// One whole message of a type as JSON text, as an endpoint would get it; any spelling of the type.
///
/// Dialect 1: `{"message","message_id","payload"}`; dialect 2: `{"request_id",...,"parameters":{}}`.
#[must_use]
pub fn get(name: &str, dialect: Dialect) -> Option<String> {
    match dialect {
        Dialect::One => {
            let (kind, payload) = find(&PAYLOADS, name)?;
            let source = if kind.starts_with("notification:") {
                format!(",\"source\":\"{SAMPLE_SOURCE}\"")
            } else {
                String::new()
            };
            Some(format!(
                "{{\"message\":\"{kind}\",\"message_id\":\"{SAMPLE_ID}\"{source},\"payload\":{payload}}}"
            ))
        }
        Dialect::Two => {
            let (_, root) = find(&ROOTS, name)?;
            let members = root.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
            let comma = if members.is_empty() { "" } else { "," };
            Some(format!(
                "{{\"request_id\":\"{SAMPLE_ID}\"{comma}{members},\"parameters\":{{}}}}"
            ))
        }
    }
}

fn find(samples: &'static Members<'static>, name: &str) -> Option<(&'static str, &'static str)> {
    let kind = MessageType::parse(name.trim()).ok()?;
    samples
        .0
        .iter()
        .find(|(own, _)| own == kind.canonical())
        .map(|(own, raw)| (&**own, raw.get()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::{
        json::{Payload, PayloadLimits},
        reference::object_of,
    };

    #[test]
    fn every_type_has_a_sample_in_both_dialects() {
        assert_eq!(names().len(), 37);
        for name in names() {
            assert_eq!(MessageType::parse(name).unwrap().canonical(), name);
            let one: Value = serde_json::from_str(&get(name, Dialect::One).unwrap()).unwrap();
            assert_eq!(one["message"], name);
            assert!(one["payload"].is_object(), "{name}");
            let two: Value = serde_json::from_str(&get(name, Dialect::Two).unwrap()).unwrap();
            assert_eq!(two["request_id"], SAMPLE_ID);
            assert!(
                two["parameters"].is_object() && two.get("payload").is_none(),
                "{name}"
            );
        }
        assert_eq!(ROOTS.0.len(), PAYLOADS.0.len());
    }

    #[test]
    fn other_spellings_find_the_same_sample() {
        for (alias, name) in [
            ("order:update", "order:updated"),
            ("order:cancel", "order:canceled"),
            ("order:cancelled", "order:canceled"),
            ("shipment:confirmation", "shipment:confirm"),
            ("shipment:confirmed", "shipment:confirm"),
            ("notification:warning", "notification:warn"),
        ] {
            assert_eq!(get(alias, Dialect::One), get(name, Dialect::One));
            assert!(get(alias, Dialect::Two).is_some());
        }
        assert_eq!(get("order:lost", Dialect::One), None);
        assert_eq!(get("../order", Dialect::One), None);
    }

    #[test]
    fn a_shops_version_is_not_a_dialect() {
        assert_eq!(dialect_of(Some("2.0")), Dialect::One);
        assert_eq!(dialect_of(None), Dialect::One);
        assert_eq!(dialect_of(Some("2")), Dialect::Two);
    }

    #[test]
    fn samples_are_sound_payloads_about_their_objects() {
        for name in names() {
            Payload::parse(payload(name).unwrap(), PayloadLimits::default()).unwrap();
        }
        let about = |name: &str| {
            let payload = Payload::parse(payload(name).unwrap(), PayloadLimits::default()).unwrap();
            object_of(&MessageType::parse(name).unwrap(), &payload)
                .primary
                .map(|object| object.to_string())
        };
        assert_eq!(about("order:new").as_deref(), Some("order/R204817336"));
        assert_eq!(about("shipment:ready").as_deref(), Some("order/R204817336"));
        assert_eq!(about("user:new").as_deref(), Some("user/mina@example.org"));
        assert_eq!(about("stock:actual"), None);
    }
}
