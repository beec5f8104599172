//! One object's timeline: its messages, their deliveries, those deliveries' attempts, and its events, merged.
//!
//! A page is made of the newest messages and events before a key. Whichever of the two reaches its limit first sets where
//! the page ends, so that no entry is left out and none comes twice; deliveries and attempts stand with their message.

use diesel::sqlite::SqliteConnection;

use super::{
    codec::small,
    delivery::{DeliveryRow, deliveries_read, places_read, record_read},
    detail::attempts_of,
    event_list::{events_of_object, events_read},
    message::{Head, heads_read},
    objects::messages_about,
};
use crate::{
    db::{DbResult, Locator, MessageRef, PageKey, Skip, Timeline, TimelineEntry, walk::Range},
    domain::{
        id::IdSeal,
        key::{MappingKey, StoreKey},
        reference::ObjectRef,
    },
};

/// Deliveries of one message that a timeline shows; a message's own page has more.
const DELIVERIES: usize = 100;

/// Attempts of one delivery that a timeline shows, the last ones.
const ATTEMPTS: usize = 10;

/// A part of an object's timeline.
pub(super) fn timeline(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    store: StoreKey,
    object: &ObjectRef,
    before: Option<PageKey>,
    limit: usize,
) -> DbResult<Timeline> {
    let below = before.map_or(i64::MAX, |key| key.0);
    // One more than fits tells whether there is more.
    let mut messages = messages_about(conn, store, object, Some(below), limit + 1)?;
    let mut events = events_of_object(conn, store, object, Range::below(below), limit + 1)?;
    let end = |keys: &[i64]| {
        if keys.len() > limit {
            keys.get(limit.saturating_sub(1)).copied()
        } else {
            None
        }
    };
    let older = end(&messages).max(end(&events));
    if let Some(older) = older {
        messages.retain(|key| *key >= older);
        events.retain(|key| *key >= older);
    }
    let mut entries = Vec::new();
    let places = places_read(conn, store.0, &messages)?;
    for head in heads_read(conn, seal, messages)? {
        if head.store == store.0 {
            let location = places.get(&head.key).copied().unwrap_or(Locator::Routed);
            message_entries(conn, seal, store, head, location, &mut entries)?;
        }
    }
    entries.extend(
        events_read(conn, seal, &events)?
            .into_iter()
            .map(TimelineEntry::Event),
    );
    // The sort is stable: of one moment, a message comes before its deliveries, those before their attempts and events.
    entries.sort_by_key(TimelineEntry::at);
    Ok(Timeline {
        entries,
        older: older.map(PageKey),
    })
}

fn message_entries(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    store: StoreKey,
    head: Head,
    location: Locator,
    entries: &mut Vec<TimelineEntry>,
) -> DbResult<()> {
    let record = record_read(conn, head.key)?;
    let keys: Vec<i64> = record
        .deliveries
        .iter()
        .map(|(delivery, _)| *delivery)
        .take(DELIVERIES)
        .collect();
    let mut rows: Vec<DeliveryRow> = deliveries_read(conn, store.0, &keys)?
        .into_values()
        .collect();
    rows.sort_unstable_by_key(|row| row.seq);
    entries.push(TimelineEntry::Message(message_ref(
        &head,
        location,
        record.skipped,
    )));
    for row in rows {
        delivery_entries(conn, seal, &head, row, entries)?;
    }
    Ok(())
}

fn delivery_entries(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    head: &Head,
    row: DeliveryRow,
    entries: &mut Vec<TimelineEntry>,
) -> DbResult<()> {
    let (id, mapping) = (row.id(seal), MappingKey(row.mapping.unwrap_or(0)));
    let attempts = if row.attempts > 0 {
        attempts_of(conn, row.seq)?
    } else {
        Vec::new()
    };
    entries.push(TimelineEntry::Delivery {
        id,
        message_id: head.id,
        kind: head.kind.clone(),
        mapping,
        location: row.location,
        attempts: small(row.attempts),
        due_at: row.due_at,
        last_error: row.last_error,
        at: row.created_at,
        completed_at: row.completed_at,
    });
    let early = attempts.len().saturating_sub(ATTEMPTS);
    let entry = |attempt| TimelineEntry::Attempt {
        delivery_id: id,
        mapping,
        attempt,
    };
    entries.extend(attempts.into_iter().skip(early).map(entry));
    Ok(())
}

fn message_ref(head: &Head, location: Locator, skipped: Vec<Skip>) -> MessageRef {
    MessageRef {
        key: head.key,
        id: head.id,
        kind: head.kind.clone(),
        source: head.source.clone(),
        parent_id: head.ancestry.map(|line| line.parent_id),
        location,
        at: head.accepted_at,
        skipped,
    }
}
