//! Reads the values of many paths out of one message in one pass.
//!
//! All paths of all mappings go into one [`PathSet`], a trie. [`PathSet::lookup`] walks the payload's text along the trie
//! and skips, unread, every member that no path enters; a path that a thousand mappings share is read once. Numbers and
//! nested values are kept as written in the source.
//!
//! Where an object names a member twice, the last one counts (see [`crate::domain::json`]).

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::Payload;
use super::path::{Path, Segment};

/// A path's place in its [`PathSet`]; means nothing to another set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId(u32);

/// One value that a path found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scalar<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, its text as in the source: `10.50` stays `10.50`.
    Number(&'a str),
    /// A text, its escapes resolved.
    Text(Cow<'a, str>),
    /// An object or an array that the path ended at, as raw JSON.
    Composite(&'a str),
}

impl<'a> Scalar<'a> {
    /// Reads the raw JSON of one complete value.
    pub(crate) fn of_raw(raw: &'a str) -> Self {
        match raw.as_bytes().first() {
            Some(b'"') => Self::Text(unescape(raw)),
            Some(b'{' | b'[') => Self::Composite(raw),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number(raw),
        }
    }

    /// The value as text for comparing: null is the empty text, numbers as written, nested values as raw JSON.
    pub fn as_text(&self) -> &str {
        match self {
            Self::Null => "",
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
            Self::Number(text) | Self::Composite(text) => text,
            Self::Text(text) => text,
        }
    }
}

/// The text of a raw JSON string, borrowed when it has no escapes.
fn unescape(raw: &str) -> Cow<'_, str> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    // A payload was checked when it was accepted; only a text that was not can fail here, and stays as it is.
    serde_json::from_str::<String>(raw).map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// The root members of a message, for reading.
#[derive(Clone, Copy, Debug)]
pub struct RootView<'a> {
    /// The type, as it was pushed.
    pub message: &'a str,
    /// The message's own id.
    pub message_id: Option<&'a str>,
    /// The store's id as the API shows it.
    pub store_id: Option<&'a str>,
    /// Where the message came from.
    pub source: Option<&'a str>,
    /// The id of the message that it was derived from.
    pub parent_id: Option<&'a str>,
    /// The payload.
    pub payload: &'a Payload,
}

/// Many paths as one trie, each once.
#[derive(Clone, Debug, Default)]
pub struct PathSet {
    /// The root is the first; empty until a path is added. Nodes are only ever pushed, so an index kept in one is good.
    nodes: Vec<Node>,
    paths: u32,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// The path that ends here.
    path: Option<PathId>,
    /// Members by name, sorted.
    names: Vec<(Box<str>, usize)>,
    /// The names that are numbers too, for arrays.
    indexes: Vec<(usize, usize)>,
    each: Option<usize>,
}

impl Node {
    fn is_leaf(&self) -> bool {
        self.names.is_empty() && self.each.is_none()
    }

    /// The child of a name: its place among the node's children and its node.
    fn child(&self, name: &str) -> Option<(usize, usize)> {
        let place = self
            .names
            .binary_search_by(|(own, _)| (**own).cmp(name))
            .ok()?;
        self.names.get(place).map(|(_, node)| (place, *node))
    }
}

impl PathSet {
    /// A set without paths.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a path; a path that is there already gives the same id.
    pub fn add(&mut self, path: &Path) -> PathId {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        for segment in path.segments() {
            at = self.step(at, segment);
        }
        let next = PathId(self.paths);
        let id = *self.nodes[at].path.get_or_insert(next);
        if id == next {
            self.paths += 1;
        }
        id
    }

    fn step(&mut self, at: usize, segment: &Segment) -> usize {
        let fresh = self.nodes.len();
        let node = &mut self.nodes[at];
        let next = match segment {
            Segment::Each => *node.each.get_or_insert(fresh),
            Segment::Name { name, index } => {
                match node.names.binary_search_by(|(own, _)| own.cmp(name)) {
                    Ok(place) => node.names[place].1,
                    Err(place) => {
                        node.names.insert(place, (name.clone(), fresh));
                        node.indexes.extend(index.map(|index| (index, fresh)));
                        fresh
                    }
                }
            }
        };
        if next == fresh {
            self.nodes.push(Node::default());
        }
        next
    }

    /// How many different paths there are.
    pub fn len(&self) -> usize {
        self.paths as usize
    }

    /// Whether there are no paths.
    pub fn is_empty(&self) -> bool {
        self.paths == 0
    }

    /// Finds the values of all paths. Reads the payload at most once, and not at all when no path enters it. A payload
    /// that was never checked and is broken gives what was found before the fault.
    pub fn lookup<'a>(&self, root: &RootView<'a>) -> Found<'a> {
        let mut reading = Reading {
            nodes: &self.nodes,
            hits: Vec::new(),
            seen: Vec::new(),
        };
        if let Some(top) = self.nodes.first() {
            let texts = [
                ("message", Some(root.message)),
                ("message_id", root.message_id),
                ("store_id", root.store_id),
                ("source", root.source),
                ("parent_id", root.parent_id),
            ];
            for (name, text) in texts {
                let path = top.child(name).and_then(|(_, node)| self.nodes[node].path);
                if let (Some(path), Some(text)) = (path, text) {
                    reading.hits.push((path, Scalar::Text(Cow::Borrowed(text))));
                }
            }
            if let Some((_, node)) = top.child("payload") {
                reading.read_raw(node, root.payload.as_str());
            }
        }
        Found::new(reading.hits, self.paths)
    }
}

