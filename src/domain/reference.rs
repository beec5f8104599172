//! What a message is about: one object decides its lane, others show it on their timelines.
//!
//! The rule: the object that the type's noun names, if the payload has it
//! (`payload.order`, `payload.user`), by its `number`, else `id`, `sku`, `email`, `token`; else `payload.order`; else
//! nothing. So a flat payload (`{"sku":...,"quantity":...}` of `stock:change`, a bare product) is about nothing. A
//! shipment, payment or return that names its order travels with the order and stands on both timelines.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::json::{Payload, Text};
use super::json_scan::Member;
use super::lookup::Scalar;
use super::message_type::MessageType;

/// The longest token, in characters.
pub const MAX_TOKEN_CHARS: usize = 255;

/// The longest kind, in bytes.
pub const MAX_KIND_BYTES: usize = 64;

/// How many routing shards there are, for ever.
pub const SHARDS: u8 = 64;

/// Nouns of objects that belong to an order.
const OF_AN_ORDER: [&str; 5] = [
    "shipment",
    "payment",
    "return",
    "return_authorization",
    "customer_return",
];

/// Why a kind and token name no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The kind.
    #[error("reference_type: must be 1 to {MAX_KIND_BYTES} of a-z, 0-9, _, - and ., such as order")]
    BadKind,
    /// A token of white space.
    #[error("reference_token: is empty")]
    EmptyToken,
    /// A long token.
    #[error("reference_token: is longer than {MAX_TOKEN_CHARS} characters")]
    LongToken,
    /// A line break, a NUL and the like inside.
    #[error("reference_token: has a control character in it")]
    ControlCharacter,
}

/// An object of the shop: `order/R123`. The token is kept as given; equality and hashes ignore its case, since clients
/// ask for it in lower case.
#[derive(Clone)]
pub struct ObjectRef {
    kind: Box<str>,
    token: Box<str>,
    /// Only where it differs from the token.
    folded: Option<Box<str>>,
}

impl ObjectRef {
    /// Checks and takes a kind (in any case, kept in lower case) and a token; white space around both is dropped.
    pub fn new(kind: &str, token: &str) -> Result<Self, ReferenceError> {
        let kind = kind.trim().to_ascii_lowercase();
        let sound = kind
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.'));
        if kind.is_empty() || kind.len() > MAX_KIND_BYTES || !sound {
            return Err(ReferenceError::BadKind);
        }
        let token = token.trim();
        if token.is_empty() {
            return Err(ReferenceError::EmptyToken);
        }
        if token.len() > MAX_TOKEN_CHARS && token.chars().count() > MAX_TOKEN_CHARS {
            return Err(ReferenceError::LongToken);
        }
        if token.chars().any(char::is_control) {
            return Err(ReferenceError::ControlCharacter);
        }
        let folded = fold(token);
        let folded = (folded != token).then(|| folded.into());
        Ok(Self {
            kind: kind.into(),
            token: token.into(),
            folded,
        })
    }

    /// `order`, `user`, ... in lower case.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The token as given, for showing.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The token in lower case, for comparing and storing.
    pub fn folded(&self) -> &str {
        self.folded.as_deref().unwrap_or(&self.token)
    }
}

/// A token in the form that is compared: lower case. For a token from a query, where no [`ObjectRef`] is needed.
pub fn fold(token: &str) -> String {
    token.trim().to_lowercase()
}

impl PartialEq for ObjectRef {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.folded() == other.folded()
    }
}

impl Eq for ObjectRef {}

impl Hash for ObjectRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
        self.folded().hash(state);
    }
}

/// `order/R123`
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.token)
    }
}

impl fmt::Debug for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectRef({self})")
    }
}

/// What a message is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The object that decides the lane; without one the message is in no lane.
    pub primary: Option<ObjectRef>,
    /// Further objects on whose timelines the message stands. Never holds the primary one.
    pub also: Vec<ObjectRef>,
}

impl About {
    /// What the sender itself says with `reference_type` and `reference_token`; it replaces what the payload says.
    pub fn given(kind: &str, token: &str) -> Result<Self, ReferenceError> {
        Ok(Self {
            primary: Some(ObjectRef::new(kind, token)?),
            also: Vec::new(),
        })
    }

    /// All objects, the primary one first.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.primary.iter().chain(&self.also)
    }
}

/// Finds what a message is about, in one pass over the payload. A token that [`ObjectRef::new`] refuses is passed over
/// for the next one.
pub fn object_of(message: &MessageType, payload: &Payload) -> About {
    let noun = message.noun();
    let mut deserializer = serde_json::Deserializer::from_str(payload.as_str());
    let seen = Top { noun }
        .deserialize(&mut deserializer)
        .unwrap_or_default();
    let own = seen
        .named
        .as_ref()
        .and_then(|object| object.reference(noun));
    let beside = seen
        .order
        .as_ref()
        .and_then(|order| order.reference("order"));
    if !OF_AN_ORDER.contains(&noun) {
        return About {
            primary: own.or(beside),
            also: Vec::new(),
        };
    }
    // An order object is asked before `order_id`, which in raw store documents is a row's number and not the order's.
    let order = seen.named.as_ref().and_then(|object| {
        let token = |text: &Option<Cow<'_, str>>| ObjectRef::new("order", text.as_deref()?).ok();
        token(&object.order_number)
            .or_else(|| object.order.as_ref()?.reference("order"))
            .or_else(|| beside.clone())
            .or_else(|| token(&object.order_id))
    });
    match order.or(beside) {
        Some(order) => About {
            primary: Some(order),
            also: own.into_iter().collect(),
        },
        None => About {
            primary: own,
            also: Vec::new(),
        },
    }
}

