//! One message or delivery, whole: with its parent, its children, who did not get it, and what was said about it.

use diesel::sqlite::SqliteConnection;

use super::{
    archive::delivery_made,
    codec::{RoutingRecord, part_key, part_of},
    delivery::{DeliveryRow, deliveries_read, id_open, places_read, record_read},
    event_list::{About, events_about},
    job::marks,
    message::{heads_read, messages_read},
    statement::{Question, statements},
};
use crate::{
    db::{ChildRow, DbError, DbResult, Locator, MessageDetail, ParentRow, shown::Head},
    domain::{
        delivery::Attempt,
        id::{Id, IdSeal},
        key::{DeliveryKey, StoreKey},
        message::Message,
        time::Micros,
    },
};

/// Children of each kind that are shown.
const CHILDREN: usize = 500;

/// Events that are shown.
const EVENTS: usize = 100;

type AttemptRow = (
    (i64, i64, i64, String, Option<i64>, String, String),
    (String, i64, String, String, i64),
);

statements! {
    /// Messages that descend from a message at once.
    Derived { parent: i64, limit: i64 } -> i64 = "SELECT seq FROM message WHERE parent = ?1 ORDER BY seq LIMIT ?2";
    /// The head of a lane.
    LaneHead { endpoint: i64, lane: i64 } -> (i64, i64) =
        "SELECT seq, created_at FROM accepted WHERE endpoint = ?1 AND lane = ?2 AND state < 3 ORDER BY pos LIMIT 1";
    /// The attempts of a delivery.
    Attempts { from: i64, to: i64 } -> AttemptRow =
        "SELECT key, started_at, duration_us, url, status, outcome, error, request_headers, request_bytes, answer_headers,
         answer_body, answer_bytes FROM attempt WHERE key BETWEEN ?1 AND ?2 ORDER BY key";
}

/// The message or delivery of this store with this id.
pub(super) fn detail(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    store: StoreKey,
    id: Id,
) -> DbResult<MessageDetail> {
    let missing = DbError::Missing("message");
    let Some(seq) = id_open(conn, seal, store.0, id)? else {
        return Err(missing);
    };
    // An archive row with the message's own number is the message's, not a delivery's.
    match deliveries_read(conn, store.0, &[seq])?
        .remove(&seq)
        .filter(|row| row.mapping.is_some())
    {
        Some(delivery) => delivery_detail(conn, seal, store, delivery),
        None => message_detail(conn, seal, store, seq),
    }
}

fn whole_message(conn: &mut SqliteConnection, seal: IdSeal, seq: i64) -> DbResult<Message> {
    messages_read(conn, seal, [seq])?
        .pop()
        .unwrap_or(Err(DbError::Missing("message")))
}

fn message_detail(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    store: StoreKey,
    seq: i64,
) -> DbResult<MessageDetail> {
    let message = whole_message(conn, seal, seq)?;
    let location = places_read(conn, store.0, &[seq])?
        .remove(&seq)
        .unwrap_or(Locator::Routed);
    let RoutingRecord {
        deliveries,
        skipped,
    } = record_read(conn, seq)?;
    let mut children = deliveries_of(conn, seal, store, &message, &deliveries)?;
    children.extend(derived(conn, seal, store, seq)?);
    let parent = match message.ancestry {
        Some(line) => heads_read(conn, seal, [line.parent.0])?
            .pop()
            .map(Head::parent),
        None => None,
    };
    Ok(MessageDetail {
        id: message.id,
        delivery: None,
        location,
        created_at: message.accepted_at,
        parent,
        children,
        skipped,
        events: events_about(conn, seal, store, About::Message(seq), EVENTS)?,
        message,
    })
}

fn delivery_detail(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    store: StoreKey,
    row: DeliveryRow,
) -> DbResult<MessageDetail> {
    let message = whole_message(conn, seal, row.message)?;
    let behind = match row.waits_behind() {
        Some((endpoint, lane)) => LaneHead { endpoint, lane }
            .row(conn)?
            .map(|(seq, made)| seal.seal(seq, Micros(made))),
        None => None,
    };
    let replay_of = match row.replay_of {
        Some(earlier) => {
            delivery_made(conn, store.0, earlier)?.map(|made| seal.seal(earlier, Micros(made)))
        }
        None => None,
    };
    let jobs = marks(conn, seal, row.seq)?;
    Ok(MessageDetail {
        id: row.id(seal),
        location: row.location,
        created_at: row.created_at,
        parent: Some(ParentRow {
            id: message.id,
            kind: message.kind.as_str().to_owned(),
        }),
        children: derived(conn, seal, store, row.seq)?,
        skipped: Vec::new(),
        events: events_about(conn, seal, store, About::Delivery(row.seq), EVENTS)?,
        delivery: Some(row.detail(behind, replay_of, jobs)),
        message,
    })
}

fn deliveries_of(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    store: StoreKey,
    message: &Message,
    deliveries: &[(i64, i64)],
) -> DbResult<Vec<ChildRow>> {
    let keys: Vec<i64> = deliveries
        .iter()
        .map(|(delivery, _)| *delivery)
        .take(CHILDREN)
        .collect();
    let mut rows = deliveries_read(conn, store.0, &keys)?;
    Ok(keys
        .iter()
        .filter_map(|key| rows.remove(key))
        .map(|row| row.child(seal, message.kind.as_str()))
        .collect())
}

/// Messages derived from a message, or returned for a delivery.
fn derived(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    store: StoreKey,
    parent: i64,
) -> DbResult<Vec<ChildRow>> {
    let keys = Derived {
        parent,
        limit: CHILDREN as i64,
    }
    .rows(conn)?;
    let places = places_read(conn, store.0, &keys)?;
    let mut heads = heads_read(conn, seal, keys)?;
    heads.sort_unstable_by_key(|head| head.key);
    Ok(heads
        .into_iter()
        .filter(|head| head.store == store.0)
        .map(|head| head.child(&places))
        .collect())
}

/// Every attempt of a delivery, oldest first.
pub(super) fn attempts(
    conn: &mut SqliteConnection,
    store: StoreKey,
    delivery: DeliveryKey,
) -> DbResult<Vec<Attempt>> {
    if delivery_made(conn, store.0, delivery.0)?.is_none() {
        return Err(DbError::Missing("delivery"));
    }
    attempts_of(conn, delivery.0)
}

/// The attempts of a delivery whose store is known to be right.
pub(super) fn attempts_of(conn: &mut SqliteConnection, delivery: i64) -> DbResult<Vec<Attempt>> {
    let rows = Attempts {
        from: part_key(delivery, 0),
        to: part_key(delivery, u32::MAX),
    }
    .rows(conn)?;
    Ok(rows.into_iter().map(attempt).collect())
}

fn attempt(row: AttemptRow) -> Attempt {
    let ((key, started_at, duration_us, url, status, outcome, error), rest) = row;
    let (request_headers, request_bytes, answer_headers, answer_body, answer_bytes) = rest;
    Attempt {
        number: part_of(key),
        started_at: Micros(started_at),
        duration_us,
        url,
        status: status.and_then(|status| u16::try_from(status).ok()),
        outcome,
        error,
        request_headers,
        request_bytes,
        answer_headers,
        answer_body,
        answer_bytes,
    }
}
