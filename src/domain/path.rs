//! Dotted paths into a message, as filters and identifiers use them: `payload.order.shipments.*.items.*.sku`.
//!
//! A path starts at the message's root, whose members are `message`, `message_id`, `store_id`, `source`, `parent_id` and
//! `payload`. `*` walks the elements of an array (arrays only: on an object it finds nothing); a number picks one element
//! of an array, or the member of that name of an object. Names are matched exactly; a name with a dot cannot be reached.
//!
//! A path that starts with anything else (`order.number` stands in recordings of 2013) is accepted and finds nothing.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most segments of a path.
pub const MAX_SEGMENTS: usize = 32;

/// The longest path, in bytes.
pub const MAX_PATH_BYTES: usize = 512;

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing but white space.
    #[error("the path is empty, expected something like payload.order.number")]
    Empty,
    /// Two dots in a row, or one at an end.
    #[error("segment {position} of the path is empty, a dot stands only between two names")]
    EmptySegment {
        /// Which one, counted from 1.
        position: usize,
    },
    /// More bytes than [`MAX_PATH_BYTES`].
    #[error("the path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// More segments than [`MAX_SEGMENTS`].
    #[error("the path has more than {MAX_SEGMENTS} segments")]
    TooManySegments,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A member's name; where `index` is set, also the element of an array at that place, counted from 0.
    Name {
        /// As written.
        name: Box<str>,
        /// The name as a number, if it is one without leading zeros.
        index: Option<usize>,
    },
    /// `*`: every element of an array.
    Each,
}

/// A path that was read and found sound. Cloning is cheap; two paths are equal when written alike.
#[derive(Clone)]
pub struct Path {
    text: Arc<str>,
    segments: Arc<[Segment]>,
}

impl Path {
    /// Reads a path; white space around it is dropped.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let mut segments = Vec::new();
        for part in text.split('.') {
            if part.is_empty() {
                return Err(PathError::EmptySegment {
                    position: segments.len() + 1,
                });
            }
            if segments.len() == MAX_SEGMENTS {
                return Err(PathError::TooManySegments);
            }
            segments.push(if part == "*" {
                Segment::Each
            } else {
                Segment::Name {
                    name: part.into(),
                    index: index_of(part),
                }
            });
        }
        Ok(Self {
            text: text.into(),
            segments: segments.into(),
        })
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its steps, at least one.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

/// The place in an array that a name stands for: digits without leading zeros.
fn index_of(name: &str) -> Option<usize> {
    let canonical = name == "0" || !name.starts_with('0');
    if canonical && name.bytes().all(|b| b.is_ascii_digit()) {
        name.parse().ok()
    } else {
        None
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({})", self.text)
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Path {}

impl std::hash::Hash for Path {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_its_spelling_and_knows_its_steps() {
        let path = Path::parse(" payload.order.items.*.12.sku ").unwrap();
        assert_eq!(path.as_str(), "payload.order.items.*.12.sku");
        assert_eq!(path.segments().len(), 6);
        assert_eq!(path.segments()[3], Segment::Each);
        assert_eq!(
            path.segments()[4],
            Segment::Name {
                name: "12".into(),
                index: Some(12)
            }
        );
        assert_eq!(index_of("012"), None);
        assert_eq!(index_of("0"), Some(0));
        assert_eq!(index_of("99999999999999999999999"), None);
    }

    #[test]
    fn a_broken_path_is_refused_with_a_sentence() {
        assert_eq!(Path::parse("  "), Err(PathError::Empty));
        assert_eq!(
            Path::parse("payload..order"),
            Err(PathError::EmptySegment { position: 2 })
        );
        assert_eq!(
            Path::parse("payload."),
            Err(PathError::EmptySegment { position: 2 })
        );
        assert_eq!(Path::parse(&"a".repeat(513)), Err(PathError::TooLong));
        assert_eq!(
            Path::parse(&vec!["a"; 33].join(".")),
            Err(PathError::TooManySegments)
        );
        assert!(Path::parse(&vec!["a"; 32].join(".")).is_ok());
        let error = serde_json::from_str::<Path>("\"a..b\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("segment 2 of the path is empty"), "{error}");
    }
}
