//! One object's timeline: its messages, their deliveries, those deliveries' attempts, and its events, merged.
//!
//! A page is made of the newest messages and events before a key. Whichever of the two reaches its limit first sets where
//! the page ends, so that no entry is left out and none comes twice; deliveries and attempts stand with their message.

use super::{
    codec::small,
    conn::Conn,
    delivery::{DeliveryRow, deliveries_read, places_read, record_read},
    detail::attempts_of,
    event_list::{events_of_object, events_read},
    message::{Head, Spot, heads_read},
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
    let last = |keys: &mut dyn Iterator<Item = i64>| keys.nth(limit.saturating_sub(1));
    let end_of_messages = if messages.len() > limit {
        last(&mut messages.iter().map(|(key, _)| *key))
    } else {
        None
    };
    let end_of_events = if events.len() > limit {
        last(&mut events.iter().copied())
    } else {
        None
    };
    let older = end_of_messages.max(end_of_events);
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
    entries.push(TimelineEntry::Message(message_ref(
        &head,
        location,
        record.skipped,
    )));
    for row in rows {
        delivery_entries(conn, seal, store, &head, row, entries).await?;
    }
    Ok(())
}

async fn delivery_entries(
    conn: &Conn,
    seal: IdSeal,
    store: StoreKey,
    head: &Head,
    row: DeliveryRow,
    entries: &mut Vec<TimelineEntry>,
) -> DbResult<()> {
    let (id, mapping) = (row.id(seal), MappingKey(row.mapping.unwrap_or(0)));
    let attempts = if row.attempts > 0 {
        attempts_of(conn, store, row.seq, row.created_at.0).await?
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
