//! Reading events.

use diesel::sqlite::SqliteConnection;

use super::{
    codec::small,
    delivery::id_open,
    event::{level_number, level_read},
    statement::{Question, key_list, statements},
    walk::{Walk, walk_all},
};
use crate::{
    db::{
        DbResult, EventPage, EventQuery, EventRow, PageKey,
        walk::{Found, Range, all_of, keys_wanted, page},
    },
    domain::{
        id::IdSeal,
        key::{EventKey, StoreKey},
        reference::{ObjectRef, fold},
        time::Micros,
    },
};

type Row = (
    (
        i64,
        i64,
        String,
        String,
        Option<String>,
        Option<String>,
        Option<i64>,
        Option<i64>,
    ),
    (Option<i64>, String, Option<String>, i64, i64, i64),
);

statements! {
    /// Events by key, newest first.
    EventRows<'a> { keys: &'a str } -> Row =
        "SELECT seq, level, subject, description, ref_type, ref_token, message, delivery, arose_at, origin, attributes, occurrences,
         first_at, last_at FROM event WHERE seq IN (SELECT value FROM json_each(?1)) ORDER BY seq DESC";
    /// Which events of a store speak of an object's token, newest first.
    ReferenceKeys<'a> { store: i64, token: &'a str, kind: Option<&'a str>, level: Option<i64>, least: i64, below: i64, limit: i64 } -> i64 =
        "SELECT seq FROM event WHERE store = ?1 AND ref_fold = ?2 AND (?3 IS NULL OR ref_type = ?3) AND (?4 IS NULL OR level = ?4)
         AND seq >= ?5 AND seq < ?6 ORDER BY seq DESC LIMIT ?7";
}

/// What events arose from.
#[derive(Debug, Clone, Copy)]
pub(super) enum About {
    /// A message, or any of its deliveries.
    Message(i64),
    /// A delivery.
    Delivery(i64),
}

/// The newest events that arose from a message or delivery.
pub(super) fn events_about(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    store: StoreKey,
    about: About,
    limit: usize,
) -> DbResult<Vec<EventRow>> {
    let enter = match about {
        About::Message(seq) => walk(
            "event_message",
            format!("message = {seq}"),
            format!("store = {store}"),
        ),
        About::Delivery(seq) => walk(
            "event_delivery",
            format!("delivery = {seq}"),
            format!("store = {store}"),
        ),
    };
    let found = walk_all(conn, &[enter], Range::ALL, limit)?;
    events_read(conn, seal, &found.keys)
}

fn walk(index: &'static str, enter: String, filter: String) -> Walk {
    Walk {
        table: "event",
        index: Some(index),
        enter,
        filter,
    }
}

/// One page of events.
pub(super) fn list(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    query: &EventQuery,
) -> DbResult<EventPage> {
    let range = Range::below(query.after.map_or(i64::MAX, |key| key.0));
    let wanted = keys_wanted(query.skip, query.limit);
    let found = match (&query.message, &query.reference_token) {
        (Some(id), _) => {
            let walks = id_open(conn, seal, query.store.0, *id)?
                .map_or_else(Vec::new, |seq| arose_from(query, seq));
            let mut found = walk_all(conn, &walks, range, wanted)?;
            token_only(conn, seal, query, &mut found.keys)?;
            found
        }
        // A client's text is bound, not written into a walk.
        (None, Some(token)) => Found {
            keys: of_token(conn, query, token, range, wanted)?,
            stopped_at: None,
        },
        (None, None) => walk_all(conn, &[by_level(query)], range, wanted)?,
    };
    let page = page(&found, query.skip, query.limit);
    let rows = events_read(conn, seal, &page.keys)?;
    Ok(EventPage {
        rows,
        next: page.next.map(PageKey),
        matching: page.matching,
        counted_up_to: page.counted_up_to,
    })
}

