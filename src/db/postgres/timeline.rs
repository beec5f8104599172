//! Reading one object's timeline. See [`crate::db::timeline`].

use super::{
    conn::Conn,
    delivery::{DeliveryRow, deliveries_read, places_read, record_read},
    detail::attempts_of,
    event_list::{events_of_object, events_read},
    message::{Spot, heads_read},
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
pub(super) async fn timeline(
    conn: &Conn,
    seal: IdSeal,
    store: StoreKey,
    object: &ObjectRef,
    before: Option<PageKey>,
    limit: usize,
) -> DbResult<Timeline> {
    let below = before.map_or(i64::MAX, |key| key.0);
    // One more than fits tells whether there is more.
    let mut messages = messages_about(conn, store, object, Some(below), limit + 1).await?;
    let mut events = events_of_object(conn, store, object, Range::below(below), limit + 1).await?;
    let keys: Vec<i64> = messages.iter().map(|(key, _)| *key).collect();
    let older = end_of(&keys, &events, limit);
    if let Some(older) = older {
        messages.retain(|(key, _)| *key >= older);
        events.retain(|key| *key >= older);
    }
    let mut entries = Vec::new();
    let keys: Vec<i64> = messages.iter().map(|(key, _)| *key).collect();
    let oldest = messages
        .iter()
        .map(|(_, made_at)| *made_at)
        .min()
        .unwrap_or(0);
    let places = places_read(conn, store.0, &keys, oldest).await?;
    let spots: Vec<Spot> = messages
        .into_iter()
        .map(|(seq, made_at)| Spot {
            store: store.0,
            seq,
            made_at,
        })
        .collect();
    let mut heads = heads_read(conn, seal, &spots).await?;
    heads.sort_unstable_by_key(|head| head.key);
    for head in heads {
        let location = places.get(&head.key).copied().unwrap_or(Locator::Routed);
        message_entries(conn, seal, store, head, location, &mut entries).await?;
    }
    entries.extend(
        events_read(conn, seal, store, &events)
            .await?
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

async fn message_entries(
    conn: &Conn,
    seal: IdSeal,
    store: StoreKey,
    head: Head,
    location: Locator,
    entries: &mut Vec<TimelineEntry>,
) -> DbResult<()> {
    let made_at = head.accepted_at.0;
    let record = record_read(conn, head.key, made_at).await?;
    let keys: Vec<i64> = record
        .deliveries
        .iter()
        .map(|(delivery, _)| *delivery)
        .take(DELIVERIES)
        .collect();
    let mut rows: Vec<DeliveryRow> = deliveries_read(conn, store.0, &keys, made_at)
        .await?
        .into_values()
        .collect();
    rows.sort_unstable_by_key(|row| row.seq);
    entries.push(message_entry(&head, location, record.skipped));
    for row in rows {
        let attempts = if row.attempts > 0 {
            attempts_of(conn, store, row.seq, row.created_at.0).await?
        } else {
            Vec::new()
        };
        entries.extend(delivery_entries(seal, &head, row, attempts));
    }
    Ok(())
}
