//! What kind of fact a message states: `order:new`, `order:payment:captured`, and the patterns that mappings subscribe with.
//!
//! The published documents of the protocol spell some types in several ways; a type keeps the spelling it was pushed with, and
//! [`MessageType::canonical`] is the one that is matched.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest type, in bytes.
pub const MAX_TYPE_BYTES: usize = 128;

/// The most parts between colons.
pub const MAX_PARTS: usize = 8;

/// Other spellings and what they mean, as the published documents use them.
const ALIASES: [(&str, &str); 6] = [
    ("order:update", "order:updated"),
    ("order:cancel", "order:canceled"),
    ("order:cancelled", "order:canceled"),
    ("shipment:confirmation", "shipment:confirm"),
    ("shipment:confirmed", "shipment:confirm"),
    ("notification:warning", "notification:warn"),
];

/// Why a text is no message type, or no pattern of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// Nothing there.
    #[error("is empty, expected noun:verb in lower case such as order:new")]
    Empty,
    /// More bytes than [`MAX_TYPE_BYTES`].
    #[error("is longer than {MAX_TYPE_BYTES} bytes")]
    TooLong,
    /// No colon.
    #[error("has no colon, expected noun:verb in lower case such as order:new")]
    OnePart,
    /// More than [`MAX_PARTS`].
    #[error("has more than {MAX_PARTS} parts between colons")]
    TooManyParts,
    /// Two colons in a row, or one at an end.
    #[error("has an empty part, expected noun:verb in lower case such as order:new")]
    EmptyPart,
    /// Something other than small letters, digits, `_`, `-` and `.`.
    #[error(
        "has {found:?} in it, expected noun:verb in lower case such as order:new (letters a-z, digits, _ - .)"
    )]
    BadCharacter {
        /// The first such character.
        found: char,
    },
    /// A star that is not the last part of a pattern.
    #[error("has a star inside, expected a whole type, noun:* or *")]
    StarInside,
}

/// `noun:verb[:more]`, as it was given. Equal when spelled alike; cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageType(Arc<str>);

impl MessageType {
    /// Checks a type: 2 to 8 parts of small letters, digits, `_`, `-` and `.`, at most 128 bytes in all.
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        let parts = count_parts(text)?;
        if parts < 2 {
            Err(TypeError::OnePart)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// The type as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The spelling that is matched: `order:cancelled` is `order:canceled`.
    pub fn canonical(&self) -> &str {
        ALIASES
            .iter()
            .find(|(alias, _)| *alias == &*self.0)
            .map_or(&self.0, |(_, canonical)| canonical)
    }

    /// The first part: what the message is about.
    pub fn noun(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

/// Checks parts and characters; says how many parts there are.
fn count_parts(text: &str) -> Result<usize, TypeError> {
    if text.is_empty() {
        return Err(TypeError::Empty);
    }
    if text.len() > MAX_TYPE_BYTES {
        return Err(TypeError::TooLong);
    }
    if let Some(found) = text
        .chars()
        .find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_' | '-' | '.' | ':'))
    {
        return Err(TypeError::BadCharacter { found });
    }
    if text.split(':').any(str::is_empty) {
        return Err(TypeError::EmptyPart);
    }
    let parts = text.split(':').count();
    if parts > MAX_PARTS {
        Err(TypeError::TooManyParts)
    } else {
        Ok(parts)
    }
}

/// What a mapping subscribes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TypePattern {
    /// One type, in any of its spellings: `order:canceled`.
    Exact(MessageType),
    /// All types that start with these parts: `order:*` matches `order:new` and `order:payment:captured`. Holds the
    /// text up to and with the last colon.
    Below(Arc<str>),
    /// Every type: `*`.
    All,
}

impl TypePattern {
    /// Reads a whole type, `noun:*` or `*`.
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        if text == "*" {
            return Ok(Self::All);
        }
        let Some(prefix) = text.strip_suffix('*') else {
            return if text.contains('*') {
                Err(TypeError::StarInside)
            } else {
                MessageType::parse(text).map(Self::Exact)
            };
        };
        let Some(parts) = prefix
            .strip_suffix(':')
            .filter(|parts| !parts.contains('*'))
        else {
            return Err(TypeError::StarInside);
        };
        count_parts(parts)?;
        Ok(Self::Below(prefix.into()))
    }

    /// Whether a message of this type is meant. A type is compared in its canonical spelling.
    pub fn matches(&self, message: &MessageType) -> bool {
        match self {
            Self::Exact(own) => own.canonical() == message.canonical(),
            Self::Below(prefix) => message.canonical().starts_with(&**prefix),
            Self::All => true,
        }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageType({})", self.0)
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(message) => message.fmt(f),
            Self::Below(prefix) => write!(f, "{prefix}*"),
            Self::All => f.write_str("*"),
        }
    }
}