/// Events that say they arose from this number: a message's or a delivery's, and no number is both.
fn arose_from(query: &EventQuery, seq: i64) -> Vec<Walk> {
    let level = query
        .level
        .map(|level| format!("level = {}", level_number(level)))
        .unwrap_or_default();
    let filter = all_of(&[
        format!("store = {}", query.store),
        level,
        type_filter(query),
    ]);
    vec![
        walk("event_message", format!("message = {seq}"), filter.clone()),
        walk("event_delivery", format!("delivery = {seq}"), filter),
    ]
}

fn by_level(query: &EventQuery) -> Walk {
    let store = format!("store = {}", query.store);
    match query.level {
        Some(level) => walk(
            "event_level",
            format!("{store} AND level = {}", level_number(level)),
            type_filter(query),
        ),
        None => walk("event_store", store, type_filter(query)),
    }
}

/// The condition on the object's type. A text that can be no type (so no quote either) matches nothing.
fn type_filter(query: &EventQuery) -> String {
    match query.reference_type.as_deref().map(str::to_ascii_lowercase) {
        None => String::new(),
        Some(kind) if ObjectRef::new(&kind, "x").is_ok_and(|object| object.kind() == kind) => {
            format!("ref_type = '{kind}'")
        }
        Some(_) => "0".into(),
    }
}

fn of_token(
    conn: &mut SqliteConnection,
    query: &EventQuery,
    token: &str,
    range: Range,
    wanted: usize,
) -> DbResult<Vec<i64>> {
    let (token, kind) = (
        fold(token),
        query.reference_type.as_deref().map(str::to_ascii_lowercase),
    );
    ReferenceKeys {
        store: query.store.0,
        token: &token,
        kind: kind.as_deref(),
        level: query.level.map(level_number),
        least: range.least,
        below: range.below,
        limit: i64::try_from(wanted).unwrap_or(i64::MAX),
    }
    .rows(conn)
}

/// Of a message's events, those about an object with the token asked for.
fn token_only(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    query: &EventQuery,
    keys: &mut Vec<i64>,
) -> DbResult<()> {
    let Some(token) = query.reference_token.as_deref().map(fold) else {
        return Ok(());
    };
    let events = events_read(conn, seal, keys)?;
    let about = |event: &&EventRow| {
        event
            .reference
            .as_ref()
            .is_some_and(|object| object.folded() == token)
    };
    *keys = events
        .iter()
        .filter(about)
        .map(|event| event.key.0)
        .collect();
    Ok(())
}

/// Keys of events about an object within a range, newest first.
pub(super) fn events_of_object(
    conn: &mut SqliteConnection,
    store: StoreKey,
    object: &ObjectRef,
    range: Range,
    limit: usize,
) -> DbResult<Vec<i64>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    ReferenceKeys {
        store: store.0,
        token: object.folded(),
        kind: Some(object.kind()),
        level: None,
        least: range.least,
        below: range.below,
        limit,
    }
    .rows(conn)
}

/// Events by key, newest first.
pub(super) fn events_read(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    keys: &[i64],
) -> DbResult<Vec<EventRow>> {
    let rows = EventRows {
        keys: &key_list(keys.iter().copied()),
    }
    .rows(conn)?;
    Ok(rows.into_iter().map(|row| event_row(seal, row)).collect())
}

fn event_row(seal: IdSeal, row: Row) -> EventRow {
    let ((seq, level, subject, description, ref_type, ref_token, message, delivery), rest) = row;
    let (arose_at, origin, attributes, occurrences, first_at, last_at) = rest;
    let reference = match (ref_type, ref_token) {
        (Some(kind), Some(token)) => ObjectRef::new(&kind, &token).ok(),
        _ => None,
    };
    EventRow {
        key: EventKey(seq),
        id: seal.seal(seq, Micros(first_at)),
        level: level_read(level),
        subject,
        description,
        reference,
        message_id: delivery
            .or(message)
            .zip(arose_at)
            .map(|(seq, made)| seal.seal(seq, Micros(made))),
        origin,
        attributes,
        occurrences: small(occurrences),
        first_at: Micros(first_at),
        last_at: Micros(last_at),
    }
}
