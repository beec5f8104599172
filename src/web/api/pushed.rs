//! Reading what was pushed, in any of the forms that clients send (WIRE A.2, messages).
//!
//! ```json
//! {"message":"stock:change","payload":{"sku":"TW-TOTE","quantity":10}}
//! {"origin":"test","message":{"message":"stock:change","payload":{...}}}
//! {"source":"test","message":"{\"message\":\"stock:change\",\"payload\":{...}}"}
//! ```
//!
//! The payload is cut out of the body as it stands there and checked by the one reader that everybody behind it uses. Root
//! members that nobody here knows travel along, up to a limit; those that the hub writes itself are dropped.

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::domain::{
    json::{Payload, PayloadLimits},
    key::StoreKey,
    message::{NewMessage, Source},
    message_type::MessageType,
    quick::read_common,
    reference::{About, object_of},
};

use super::super::{
    error::ApiError,
    fields::{Members, kind_of},
};

/// The most that further root members may take, in bytes of JSON.
pub const MAX_EXTRA_BYTES: usize = 64 * 1024;

/// Root members that the hub itself says to endpoints, or that would carry secrets along.
const OWN_MEMBERS: [&str; 11] = [
    "message_id",
    "id",
    "_id",
    "store_id",
    "store_name",
    "source",
    "parent_id",
    "consumer_class",
    "mapping",
    "parameters",
    "origin",
];

/// What all messages of a request have in common.
#[derive(Debug, Clone)]
pub struct Pusher {
    /// The store pushed to.
    pub store: StoreKey,
    /// By whom.
    pub source: Source,
    /// How much payload is taken.
    pub limits: PayloadLimits,
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Pushed {
    /// The message.
    pub message: NewMessage,
    /// The idempotency key that came with it.
    pub idempotency_key: Option<String>,
}

impl Pusher {
    /// Reads one message.
    ///
    /// # Errors
    /// 422 with all that is wrong.
    pub fn read(&self, raw: &RawValue) -> Result<Pushed, ApiError> {
        if let Some(pushed) = self.read_common(raw.get()) {
            return Ok(pushed);
        }
        let outer = Members::read(raw).ok_or_else(|| {
            let found = kind_of(raw);
            let problem =
                format!("message: must be an object with message and payload, found {found}");
            ApiError::invalid("message", vec![problem])
        })?;
        self.read_members(outer)
    }

    /// Reads a message that has the common form, in one pass; `None` when it takes a thorough look.
    #[must_use]
    pub fn read_common(&self, text: &str) -> Option<Pushed> {
        let (kind, payload, about) = read_common(text, self.limits)?;
        let message = NewMessage {
            store: self.store,
            kind,
            payload,
            about,
            source: self.source.clone(),
            ancestry: None,
            test: false,
            extra: None,
        };
        Some(Pushed {
            message,
            idempotency_key: None,
        })
    }

    /// Reads one message whose root members are known.
    ///
    /// # Errors
    /// 422 with all that is wrong.
    pub fn read_members(&self, mut outer: Members<'_>) -> Result<Pushed, ApiError> {
        let wrong = |problem: String| ApiError::invalid("message", vec![problem]);
        let test = ["origin", "source"]
            .iter()
            .any(|name| peek(&outer, name) == Some("\"test\""));
        let key = text_of(&mut outer, "idempotency_key");
        let Some(message) = peek(&outer, "message") else {
            return Err(self
                .read_flat(outer, test, key)
                .expect_err("the type is missing"));
        };
        if message.starts_with('{') {
            let inner: Members<'_> = serde_json::from_str(message)
                .map_err(|error| wrong(format!("message: {error}")))?;
            return self.read_flat(inner, test, key);
        }
        let text: Option<String> = serde_json::from_str(message).ok();
        match text.as_deref().map(str::trim_start) {
            Some(text) if text.starts_with('{') => {
                let inner: Members<'_> = serde_json::from_str(text).map_err(|error| {
                    wrong(format!("message: is a text that is not JSON: {error}"))
                })?;
                self.read_flat(inner, test, key)
            }
            _ => self.read_flat(outer, test, key),
        }
    }

    /// Reads the form `{message, payload}`.
    fn read_flat(
        &self,
        mut members: Members<'_>,
        test: bool,
        key: Option<String>,
    ) -> Result<Pushed, ApiError> {
        let mut problems = Vec::new();
        let key = text_of(&mut members, "idempotency_key").or(key);
        let kind = read_kind(members.take("message"))
            .map_err(|problem| problems.push(problem))
            .ok();
        let payload = self
            .read_payload(members.take("payload"))
            .map_err(|problem| problems.push(problem))
            .ok();
        let about = read_about(&mut members)
            .map_err(|problem| problems.push(problem))
            .ok();
        let extra = read_extra(members)
            .map_err(|problem| problems.push(problem))
            .ok();
        let (Some(kind), Some(payload), Some(about), Some(extra)) = (kind, payload, about, extra)
        else {
            return Err(ApiError::invalid("message", problems));
        };
        let about = about.unwrap_or_else(|| object_of(&kind, &payload));
        let message = NewMessage {
            store: self.store,
            kind,
            payload,
            about,
            source: self.source.clone(),
            ancestry: None,
            test,
            extra,
        };
        Ok(Pushed {
            message,
            idempotency_key: key,
        })
    }

    fn read_payload(&self, raw: Option<&RawValue>) -> Result<Payload, String> {
        let raw = raw.ok_or(
            "payload: is missing, an object is needed (an empty one when there is nothing to say)",
        )?;
        Payload::parse_raw(raw, self.limits).map_err(|error| error.to_string())
    }
}