/// What [`PathSet::lookup`] found, borrowed from the message.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// Sorted by path, those of one path in the order of the document.
    values: Vec<Scalar<'a>>,
    /// Per path the end of its values; they begin where the former's end.
    ends: Vec<u32>,
}

impl<'a> Found<'a> {
    fn new(mut hits: Vec<(PathId, Scalar<'a>)>, paths: u32) -> Self {
        hits.sort_by_key(|(path, _)| *path);
        let mut ends = vec![0; paths as usize];
        for (path, _) in &hits {
            ends[path.0 as usize] += 1;
        }
        let mut end = 0;
        for own in &mut ends {
            end += *own;
            *own = end;
        }
        Self {
            values: hits.into_iter().map(|(_, value)| value).collect(),
            ends,
        }
    }

    /// The values of a path in the order of the document; none when it led nowhere.
    pub fn values(&self, path: PathId) -> &[Scalar<'a>] {
        let place = path.0 as usize;
        let begin = place
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or(0);
        let end = self.ends.get(place).copied().unwrap_or(begin);
        self.values
            .get(begin as usize..end as usize)
            .unwrap_or_default()
    }
}

/// One walk over a payload.
struct Reading<'s, 'a> {
    nodes: &'s [Node],
    /// In the order of the document.
    hits: Vec<(PathId, Scalar<'a>)>,
    /// Members read of the objects that are open, with the range of their hits: a repeated member takes its first back.
    seen: Vec<Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    node: usize,
    begin: usize,
    end: usize,
}

impl<'a> Reading<'_, 'a> {
    /// Reads the text of one complete value at a node.
    fn read_raw(&mut self, at: usize, raw: &'a str) {
        let node = &self.nodes[at];
        if let Some(path) = node.path {
            self.hits.push((path, Scalar::of_raw(raw)));
        }
        if !node.is_leaf() && raw.starts_with(['{', '[']) {
            let mut deserializer = serde_json::Deserializer::from_str(raw);
            // The error of a broken text is left aside on purpose, see `lookup`.
            let _ = Inside { reading: self, at }.deserialize(&mut deserializer);
        }
    }

    /// Drops the hits of an earlier member of the same name in the object whose entries in `seen` start at `base`.
    fn forget(&mut self, base: usize, node: usize) {
        let Some(place) = self.seen[base..].iter().position(|seen| seen.node == node) else {
            return;
        };
        let gone = self.seen.remove(base + place);
        self.hits.drain(gone.begin..gone.end);
        let count = gone.end - gone.begin;
        for later in &mut self.seen[base + place..] {
            later.begin -= count;
            later.end -= count;
        }
    }
}

/// Reads a value at a node, whichever way is cheapest for it.
struct At<'r, 's, 'a> {
    reading: &'r mut Reading<'s, 'a>,
    at: usize,
}

impl<'a> DeserializeSeed<'a> for At<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.reading.nodes[self.at].path.is_some() {
            let raw = <&'a RawValue as de::Deserialize>::deserialize(deserializer)?;
            self.reading.read_raw(self.at, raw.get());
            return Ok(());
        }
        Inside {
            reading: self.reading,
            at: self.at,
        }
        .deserialize(deserializer)
    }
}

/// Reads what is inside a value at a node.
struct Inside<'r, 's, 'a> {
    reading: &'r mut Reading<'s, 'a>,
    at: usize,
}

impl<'a> DeserializeSeed<'a> for Inside<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Inside<'_, '_, 'a> {
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
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let nodes = self.reading.nodes;
        let base = self.reading.seen.len();
        // A bit per child, shared beyond 64: no bit, surely not seen.
        let mut bits = 0u64;
        while let Some(child) = map.next_key_seed(ChildOf(&nodes[self.at]))? {
            let Some((place, node)) = child else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let bit = 1 << (place % 64);
            if bits & bit != 0 {
                self.reading.forget(base, node);
            }
            bits |= bit;
            let begin = self.reading.hits.len();
            map.next_value_seed(At {
                reading: &mut *self.reading,
                at: node,
            })?;
            let end = self.reading.hits.len();
            self.reading.seen.push(Seen { node, begin, end });
        }
        self.reading.seen.truncate(base);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let nodes = self.reading.nodes;
        let node = &nodes[self.at];
        for index in 0usize.. {
            let single = node
                .indexes
                .iter()
                .find(|(own, _)| *own == index)
                .map(|(_, node)| *node);
            let more = match (node.each, single) {
                (None, None) => seq.next_element::<IgnoredAny>()?.is_some(),
                (Some(at), None) | (None, Some(at)) => seq
                    .next_element_seed(At {
                        reading: &mut *self.reading,
                        at,
                    })?
                    .is_some(),
                (Some(each), Some(single)) => match seq.next_element::<&'a RawValue>()? {
                    Some(raw) => {
                        self.reading.read_raw(each, raw.get());
                        self.reading.read_raw(single, raw.get());
                        true
                    }
                    None => false,
                },
            };
            if !more {
                break;
            }
        }
        Ok(())
    }
}

/// Reads a member's name and finds its child in the trie, without keeping the name.
struct ChildOf<'s>(&'s Node);

impl<'de> DeserializeSeed<'de> for ChildOf<'_> {
    type Value = Option<(usize, usize)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ChildOf<'_> {
    type Value = Option<(usize, usize)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.child(name))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/lookup.rs"]
mod tests;
