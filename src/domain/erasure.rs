//! Erasing on request: what is to be forgotten, and which payloads name a customer.
//!
//! An [`ErasureSubject`] is one object, or a customer by e-mail address. What stays is [`ErasureSubject::digest`]: whoever
//! knows the object or the address can tell that it was erased, nobody else can tell what was.
//!
//! A payload names a customer in one of two ways ([`mention`]). Under a member called `email` and the like the address says
//! *whose* the object is: then the object is erased with all that is known of it. Anywhere else (a mail's recipient, a
//! note) only that message is.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{key::StoreKey, reference::ObjectRef};

/// What stands in place of an erased payload.
pub const ERASED_PAYLOAD: &str = r#"{"erased":true}"#;

/// The longest address, in bytes (RFC 5321, 4.5.3.1: 64 before the at sign, 255 behind it).
const MAX_EMAIL_BYTES: usize = 320;

/// Members that say whose an object is.
const OF_THE_CUSTOMER: [&str; 4] = ["email", "customer_email", "user_email", "guest_email"];

/// An e-mail address in the form that is compared: without white space around it, in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(Box<str>);

/// Why a text is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one e-mail address, such as ada@example.org")]
pub struct NoEmail;

impl Email {
    /// Takes an address. Only its form is looked at: something on both sides of an at sign, nothing blank within.
    ///
    /// # Errors
    /// [`NoEmail`].
    pub fn parse(text: &str) -> Result<Self, NoEmail> {
        let text = text.trim().to_lowercase();
        let sound = text.len() <= MAX_EMAIL_BYTES
            && !text
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>'))
            && text
                .rsplit_once('@')
                .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        if sound {
            Ok(Self(text.into()))
        } else {
            Err(NoEmail)
        }
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shows no address: whoever logs one by accident tells nothing.
impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Email(...)")
    }
}

/// What is to be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErasureSubject {
    /// One object and all that is known of it.
    Object(ObjectRef),
    /// Every object of a customer, and whatever else names the address.
    Customer(Email),
}

impl ErasureSubject {
    /// The first 16 bytes of the SHA-256 of: `erasure-1\0`, the store's key (8 bytes, big-endian), `object` or `customer`, `\0`, and
    /// `<kind>\0<token in lower case>` or the address.
    #[must_use]
    pub fn digest(&self, store: StoreKey) -> [u8; 16] {
        let hash = Sha256::new_with_prefix(b"erasure-1\0").chain_update(store.0.to_be_bytes());
        let hash: [u8; 32] = match self {
            Self::Object(object) => hash
                .chain_update(b"object\0")
                .chain_update(object.kind().as_bytes())
                .chain_update(b"\0")
                .chain_update(object.folded().as_bytes()),
            Self::Customer(email) => hash
                .chain_update(b"customer\0")
                .chain_update(email.as_str().as_bytes()),
        }
        .finalize()
        .into();
        let mut half = [0; 16];
        half.copy_from_slice(hash.first_chunk::<16>().expect("32 bytes have 16"));
        half
    }
}

/// How a payload speaks of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mention {
    /// Not at all.
    None,
    /// The address stands in it somewhere.
    Somewhere,
    /// It says that the object is theirs.
    AsCustomer,
}

/// How a JSON text speaks of a customer. A text that is no JSON is searched as it is.
#[must_use]
pub fn mention(json: &str, email: &Email) -> Mention {
    // Most texts are settled without reading them, unless an escape might hide the address.
    if !json.contains('\\') && !stands_in(json, email) {
        return Mention::None;
    }
    match serde_json::from_str::<Value>(json) {
        // The first of two members of one name is not in the value, and in the text all the same.
        Ok(value) if in_value(&value, "", email) > Mention::None => in_value(&value, "", email),
        _ if stands_in(json, email) => Mention::Somewhere,
        _ => Mention::None,
    }
}

fn in_value(value: &Value, name: &str, email: &Email) -> Mention {
    match value {
        Value::String(text) if !stands_in(text, email) => Mention::None,
        Value::String(text)
            if OF_THE_CUSTOMER.contains(&name) && text.trim().to_lowercase() == email.as_str() =>
        {
            Mention::AsCustomer
        }
        Value::String(_) => Mention::Somewhere,
        Value::Array(items) => items
            .iter()
            .map(|item| in_value(item, name, email))
            .max()
            .unwrap_or(Mention::None),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let by_name = match stands_in(name, email) {
                    true => Mention::Somewhere,
                    false => Mention::None,
                };
                by_name.max(in_value(value, name, email))
            })
            .max()
            .unwrap_or(Mention::None),
        Value::Null | Value::Bool(_) | Value::Number(_) => Mention::None,
    }
}

