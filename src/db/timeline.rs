//! One object's timeline: its messages, their deliveries, those deliveries' attempts, and its events, merged.
//!
//! A page is made of the newest messages and events before a key. Whichever of the two reaches its limit first sets where
//! the page ends, so that no entry is left out and none comes twice; deliveries and attempts stand with their message.

use super::{
    Locator, MessageRef, Skip, TimelineEntry,
    shown::{DeliveryRow, Head},
};
use crate::domain::{delivery::Attempt, id::IdSeal, key::MappingKey};

/// Deliveries of one message that a timeline shows; a message's own page has more.
pub(in crate::db) const DELIVERIES: usize = 100;

/// Attempts of one delivery that a timeline shows, the last ones.
const ATTEMPTS: usize = 10;

/// The key that a page ends with, when there is more: of messages and events, newest first, one more than fits was looked for.
pub(in crate::db) fn end_of(messages: &[i64], events: &[i64], limit: usize) -> Option<i64> {
    let end = |keys: &[i64]| {
        if keys.len() > limit {
            keys.get(limit.saturating_sub(1)).copied()
        } else {
            None
        }
    };
    end(messages).max(end(events))
}

/// A message's entry.
pub(in crate::db) fn message_entry(
    head: &Head,
    location: Locator,
    skipped: Vec<Skip>,
) -> TimelineEntry {
    TimelineEntry::Message(MessageRef {
        key: head.key,
        id: head.id,
        kind: head.kind.clone(),
        source: head.source.clone(),
        parent_id: head.ancestry.map(|line| line.parent_id),
        location,
        at: head.accepted_at,
        skipped,
    })
}

/// A delivery's entry, and those of its last attempts.
pub(in crate::db) fn delivery_entries<M>(
    seal: IdSeal,
    head: &Head,
    row: DeliveryRow<M>,
    attempts: Vec<Attempt>,
) -> Vec<TimelineEntry> {
    let (id, mapping) = (row.id(seal), MappingKey(row.mapping.unwrap_or(0)));
    let mut entries = vec![TimelineEntry::Delivery {
        id,
        message_id: head.id,
        kind: head.kind.clone(),
        mapping,
        location: row.location,
        attempts: row.attempts,
        due_at: row.due_at,
        last_error: row.last_error,
        at: row.created_at,
        completed_at: row.completed_at,
    }];
    let early = attempts.len().saturating_sub(ATTEMPTS);
    let entry = |attempt| TimelineEntry::Attempt {
        delivery_id: id,
        mapping,
        attempt,
    };
    entries.extend(attempts.into_iter().skip(early).map(entry));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_the_first_of_messages_and_events_does() {
        assert_eq!(end_of(&[9, 8, 7], &[5, 4, 3], 2), Some(8));
        assert_eq!(end_of(&[9, 8], &[5, 4, 3], 2), Some(4));
        assert_eq!(end_of(&[9, 8], &[5], 2), None);
    }
}
