//! JSON that stays text: the payload of a message, checked once and then kept byte for byte.
//!
//! The hub never builds a tree of a payload. It checks the text at the door ([`Payload::parse`]), stores it, reads single
//! values out of it ([`crate::domain::lookup`]) and copies it into requests ([`Payload::with_parameters`]).
//!
//! Two members of the same name in one object are legal JSON (RFC 8259, 4). Both stay in the text; whoever reads sees
//! the last one, as Ruby's and serde_json's maps do.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::json_scan::{Member, skim};

/// The deepest nesting of objects and arrays that a payload may have, the payload itself being 1. Below the recursion
/// limit of serde_json (128), so that a payload may still stand inside a message inside a batch.
pub const MAX_DEPTH: usize = 100;

/// The root member that carries configuration values in dialect 1, secrets among them: never part of a payload here.
const PARAMETERS: &str = "parameters";

/// How much of a payload is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadLimits {
    /// The longest text, in bytes.
    pub bytes: usize,
    /// The deepest nesting; values above [`MAX_DEPTH`] count as [`MAX_DEPTH`].
    pub depth: usize,
}

impl Default for PayloadLimits {
    fn default() -> Self {
        Self {
            bytes: 5 * 1024 * 1024,
            depth: MAX_DEPTH,
        }
    }
}

/// Why a text is no payload. Each is a sentence for whoever sent it; `at` is the dotted path from the message's root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The text is longer than allowed; both in bytes.
    #[error("payload: is {found} bytes long, at most {limit} are accepted")]
    TooLong {
        /// Length of the text, in bytes.
        found: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The bytes are not UTF-8 (RFC 8259, 8.1).
    #[error("payload: is not valid UTF-8")]
    NotUtf8,
    /// JSON, but not an object.
    #[error("payload: must be an object, found {found}")]
    NotAnObject {
        /// What stood there: "an array", "a text", ...
        found: &'static str,
    },
    /// Nested deeper than allowed.
    #[error("{at}: is nested deeper than {limit} levels")]
    TooDeep {
        /// Where the first too deep value stands.
        at: String,
        /// The limit, in levels.
        limit: usize,
    },
    /// Not JSON, or JSON that not every reader takes: a lone surrogate, a number beyond a double.
    #[error("{at}: {problem}")]
    Malformed {
        /// The value in which reading stopped.
        at: String,
        /// The reader's words, with line and column.
        problem: String,
    },
}

/// A JSON object without the root member `parameters`, each of its members kept byte for byte. Cloning is cheap.
///
/// `Debug` shows the length only: payloads are never logged.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload(Arc<str>);

impl Payload {
    /// The payload `{}`.
    pub fn empty() -> Self {
        Self(Arc::from("{}"))
    }

    /// Checks `text` in one pass and cuts out root members named `parameters` (all of them, however the name is
    /// escaped). White space around the object goes too; nothing else is touched.
    pub fn parse(text: &str, limits: PayloadLimits) -> Result<Self, PayloadError> {
        if text.len() > limits.bytes {
            return Err(PayloadError::TooLong {
                found: text.len(),
                limit: limits.bytes,
            });
        }
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        if let Some(found) = other_than_object(text) {
            return Err(PayloadError::NotAnObject { found });
        }
        let depth = limits.depth.min(MAX_DEPTH);
        if let Some(payload) =
            skim(text, depth, 1).and_then(|members| Self::of_members(text, &members, 1))
        {
            return Ok(payload);
        }
        if check(text, depth)? {
            Ok(Self(without_parameters(text).into()))
        } else {
            Ok(Self(text.into()))
        }
    }

