//! Events as both databases store and list them: what is kept of one, what it is a repeat of, what a list asks for, and rows read
//! back.

use sha2::{Digest, Sha256};

use super::{EventQuery, EventRow, walk::all_of};
use crate::domain::{
    event::{Level, NewEvent},
    id::IdSeal,
    key::{DeliveryKey, EventKey},
    reference::ObjectRef,
    time::Micros,
};

/// The longest subject kept, in bytes.
const SUBJECT_BYTES: usize = 500;

/// The longest description kept, in bytes.
const DESCRIPTION_BYTES: usize = 16_384;

/// What is kept of an event's subject and description.
pub(in crate::db) fn kept_words(event: &NewEvent) -> (&str, &str) {
    (
        cut(&event.subject, SUBJECT_BYTES),
        cut(&event.description, DESCRIPTION_BYTES),
    )
}

/// The text up to `bytes`, at the end of a character.
pub(in crate::db) fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// What an event is a repeat of.
#[derive(Debug, Clone)]
pub(in crate::db) enum Repeat {
    /// Of the same words about the same delivery; without a delivery of nothing.
    ByWords,
    /// Of what has this digest.
    Of(Vec<u8>),
}

impl Repeat {
    /// The digest that an event shares with those it repeats; `None`: it repeats nothing.
    pub(in crate::db) fn dedupe(&self, event: &NewEvent) -> Option<Vec<u8>> {
        match self {
            Self::Of(digest) => Some(digest.clone()),
            Self::ByWords => event.delivery.map(|delivery| {
                let (subject, description) = kept_words(event);
                digest(delivery, event.level, subject, description)
            }),
        }
    }
}

fn digest(delivery: DeliveryKey, level: Level, subject: &str, description: &str) -> Vec<u8> {
    let whole = Sha256::new()
        .chain_update(delivery.0.to_be_bytes())
        .chain_update(i64::from(level_number(level)).to_be_bytes())
        .chain_update((subject.len() as u64).to_be_bytes())
        .chain_update(subject.as_bytes())
        .chain_update(description.as_bytes());
    whole.finalize().iter().take(16).copied().collect()
}

/// The number a level is stored as.
pub(in crate::db) fn level_number(level: Level) -> i32 {
    match level {
        Level::Info => 0,
        Level::Warn => 1,
        Level::Error => 2,
    }
}

/// The level stored as this number; an unknown one is an error.
fn level_of(number: i64) -> Level {
    match number {
        0 => Level::Info,
        1 => Level::Warn,
        _ => Level::Error,
    }
}

/// What events that arose from a message or delivery are checked for.
pub(in crate::db) fn arose_filter(query: &EventQuery) -> String {
    let level = query
        .level
        .map(|level| format!("level = {}", level_number(level)))
        .unwrap_or_default();
    all_of(&[
        format!("store = {}", query.store),
        level,
        type_filter(query),
    ])
}

/// What the index of a store's events is entered by, or that of its levels.
pub(in crate::db) fn enter(query: &EventQuery) -> String {
    let store = format!("store = {}", query.store);
    match query.level {
        Some(level) => format!("{store} AND level = {}", level_number(level)),
        None => store,
    }
}

/// The condition on the object's type. A text that can be no type (so no quote either) matches nothing.
pub(in crate::db) fn type_filter(query: &EventQuery) -> String {
    match query.reference_type.as_deref().map(str::to_ascii_lowercase) {
        None => String::new(),
        Some(kind)
            if ObjectRef::new(&kind, "x").is_ok_and(|object| object.kind() == kind)
                && !kind.contains('\'') =>
        {
            format!("ref_type = '{kind}'")
        }
        Some(_) => "FALSE".into(),
    }
}

/// The keys of those events that are about an object with this token, folded.
pub(in crate::db) fn keys_with_token(events: &[EventRow], token: &str) -> Vec<i64> {
    let about = |event: &&EventRow| {
        let object = event.reference.as_ref();
        object.is_some_and(|object| object.folded() == token)
    };
    let events = events.iter().filter(about);
    events.map(|event| event.key.0).collect()
}

/// An event as it is stored: key, level, subject, description, the object's type and token, message and delivery; then when what
/// it arose from was made, origin, attributes, how often, first and last. `N` is the type of a small number.
pub(in crate::db) type StoredEvent<N> = (
    (
        i64,
        N,
        String,
        String,
        Option<String>,
        Option<String>,
        Option<i64>,
        Option<i64>,
    ),
    (Option<i64>, String, Option<String>, i64, i64, i64),
);

/// The event of a row.
pub(in crate::db) fn event_of<N: Into<i64>>(seal: IdSeal, row: StoredEvent<N>) -> EventRow {
    let ((seq, level, subject, description, ref_type, ref_token, message, delivery), rest) = row;
    let (arose_at, origin, attributes, occurrences, first_at, last_at) = rest;
    let reference = match (ref_type, ref_token) {
        (Some(kind), Some(token)) => ObjectRef::new(&kind, &token).ok(),
        _ => None,
    };
    EventRow {
        key: EventKey(seq),
        id: seal.seal(seq, Micros(first_at)),
        level: level_of(level.into()),
        subject,
        description,
        reference,
        message_id: delivery
            .or(message)
            .zip(arose_at)
            .map(|(seq, made)| seal.seal(seq, Micros(made))),
        origin,
        attributes,
        occurrences: u32::try_from(occurrences.max(0)).unwrap_or(u32::MAX),
        first_at: Micros(first_at),
        last_at: Micros(last_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("größe", 3), "gr");
        assert_eq!(cut("größe", 4), "grö");
        assert_eq!(cut("größe", 99), "größe");
    }

    #[test]
    fn levels_read_back_as_written() {
        for level in [Level::Info, Level::Warn, Level::Error] {
            assert_eq!(level_of(level_number(level).into()), level);
        }
    }
}
