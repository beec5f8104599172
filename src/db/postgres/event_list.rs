//! Reading events.

use super::{
    codec::{day_of, level_number, level_read},
    conn::Conn,
    delivery::id_open,
    statement::statements,
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

statements! {
    /// Events of a store by key, newest first.
    EVENT_ROWS = "SELECT seq, level, subject, description, ref_type, ref_token, message, delivery, arose_at, origin, attributes,
        occurrences, first_at, last_at FROM event WHERE store = $1 AND seq = ANY ($2::bigint[]) ORDER BY seq DESC";
    /// Which events of a store speak of an object's token, newest first.
    REFERENCE_KEYS = "SELECT seq FROM event WHERE store = $1 AND ref_fold = $2 AND ref_fold IS NOT NULL
        AND ($3::text IS NULL OR ref_type = $3) AND ($4::int IS NULL OR level = $4) AND seq >= $5 AND seq < $6 ORDER BY seq DESC LIMIT $7";
}

/// What events arose from, and when that was made.
#[derive(Debug, Clone, Copy)]
pub(super) enum About {
    /// A message, or any of its deliveries.
    Message(i64, i64),
    /// A delivery.
    Delivery(i64, i64),
}

/// The newest events that arose from a message or delivery.
pub(super) async fn events_about(
    conn: &Conn,
    seal: IdSeal,
    store: StoreKey,
    about: About,
    limit: usize,
) -> DbResult<Vec<EventRow>> {
    let (column, seq, made_at) = match about {
        About::Message(seq, made_at) => ("message", seq, made_at),
        About::Delivery(seq, made_at) => ("delivery", seq, made_at),
    };
    // Nothing arises from a row before it is made; a minute, because nodes' clocks differ.
    let day = day_of(made_at.saturating_sub(60_000_000));
    let enter = walk(
        format!("{column} = {seq} AND day >= {day}"),
        format!("store = {store}"),
    );
    let found = walk_all(conn, &[enter], Range::ALL, limit).await?;
    events_read(conn, seal, store, &found.keys).await
}

fn walk(enter: String, filter: String) -> Walk {
    Walk {
        table: "event",
        enter,
        filter,
    }
}

/// One page of events.
pub(super) async fn list(conn: &Conn, seal: IdSeal, query: &EventQuery) -> DbResult<EventPage> {
    let range = Range::below(query.after.map_or(i64::MAX, |key| key.0));
    let wanted = keys_wanted(query.skip, query.limit);
    let found = match (&query.message, &query.reference_token) {
        (Some(id), _) => {
            let walks = match id_open(conn, seal, query.store.0, *id).await? {
                Some((seq, _)) => arose_from(query, seq),
                None => Vec::new(),
            };
            let mut found = walk_all(conn, &walks, range, wanted).await?;
            token_only(conn, seal, query, &mut found.keys).await?;
            found
        }
        // A client's text is bound, not written into a walk.
        (None, Some(token)) => Found {
            keys: of_token(conn, query, token, range, wanted).await?,
            stopped_at: None,
        },
        (None, None) => walk_all(conn, &[by_level(query)], range, wanted).await?,
    };
    let page = page(&found, query.skip, query.limit);
    let rows = events_read(conn, seal, query.store, &page.keys).await?;
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
        walk(format!("message = {seq}"), filter.clone()),
        walk(format!("delivery = {seq}"), filter),
    ]
}

fn by_level(query: &EventQuery) -> Walk {
    let store = format!("store = {}", query.store);
    match query.level {
        Some(level) => walk(
            format!("{store} AND level = {}", level_number(level)),
            type_filter(query),
        ),
        None => walk(store, type_filter(query)),
    }
}

/// The condition on the object's type. A text that can be no type (so no quote either) matches nothing.
fn type_filter(query: &EventQuery) -> String {
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

async fn of_token(
    conn: &Conn,
    query: &EventQuery,
    token: &str,
    range: Range,
    wanted: usize,
) -> DbResult<Vec<i64>> {
    let (token, kind) = (
        fold(token),
        query.reference_type.as_deref().map(str::to_ascii_lowercase),
    );
    reference_keys(
        conn,
        query.store,
        &token,
        kind.as_deref(),
        query.level.map(level_number),
        range,
        wanted,
    )
    .await
}

async fn reference_keys(
    conn: &Conn,
    store: StoreKey,
    token: &str,
    kind: Option<&str>,
    level: Option<i32>,
    range: Range,
    limit: usize,
) -> DbResult<Vec<i64>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (token, kind) = (super::codec::text(token), kind.map(super::codec::text));
    let rows: Vec<(i64,)> = conn
        .rows(
            &REFERENCE_KEYS,
            &[
                &store.0,
                &token,
                &kind,
                &level,
                &range.least,
                &range.below,
                &limit,
            ],
        )
        .await?;
    Ok(rows.into_iter().map(|(seq,)| seq).collect())
}

/// Of a message's events, those about an object with the token asked for.
async fn token_only(
    conn: &Conn,
    seal: IdSeal,
    query: &EventQuery,
    keys: &mut Vec<i64>,
) -> DbResult<()> {
    let Some(token) = query.reference_token.as_deref().map(fold) else {
        return Ok(());
    };
    let events = events_read(conn, seal, query.store, keys).await?;
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
pub(super) async fn events_of_object(
    conn: &Conn,
    store: StoreKey,
    object: &ObjectRef,
    range: Range,
    limit: usize,
) -> DbResult<Vec<i64>> {
    reference_keys(
        conn,
        store,
        object.folded(),
        Some(object.kind()),
        None,
        range,
        limit,
    )
    .await
}

/// Events of a store by key, newest first.
pub(super) async fn events_read(
    conn: &Conn,
    seal: IdSeal,
    store: StoreKey,
    keys: &[i64],
) -> DbResult<Vec<EventRow>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    type Row = (
        i64,
        i32,
        String,
        String,
        Option<String>,
        Option<String>,
        Option<i64>,
        Option<i64>,
        Option<i64>,
        String,
        Option<String>,
        i64,
        i64,
        i64,
    );
    let rows: Vec<Row> = conn.rows(&EVENT_ROWS, &[&store.0, &keys]).await?;
    let read = |row: Row| {
        let (
            seq,
            level,
            subject,
            description,
            ref_type,
            ref_token,
            message,
            delivery,
            arose_at,
            ..,
        ) = row;
        let (.., origin, attributes, occurrences, first_at, last_at) = row;
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
            occurrences: u32::try_from(occurrences.max(0)).unwrap_or(u32::MAX),
            first_at: Micros(first_at),
            last_at: Micros(last_at),
        }
    };
    Ok(rows.into_iter().map(read).collect())
}