impl FromStr for MessageType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        Self::parse(text)
    }
}

impl FromStr for TypePattern {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        Self::parse(text)
    }
}

impl Serialize for MessageType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for TypePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for TypePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn message(text: &str) -> MessageType {
        MessageType::parse(text).unwrap()
    }

    #[test]
    fn a_type_is_noun_and_verb_in_lower_case() {
        assert_eq!(message("order:payment:captured").noun(), "order");
        for text in [
            "amazon:import:by_number",
            "a:b",
            "v1.2:x-y_z",
            "a:b:c:d:e:f:g:h",
        ] {
            assert_eq!(message(text).as_str(), text);
        }
        let long = "a:".to_owned() + &"b".repeat(127);
        for (text, error) in [
            ("", TypeError::Empty),
            ("order", TypeError::OnePart),
            ("order:", TypeError::EmptyPart),
            ("order::new", TypeError::EmptyPart),
            ("Order:new", TypeError::BadCharacter { found: 'O' }),
            ("order: new", TypeError::BadCharacter { found: ' ' }),
            ("order:*", TypeError::BadCharacter { found: '*' }),
            ("a:b:c:d:e:f:g:h:i", TypeError::TooManyParts),
            (&long, TypeError::TooLong),
        ] {
            assert_eq!(MessageType::parse(text), Err(error), "{text}");
        }
        let sentence = MessageType::parse("order").unwrap_err().to_string();
        assert!(
            sentence.contains("expected noun:verb in lower case such as order:new"),
            "{sentence}"
        );
    }

    #[test]
    fn other_spellings_match_and_are_kept() {
        let pushed = message("order:cancelled");
        assert_eq!(pushed.as_str(), "order:cancelled");
        assert_eq!(pushed.canonical(), "order:canceled");
        for own in ["order:cancel", "order:canceled", "order:cancelled"] {
            assert!(TypePattern::parse(own).unwrap().matches(&pushed), "{own}");
        }
        assert_eq!(message("order:update").canonical(), "order:updated");
        assert_eq!(
            message("shipment:confirmed").canonical(),
            "shipment:confirm"
        );
        assert_eq!(
            message("notification:warning").canonical(),
            "notification:warn"
        );
        assert_eq!(message("product:update").canonical(), "product:update");
    }

    #[test]
    fn a_pattern_is_a_type_or_ends_in_a_star() {
        for (text, yes, no) in [
            ("order:new", "order:new", "order:newer"),
            ("order:*", "order:payment:captured", "orders:new"),
            ("order:payment:*", "order:payment:captured", "order:payment"),
            ("*", "hub:poll", ""),
        ] {
            let pattern = TypePattern::parse(text).unwrap();
            assert_eq!(pattern.to_string(), text);
            assert!(pattern.matches(&message(yes)), "{text} {yes}");
            assert!(
                no.is_empty() || !pattern.matches(&message(no)),
                "{text} {no}"
            );
        }
        for text in ["order*", "*:new", "order:*:new", "**", "order:*:*", ":*"] {
            assert!(TypePattern::parse(text).is_err(), "{text}");
        }
        assert_eq!(TypePattern::parse("order"), Err(TypeError::OnePart));
    }

    #[test]
    fn types_and_patterns_are_texts_in_json() {
        let patterns: Vec<TypePattern> =
            serde_json::from_str(r#"["order:new","order:*","*"]"#).unwrap();
        assert_eq!(
            serde_json::to_string(&patterns).unwrap(),
            r#"["order:new","order:*","*"]"#
        );
        assert!(serde_json::from_str::<MessageType>("\"order\"").is_err());
    }
}
