//! Identifiers: named paths whose values together make a message unique for a mapping.
//!
//! A mapping claims the values of a message when the message is accepted for it; a later message with the same values is
//! a duplicate. The claim is a hash, so it takes 16 bytes whatever the values are. The rules, fixed for ever:
//!
//! - A path that finds nothing, and one that finds a single null, has the value null. When all are null, nothing is claimed.
//! - A path that finds several has the list of them as its value, in the order of the document: sorted, `[2,1]` of one
//!   path beside `[a,b]` of another could not be told from `[1,2]` beside `[a,b]`.
//! - Texts, numbers and booleans are the same when written alike: `1` is `"1"`, but `1.0` is not `1`. Null is not `"null"`.
//! - Objects and arrays that a path ends at count by their JSON without white space; the order of members matters.
//! - The order in which identifiers are listed does not matter, their names do.

use std::fmt;
use std::fmt::Write;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::lookup::{Found, PathId, PathSet, Scalar};
use super::path::{Path, PathError};

/// The most identifiers of one mapping.
pub const MAX_IDENTIFIERS: usize = 20;

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 100;

/// The longest text that [`CompiledIdentifiers::describe`] gives, in characters.
const MAX_DESCRIPTION_CHARS: usize = 200;

/// Why a set of identifiers is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// More than [`MAX_IDENTIFIERS`].
    #[error("identifiers: more than {MAX_IDENTIFIERS} given")]
    TooMany,
    /// A name that is blank or longer than [`MAX_NAME_BYTES`].
    #[error("identifiers: a name must have 1 to {MAX_NAME_BYTES} bytes")]
    BadName,
    /// A name that stands twice.
    #[error("identifiers.{name}: stands twice")]
    Repeated {
        /// The name.
        name: String,
    },
    /// A path that cannot be read.
    #[error("identifiers.{name}: {source}")]
    BadPath {
        /// The identifier's name.
        name: String,
        /// What is wrong with its path.
        source: PathError,
    },
}

/// Names and paths in the order given; an object of texts in the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identifiers(Vec<(String, Path)>);

impl Identifiers {
    /// Adds one at the end.
    pub fn add(&mut self, name: &str, path: &str) -> Result<(), IdentifierError> {
        if name.trim().is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(IdentifierError::BadName);
        }
        if self.0.iter().any(|(own, _)| own == name) {
            return Err(IdentifierError::Repeated {
                name: name.to_owned(),
            });
        }
        if self.0.len() == MAX_IDENTIFIERS {
            return Err(IdentifierError::TooMany);
        }
        let path = Path::parse(path).map_err(|source| IdentifierError::BadPath {
            name: name.to_owned(),
            source,
        })?;
        self.0.push((name.to_owned(), path));
        Ok(())
    }

    /// Names and paths, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.iter().map(|(name, path)| (name.as_str(), path))
    }

    /// Whether there are none; then every message is new.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Identifiers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Identifiers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Identifiers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of names and paths")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Identifiers, A::Error> {
                let mut identifiers = Identifiers::default();
                while let Some((name, path)) = map.next_entry::<String, String>()? {
                    identifiers
                        .add(&name, &path)
                        .map_err(serde::de::Error::custom)?;
                }
                Ok(identifiers)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// What a mapping remembers of a message: the first 16 bytes of a SHA-256 over its identifiers' names and values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimKey([u8; 16]);

impl ClaimKey {
    /// Takes the bytes of a key that was stored.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// 32 hex digits.
impl fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimKey({self})")
    }
}

/// A mapping's identifiers, ready for use with the values found by the same [`PathSet`].
#[derive(Clone, Debug, Default)]
pub struct CompiledIdentifiers {
    /// Sorted by name.
    paths: Box<[(Box<str>, PathId)]>,
}

impl CompiledIdentifiers {
    /// Adds the paths to `paths`.
    pub fn compile(identifiers: &Identifiers, paths: &mut PathSet) -> Self {
        let mut own: Vec<_> = identifiers
            .iter()
            .map(|(name, path)| (Box::from(name), paths.add(path)))
            .collect();
        own.sort();
        Self { paths: own.into() }
    }

    /// The message's key for this mapping; none when there are no identifiers or all their values are null.
    pub fn claim(&self, found: &Found<'_>) -> Option<ClaimKey> {
        if self
            .paths
            .iter()
            .all(|(_, path)| is_null(found.values(*path)))
        {
            return None;
        }
        // Every part is preceded by its length, so that no two lists of values give the same bytes. The first bytes say
        // which rules made them. Claims are stored: a change here needs a new mark, and makes every old claim new.
        let mut hash = Sha256::new_with_prefix(b"claim-1\0");
        for (name, path) in &self.paths {
            put(&mut hash, name);
            let values = found.values(*path);
            let values = if is_null(values) { &[] } else { values };
            hash.update((values.len() as u64).to_be_bytes());
            for value in values {
                match value {
                    Scalar::Null => hash.update(b"n"),
                    Scalar::Composite(raw) => {
                        hash.update(b"c");
                        put(&mut hash, &without_white_space(raw));
                    }
                    other => {
                        hash.update(b"t");
                        put(&mut hash, other.as_text());
                    }
                }
            }
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut key = [0; 16];
        key.copy_from_slice(digest.first_chunk::<16>()?);
        Some(ClaimKey(key))
    }

    /// For people: `order_number=R123 sku=[A, B]`, cut at 200 characters.
    pub fn describe(&self, found: &Found<'_>) -> String {
        let mut text = String::new();
        for (name, path) in &self.paths {
            if text.len() > 4 * MAX_DESCRIPTION_CHARS {
                break;
            }
            let gap = if text.is_empty() { "" } else { " " };
            match found.values(*path) {
                [] => write!(text, "{gap}{name}=null"),
                [one] => write!(text, "{gap}{name}={}", shown(one)),
                several => {
                    let list: Vec<&str> = several
                        .iter()
                        .take(MAX_DESCRIPTION_CHARS)
                        .map(shown)
                        .collect();
                    write!(text, "{gap}{name}=[{}]", list.join(", "))
                }
            }
            .expect("a String takes everything");
        }
        let mut short: String = text
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_DESCRIPTION_CHARS)
            .collect();
        if short.len() < text.len() && short.chars().count() == MAX_DESCRIPTION_CHARS {
            short.pop();
            short.push('…');
        }
        short
    }
}

fn shown<'s>(value: &'s Scalar<'_>) -> &'s str {
    match value {
        Scalar::Null => "null",
        other => other.as_text(),
    }
}

fn is_null(values: &[Scalar<'_>]) -> bool {
    matches!(values, [] | [Scalar::Null])
}

fn put(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

/// JSON without the white space between its parts.
fn without_white_space(raw: &str) -> String {
    let mut in_text = false;
    let mut escaped = false;
    let keep = |c: &char| {
        if in_text {
            in_text = escaped || *c != '"';
            escaped = !escaped && *c == '\\';
            return true;
        }
        in_text = *c == '"';
        !matches!(c, ' ' | '\t' | '\n' | '\r')
    };
    raw.chars().filter(keep).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/identifier.rs"]
mod tests;