/// The digest of a message that tells whether a repeated key came with the same one: whatever is kept of it, not its spelling.
pub fn digest_of(message: &NewMessage) -> [u8; 16] {
    let mut hash = Sha256::new();
    let object = message
        .about
        .primary
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let extra = message.extra.as_deref().unwrap_or_default();
    for text in [
        message.kind.as_str(),
        message.payload.as_str(),
        &object,
        extra,
    ] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.update([u8::from(message.test)]);
    first_half(hash)
}

/// The digest of an idempotency key. The store is in it, since the operator's one token pushes to many.
pub fn digest_of_key(store: StoreKey, key: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(store.0.to_be_bytes());
    hash.update(key.as_bytes());
    first_half(hash)
}

fn first_half(hash: Sha256) -> [u8; 16] {
    let whole: [u8; 32] = hash.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

/// An idempotency key: 1 to 255 visible ASCII characters.
///
/// # Errors
/// What is wrong with it.
pub fn check_key(key: &str) -> Result<(), &'static str> {
    let fits = (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        Ok(())
    } else {
        Err("must be 1 to 255 visible ASCII characters without spaces")
    }
}

fn peek<'a>(members: &Members<'a>, name: &str) -> Option<&'a str> {
    members
        .0
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, raw)| raw.get())
}

/// Takes a member out and gives its text; what is no text is given as it stands, so that it fails where it is judged.
fn text_of(members: &mut Members<'_>, name: &str) -> Option<String> {
    let raw = members.take(name)?.get();
    (raw != "null").then(|| serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned()))
}

fn read_kind(raw: Option<&RawValue>) -> Result<MessageType, String> {
    let raw = raw.ok_or("message: is missing, expected a type such as order:new")?;
    let text: String = serde_json::from_str(raw.get()).map_err(|_| {
        format!(
            "message: must be a type such as order:new, found {}",
            kind_of(raw)
        )
    })?;
    MessageType::parse(&text).map_err(|error| format!("message: {error}"))
}

/// What the pusher says the message is about; nothing when it says nothing.
fn read_about(members: &mut Members<'_>) -> Result<Option<About>, String> {
    let kind = text_of(members, "reference_type").filter(|text| !text.is_empty());
    let token = text_of(members, "reference_token").filter(|text| !text.is_empty());
    match (kind, token) {
        (None, None) => Ok(None),
        (Some(kind), Some(token)) => About::given(&kind, &token)
            .map(Some)
            .map_err(|error| error.to_string()),
        (Some(_), None) => Err("reference_token: is missing beside reference_type".to_owned()),
        (None, Some(_)) => Err("reference_type: is missing beside reference_token".to_owned()),
    }
}

/// The members that are left, as one JSON object, each as it stood in the body.
fn read_extra(members: Members<'_>) -> Result<Option<String>, String> {
    let mut text = String::from("{");
    for (name, raw) in members
        .0
        .iter()
        .filter(|(name, _)| !OWN_MEMBERS.contains(&name.as_ref()))
    {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(name.as_ref()).to_string());
        text.push(':');
        text.push_str(raw.get());
    }
    text.push('}');
    if text == "{}" {
        return Ok(None);
    }
    if text.len() > MAX_EXTRA_BYTES {
        return Err(format!(
            "further root members: take {} bytes, at most {MAX_EXTRA_BYTES} are accepted",
            text.len()
        ));
    }
    // The same reader as for payloads, which are called so in its words.
    let limits = PayloadLimits {
        bytes: MAX_EXTRA_BYTES,
        ..PayloadLimits::default()
    };
    match Payload::parse(&text, limits) {
        Ok(checked) => Ok(Some(checked.as_str().to_owned())),
        Err(error) => {
            let said = error.to_string();
            Err(said
                .strip_prefix("payload.")
                .map_or_else(|| said.clone(), str::to_owned))
        }
    }
}

#[cfg(test)]
#[path = "tests/pushed.rs"]
mod tests;