    /// The payload that stands in `text`, which was skimmed: its members are those of `members` at `depth`. `None` when
    /// `parameters` are to be cut out.
    pub(super) fn of_members(text: &str, members: &[Member<'_>], depth: usize) -> Option<Self> {
        let is_clean = members
            .iter()
            .all(|member| member.depth != depth || member.name != PARAMETERS);
        is_clean.then(|| Self(text.into()))
    }

    /// [`Payload::parse`] for bytes as they came over the network.
    pub fn parse_bytes(bytes: &[u8], limits: PayloadLimits) -> Result<Self, PayloadError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PayloadError::NotUtf8)?;
        Self::parse(text, limits)
    }

    /// [`Payload::parse`] for a part of a larger document. `RawValue` alone accepts lone surrogates, `1e999` and any
    /// depth, hence the second look.
    pub fn parse_raw(raw: &RawValue, limits: PayloadLimits) -> Result<Self, PayloadError> {
        Self::parse(raw.get(), limits)
    }

    /// Takes a text that [`Payload::as_str`] gave earlier, as read back from the database, without looking at it again.
    pub fn from_stored(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The object as JSON text, from `{` to `}`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Length of the text, in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the object has no members.
    pub fn is_empty(&self) -> bool {
        self.members().bytes().all(is_blank)
    }

    /// Writes `{...members,"parameters":<raw_array>}` without reading the payload. `raw_array` is JSON text, an array in
    /// dialect 1.
    pub fn with_parameters(&self, raw_array: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len() + raw_array.len() + 16);
        self.write_with_parameters(&mut out, raw_array);
        out
    }

    /// [`Payload::with_parameters`] at the end of `out`, for building a whole request body in one buffer.
    pub fn write_with_parameters(&self, out: &mut Vec<u8>, raw_array: &str) {
        out.push(b'{');
        if !self.is_empty() {
            out.extend_from_slice(self.members().as_bytes());
            out.push(b',');
        }
        out.extend_from_slice(b"\"parameters\":");
        out.extend_from_slice(raw_array.as_bytes());
        out.push(b'}');
    }

    /// What stands between the braces.
    fn members(&self) -> &str {
        self.0
            .get(1..self.0.len().saturating_sub(1))
            .unwrap_or_default()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

/// As raw JSON, byte for byte; works with serde_json's serializers only.
impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Reads what an old client may send either as JSON or as a text holding that JSON (identifiers and filters).
/// Null and a blank text are the default. For `#[serde(deserialize_with = "from_json_or_string", default)]`.
pub fn from_json_or_string<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    struct Either<T>(PhantomData<T>);

    impl<'de, T: DeserializeOwned + Default> Visitor<'de> for Either<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object, an array, or a text holding one as JSON")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            if text.trim().is_empty() {
                Ok(T::default())
            } else {
                serde_json::from_str(text).map_err(E::custom)
            }
        }
        fn visit_unit<E>(self) -> Result<T, E> {
            Ok(T::default())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
            T::deserialize(de::value::SeqAccessDeserializer::new(seq))
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(de::value::MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_any(Either(PhantomData))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Names what a text begins with, when that is a JSON value other than an object.
fn other_than_object(text: &str) -> Option<&'static str> {
    match text.bytes().next() {
        None => Some("nothing"),
        Some(b'[') => Some("an array"),
        Some(b'"') => Some("a text"),
        Some(b't' | b'f') => Some("true or false"),
        Some(b'n') => Some("null"),
        Some(b'-' | b'0'..=b'9') => Some("a number"),
        Some(_) => None,
    }
}

/// Reads all of `text`; says whether the root has a member `parameters`.
fn check(text: &str, limit: usize) -> Result<bool, PayloadError> {
    let mut walk = Walk {
        limit,
        trail: Vec::new(),
        too_deep: false,
        parameters: false,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let outcome = Check {
        walk: &mut walk,
        depth: 0,
    }
    .deserialize(&mut deserializer)
    .and_then(|()| deserializer.end());
    match outcome {
        Ok(()) => Ok(walk.parameters),
        Err(_) if walk.too_deep => Err(PayloadError::TooDeep {
            at: walk.at(),
            limit,
        }),
        Err(error) => Err(PayloadError::Malformed {
            at: walk.at(),
            problem: error.to_string(),
        }),
    }
}

/// What the checking pass notes on its way.
struct Walk {
    limit: usize,
    /// Where it went wrong, innermost first; filled only while an error travels up.
    trail: Vec<String>,
    too_deep: bool,
    parameters: bool,
}

impl Walk {
    /// The dotted path of the trail, kept short.
    fn at(&self) -> String {
        let mut at = String::from("payload");
        for segment in self.trail.iter().rev().take(12) {
            at.push('.');
            at.extend(segment.chars().filter(|c| !c.is_control()).take(40));
        }
        if self.trail.len() > 12 {
            at.push_str("...");
        }
        at
    }
}

/// Checks one value and everything in it.
struct Check<'a> {
    walk: &'a mut Walk,
    depth: usize,
}

impl Check<'_> {
    fn deeper<E: de::Error>(&mut self) -> Result<usize, E> {
        if self.depth >= self.walk.limit {
            self.walk.too_deep = true;
            return Err(E::custom("nested too deep"));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        if number.is_finite() {
            Ok(())
        } else {
            Err(E::custom("number out of range"))
        }
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let mut index = 0usize;
        loop {
            match seq.next_element_seed(Check {
                walk: &mut *self.walk,
                depth,
            }) {
                Ok(Some(())) => index += 1,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.walk.trail.push(index.to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        while let Some(name) = map.next_key_seed(Text)? {
            if depth == 1 && name == PARAMETERS {
                self.walk.parameters = true;
            }
            if let Err(error) = map.next_value_seed(Check {
                walk: &mut *self.walk,
                depth,
            }) {
                self.walk.trail.push(name.into_owned());
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Reads a text, borrowed from the source unless it holds escapes. (`Cow` itself never borrows.)
pub(crate) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// The root members of an object with the place of each value in the source.
struct Members<'de>(Vec<(Cow<'de, str>, &'de RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Root;
        impl<'de> Visitor<'de> for Root {
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
        deserializer.deserialize_map(Root)
    }
}

/// `text`, an object that was checked, without its members `parameters`.
fn without_parameters(text: &str) -> String {
    let Members(members) =
        serde_json::from_str(text).expect("the text was read completely just before");
    let mut out = String::with_capacity(text.len());
    out.push('{');
    // Behind the brace or the comma before the member at hand.
    let mut begin = 1;
    let mut kept = 0;
    for (name, value) in &members {
        let Range { end, .. } = place(text, value.get());
        if name != PARAMETERS {
            if kept > 0 {
                out.push(',');
            }
            out.push_str(text.get(begin..end).unwrap_or_default());
            kept += 1;
        }
        begin = end
            + text
                .get(end..)
                .and_then(|rest| rest.find(','))
                .map_or(0, |comma| comma + 1);
    }
    out.push('}');
    out
}

/// Where `part`, a slice of `text`, stands in it.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/json.rs"]
pub(crate) mod tests;