/// As [`object_of`], for a payload that was skimmed: `members` are those of the payload, at `depth`, and of the objects in it. `None`
/// for nouns of objects that belong to an order, whose order may stand deeper.
pub(super) fn about_of_members(
    message: &MessageType,
    members: &[Member<'_>],
    depth: usize,
) -> Option<About> {
    let noun = message.noun();
    if OF_AN_ORDER.contains(&noun) {
        return None;
    }
    let object = |name: &str| {
        let place = members
            .iter()
            .rposition(|member| member.depth == depth && member.name == name)?;
        let inside = members.get(place + 1..)?;
        let end = inside.iter().position(|member| member.depth <= depth);
        let inside = inside.get(..end.unwrap_or(inside.len()))?;
        ["number", "id", "sku", "email", "token"]
            .into_iter()
            .filter_map(|name| {
                let is_it = |member: &&Member<'_>| member.depth == depth + 1 && member.name == name;
                match Scalar::of_raw(inside.iter().rev().find(is_it)?.value) {
                    Scalar::Text(text) => Some(text),
                    Scalar::Number(text) => Some(Cow::Borrowed(text)),
                    Scalar::Null | Scalar::Bool(_) | Scalar::Composite(_) => None,
                }
            })
            .find_map(|token| ObjectRef::new(name, &token).ok())
    };
    let primary = object(noun).or_else(|| (noun != "order").then(|| object("order")).flatten());
    Some(About {
        primary,
        also: Vec::new(),
    })
}

/// The members of the payload that matter here.
#[derive(Default)]
struct Seen<'a> {
    /// The object that the noun names.
    named: Option<Object<'a>>,
    /// `payload.order`, where the noun is another.
    order: Option<Object<'a>>,
}

/// The members of an object that name it or its order.
#[derive(Default)]
struct Object<'a> {
    number: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    sku: Option<Cow<'a, str>>,
    email: Option<Cow<'a, str>>,
    token: Option<Cow<'a, str>>,
    order_number: Option<Cow<'a, str>>,
    order_id: Option<Cow<'a, str>>,
    order: Option<Box<Object<'a>>>,
}

impl Object<'_> {
    fn reference(&self, kind: &str) -> Option<ObjectRef> {
        let tokens = [&self.number, &self.id, &self.sku, &self.email, &self.token];
        tokens
            .into_iter()
            .flatten()
            .find_map(|token| ObjectRef::new(kind, token).ok())
    }
}

/// Reads the payload.
struct Top<'n> {
    noun: &'n str,
}

impl<'a> DeserializeSeed<'a> for Top<'_> {
    type Value = Seen<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Seen<'a>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Top<'_> {
    type Value = Seen<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Seen<'a>, A::Error> {
        let mut seen = Seen::default();
        let nested = OF_AN_ORDER.contains(&self.noun);
        while let Some(name) = map.next_key_seed(Text)? {
            if name == self.noun {
                seen.named = map.next_value_seed(Inside { nested })?;
            } else if name == "order" {
                seen.order = map.next_value_seed(Inside { nested: false })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(seen)
    }
}

/// Reads an object; anything else is none.
struct Inside {
    /// Whether an `order` inside is read as well.
    nested: bool,
}

impl<'a> DeserializeSeed<'a> for Inside {
    type Value = Option<Object<'a>>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Inside {
    type Value = Option<Object<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Object::default();
        while let Some(name) = map.next_key_seed(Text)? {
            let member = match &*name {
                "number" => &mut object.number,
                "id" => &mut object.id,
                "sku" => &mut object.sku,
                "email" => &mut object.email,
                "token" => &mut object.token,
                "order_number" => &mut object.order_number,
                "order_id" => &mut object.order_id,
                "order" if self.nested => {
                    object.order = map.next_value_seed(Inside { nested: false })?.map(Box::new);
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *member = match Scalar::of_raw(map.next_value::<&'a RawValue>()?.get()) {
                Scalar::Text(text) => Some(text),
                Scalar::Number(text) => Some(Cow::Borrowed(text)),
                Scalar::Null | Scalar::Bool(_) | Scalar::Composite(_) => None,
            };
        }
        Ok(Some(object))
    }
}

/// The lane of an object of a store as a number: the first 8 bytes, big-endian, of the SHA-256 of `lane-1\0`, the
/// store's key (8 bytes, big-endian), the kind, `\0` and the folded token. Stored in rows: it never changes.
pub fn lane_hash(store_key: i64, object: &ObjectRef) -> i64 {
    let hash = Sha256::new_with_prefix(b"lane-1\0");
    first_eight(
        hash.chain_update(store_key.to_be_bytes())
            .chain_update(object.kind().as_bytes())
            .chain_update(b"\0")
            .chain_update(object.folded().as_bytes()),
    )
}

/// The routing shard of a lane, 0 to 63: the upper six bits of [`lane_hash`].
pub fn shard_of_lane(lane: i64) -> u8 {
    lane.to_be_bytes()[0] >> 2
}

/// The routing shard of a message, 0 to 63: its lane's, or one by its number (`seq`, any number that differs between
/// messages) when it is in no lane.
pub fn shard_of(store_key: i64, object: Option<&ObjectRef>, seq: u64) -> u8 {
    let lane = match object {
        Some(object) => lane_hash(store_key, object),
        None => first_eight(
            Sha256::new_with_prefix(b"none-1\0")
                .chain_update(store_key.to_be_bytes())
                .chain_update(seq.to_be_bytes()),
        ),
    };
    shard_of_lane(lane)
}

fn first_eight(hash: Sha256) -> i64 {
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(digest.first_chunk::<8>().expect("32 bytes have 8"));
    i64::from_be_bytes(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/reference.rs"]
mod tests;