/// Whether the address stands in a text as an address of its own: `joann@x.org` does not hold `ann@x.org`, nor does `ann@x.org.uk`.
#[must_use]
pub fn stands_in(text: &str, email: &Email) -> bool {
    let text = text.to_lowercase();
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | '%' | '+' | '-');
    text.match_indices(email.as_str()).any(|(at, found)| {
        let mut before = text.get(..at).unwrap_or_default().chars().rev();
        let (before, further) = (before.next(), before.next());
        let mut after = text.get(at + found.len()..).unwrap_or_default().chars();
        // RFC 5322 has more characters in names, as in o'brien@x.org; after a word they belong to it, else they are quotes and the like.
        let joins = |c: char| "!#$&'*/=?^`{|}~".contains(c) && further.is_some_and(goes_on);
        let starts = !before.is_some_and(|c| goes_on(c) || c == '.' || joins(c));
        let ends = match after.next() {
            // A full stop ends a sentence or goes on with the host.
            Some('.') => !after.next().is_some_and(goes_on),
            Some(next) => !goes_on(next),
            None => true,
        };
        starts && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Email {
        Email::parse(" Ann@Example.org ").expect("an address")
    }

    #[test]
    fn an_address_has_a_name_and_a_host() {
        assert_eq!(ann().as_str(), "ann@example.org");
        for text in [
            "",
            "ann",
            "@example.org",
            "ann@",
            "a b@example.org",
            "Ann <ann@example.org>",
        ] {
            assert_eq!(Email::parse(text), Err(NoEmail), "{text}");
        }
        assert!(!format!("{:?}", ann()).contains("ann"));
    }

    #[test]
    fn an_object_is_a_customers_when_a_member_says_so() {
        for text in [
            r#"{"order":{"number":"R1","email":"ANN@example.org"}}"#,
            r#"{"order":{"user":{"email":" ann@example.org"}}}"#,
            r#"{"order":{"customer_email":"ann\u0040example.org"}}"#,
        ] {
            assert_eq!(mention(text, &ann()), Mention::AsCustomer, "{text}");
        }
    }

    #[test]
    fn elsewhere_an_address_concerns_the_message_alone() {
        for text in [
            r#"{"email":{"to":"ann@example.org"}}"#,
            r#"{"note":"Write to ann@example.org."}"#,
            r#"{"to":["Ann <ann@example.org>"]}"#,
            "no JSON: ann@example.org",
        ] {
            assert_eq!(mention(text, &ann()), Mention::Somewhere, "{text}");
        }
    }

    #[test]
    fn a_longer_address_is_another_one() {
        for text in [
            r#"{"email":"joann@example.org"}"#,
            r#"{"email":"jo.ann@example.org"}"#,
            r#"{"email":"ann@example.org.uk"}"#,
            r#"{"email":"ann@example.organic"}"#,
            r#"{"email":7}"#,
        ] {
            assert_eq!(mention(text, &ann()), Mention::None, "{text}");
        }
    }

    #[test]
    fn a_digest_tells_stores_kinds_and_subjects_apart() {
        let object =
            |kind, token| ErasureSubject::Object(ObjectRef::new(kind, token).expect("an object"));
        let one = object("order", "R1").digest(StoreKey(1));
        assert_eq!(object("order", "r1").digest(StoreKey(1)), one);
        for other in [
            object("order", "R1").digest(StoreKey(2)),
            object("cart", "R1").digest(StoreKey(1)),
            object("order", "R2").digest(StoreKey(1)),
            ErasureSubject::Customer(ann()).digest(StoreKey(1)),
        ] {
            assert_ne!(other, one);
        }
    }

    #[test]
    fn a_name_with_an_apostrophe_is_another_one_and_a_quote_is_none() {
        let brien = Email::parse("brien@x.org").expect("an address");
        assert!(!stands_in("to o'brien@x.org", &brien));
        assert!(stands_in("to 'brien@x.org'", &brien));
    }

    #[test]
    fn an_address_that_is_a_members_name_or_was_overwritten_is_found() {
        let named = r#"{"subscribers":{"ann@example.org":{"vip":true}}}"#;
        assert_eq!(mention(named, &ann()), Mention::Somewhere);
        let twice = r#"{"email":"ann@example.org","email":"other@example.org"}"#;
        assert_eq!(mention(twice, &ann()), Mention::Somewhere);
    }
}
