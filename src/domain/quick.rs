//! Reading a pushed message of the common form in one pass: `{"message":"order:new","payload":{...}}` and nothing else.
//!
//! Checking the envelope, checking the payload and finding what it is about are three readers elsewhere, each with a pass of its own,
//! because each must say what is wrong. Nearly every message is plain and right, and then one pass says as much as the three: what
//! [`read_common`] returns is what they would return. Whatever is less common goes to them.

use super::{
    json::{MAX_DEPTH, Payload, PayloadLimits},
    json_scan::skim,
    message_type::MessageType,
    reference::{About, about_of_members},
};

/// Type, payload and object of the message that `text` is; `None` when it takes a thorough look.
#[must_use]
pub fn read_common(text: &str, limits: PayloadLimits) -> Option<(MessageType, Payload, About)> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    let depth = limits.depth.min(MAX_DEPTH);
    // The payload lies one level deeper here than by itself; an object and its members lie below it.
    let members = skim(text, depth + 1, 3)?;
    let root = |name: &str| {
        let mut found = members
            .iter()
            .enumerate()
            .filter(|(_, member)| member.depth == 1 && member.name == name);
        found.next()
    };
    let (_, kind) = root("message")?;
    let (place, payload) = root("payload")?;
    if members.iter().filter(|member| member.depth == 1).count() != 2 {
        return None;
    }
    if !payload.value.starts_with('{') || payload.value.len() > limits.bytes {
        return None;
    }
    let kind = kind.value.strip_prefix('"')?.strip_suffix('"')?;
    let kind = MessageType::parse(kind).ok()?;
    let below = members.get(place + 1..)?;
    let end = below.iter().position(|member| member.depth == 1);
    let below = below.get(..end.unwrap_or(below.len()))?;
    let about = about_of_members(&kind, below, 2)?;
    let payload = Payload::of_members(payload.value, below, 2)?;
    Some((kind, payload, about))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::reference::object_of;

    fn read(text: &str) -> Option<(MessageType, Payload, About)> {
        read_common(text, PayloadLimits::default())
    }

    #[test]
    fn the_common_form_is_read() {
        let text = r#" {"message":"order:new","payload":{"order":{"id":5,"number":"R\u00e91"},"original":{"number":"X"}}}"#;
        let (kind, payload, about) = read(text).expect("it is common");
        assert_eq!(kind.as_str(), "order:new");
        assert_eq!(
            payload.as_str(),
            r#"{"order":{"id":5,"number":"R\u00e91"},"original":{"number":"X"}}"#
        );
        assert_eq!(
            about.primary.map(|one| one.to_string()).as_deref(),
            Some("order/Ré1")
        );
    }

    #[test]
    fn whatever_is_less_common_is_left_to_others() {
        for text in [
            r#"{"message":"order:new","payload":{"parameters":[]}}"#,
            r#"{"message":"order:new","payload":{"\u0070arameters":[]}}"#,
            r#"{"message":"order:new","payload":{},"reference_type":"order"}"#,
            r#"{"message":"order:new","payload":{},"payload":{}}"#,
            r#"{"message":"order:new","payload":[]}"#,
            r#"{"message":"order","payload":{}}"#,
            r#"{"message":{"message":"order:new","payload":{}}}"#,
            r#"{"message":"shipment:ready","payload":{"shipment":{"order_number":"R1"}}}"#,
            r#"{"message":"order:new","payload":{"a":"\ud800"}}"#,
            r#"{"message":"order:new","payload":{}} {}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let limits = PayloadLimits { bytes: 3, depth: 2 };
        let nested = r#"{"message":"a:b","payload":{"a":{"b":{}}}}"#;
        assert_eq!(read_common(nested, limits), None);
        assert!(
            read_common(
                nested,
                PayloadLimits {
                    bytes: 30,
                    depth: 3
                }
            )
            .is_some()
        );
        assert_eq!(
            read_common(
                nested,
                PayloadLimits {
                    bytes: 30,
                    depth: 2
                }
            ),
            None
        );
        assert_eq!(
            read_common(
                nested,
                PayloadLimits {
                    bytes: 10,
                    depth: 3
                }
            ),
            None
        );
    }

    fn value() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "order",
            "user",
            "number",
            "id",
            "sku",
            "email",
            "token",
            "parameters",
            "x\\ty",
        ]);
        let leaf = prop::sample::select(vec![
            "1",
            "-0.50",
            "\"\"",
            "\" R1 \"",
            "\"r\\n1\"",
            "\"\\u00e9\"",
            "null",
            "true",
            "[]",
            "{}",
            "1e3",
        ]);
        leaf.prop_map(str::to_owned)
            .prop_recursive(4, 24, 5, move |inner| {
                let member = (name.clone(), inner.clone());
                let object = prop::collection::vec(member, 0..5).prop_map(|members| {
                    let members: Vec<String> = members
                        .iter()
                        .map(|(name, value)| format!("\"{name}\": {value}"))
                        .collect();
                    format!("{{ {}}}", members.join(","))
                });
                let array = prop::collection::vec(inner, 0..3)
                    .prop_map(|items| format!("[{}]", items.join(" ,")));
                prop_oneof![4 => object, 1 => array]
            })
    }

    proptest! {
        #[test]
        fn one_pass_says_what_the_thorough_readers_say(
            payload in value(),
            kind in prop::sample::select(vec!["order:new", "user:new", "number:x", "shipment:ready"]),
            swapped in any::<bool>(),
        ) {
            let text = match swapped {
                false => format!("{{\"message\":\"{kind}\",\"payload\":{payload}}}"),
                true => format!("{{\"payload\" : {payload} ,\"message\":\"{kind}\"}}"),
            };
            if let Some((read_kind, read_payload, about)) = read(&text) {
                let expected = Payload::parse(&payload, PayloadLimits::default());
                prop_assert_eq!(read_kind.as_str(), kind);
                prop_assert_eq!(Ok(&read_payload), expected.as_ref());
                prop_assert_eq!(about, object_of(&read_kind, &read_payload));
            }
        }
    }
}
