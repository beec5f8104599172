//! Reading one object's timeline. See [`crate::db::timeline`].

use diesel::sqlite::SqliteConnection;

use super::{
    delivery::{DeliveryRow, deliveries_read, places_read, record_read},
    detail::attempts_of,
    event_list::{events_of_object, events_read},
    message::heads_read,
    objects::messages_about,
};
use crate::{
    db::{
        DbResult, Locator, PageKey, Timeline, TimelineEntry,
        shown::Head,
        timeline::{DELIVERIES, delivery_entries, end_of, message_entry},
        walk::Range,
    },
    domain::{id::IdSeal, key::StoreKey, reference::ObjectRef},
};

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
    let older = end_of(&messages, &events, limit);
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
    entries.push(message_entry(&head, location, record.skipped));
    for row in rows {
        let attempts = if row.attempts > 0 {
            attempts_of(conn, row.seq)?
        } else {
            Vec::new()
        };
        entries.extend(delivery_entries(seal, &head, row, attempts));
    }
    Ok(())
}
