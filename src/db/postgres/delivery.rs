//! Reading deliveries and the places of messages, wherever they are.

use std::collections::HashMap;

use super::{
    codec::{day_of, day_of_second, is_of_second, reason_read, small, state_read},
    conn::Conn,
    message::Spot,
    route::ROUTING_READ,
    statement::statements,
};
use crate::{
    db::{DbResult, Locator, shown, sqlite::codec::RoutingRecord},
    domain::{
        id::{Id, IdSeal},
        time::Micros,
    },
};

/// How far the clocks of two nodes may be apart, in microseconds: what follows a row may seem to be made before it.
pub(super) const CLOCK_SLACK: i64 = 60_000_000;

statements! {
    /// Waiting deliveries of a store by key.
    ACCEPTED_ROWS = "SELECT seq, endpoint, mapping, kind, message, made_at, lane, head, state, due_at, attempts, created_at, attempted_at,
        replay_of, last_error FROM accepted WHERE store = $1 AND seq = ANY ($2::bigint[])";
    /// Archived rows of a store by key, not made before a day.
    ARCHIVED_ROWS = "SELECT seq, endpoint, mapping, kind, message, made_at, reason, attempts, created_at, attempted_at, completed_at,
        replay_of, last_error, result FROM archived WHERE store = $1 AND seq = ANY ($2::bigint[]) AND day >= $3::int";
    /// Waiting messages of a store by key.
    INCOMING_ROWS = "SELECT seq, kind, accepted_at FROM incoming WHERE store = $1 AND seq = ANY ($2::bigint[])";
    /// When the message or delivery of a store with this number and day was made.
    MADE_THAT_DAY = "SELECT coalesce((SELECT accepted_at FROM message WHERE store = $1 AND seq = $2 AND day = $3::int),
        (SELECT created_at FROM accepted WHERE store = $1 AND seq = $2),
        (SELECT created_at FROM archived WHERE store = $1 AND seq = $2 AND day = $3::int))";
    /// The names of types.
    KIND_NAMES = "SELECT key, kind FROM message_type WHERE key = ANY ($1::bigint[])";
}

/// A row of a queue; its message is found by its place.
pub(super) type DeliveryRow = shown::DeliveryRow<Spot>;

/// Waiting deliveries of a store by key.
pub(super) async fn accepted_rows(
    conn: &Conn,
    store: i64,
    keys: &[i64],
) -> DbResult<Vec<DeliveryRow>> {
    type Row = (
        i64,
        i64,
        i64,
        i64,
        i64,
        i64,
        Option<i64>,
        bool,
        i32,
        i64,
        i32,
        i64,
        Option<i64>,
        Option<i64>,
        Option<String>,
    );
    let rows: Vec<Row> = conn.rows(&ACCEPTED_ROWS, &[&store, &keys]).await?;
    let read = |row: Row| {
        let (
            seq,
            endpoint,
            mapping,
            kind,
            message,
            made_at,
            lane,
            head,
            state,
            due_at,
            attempts,
            ..,
        ) = row;
        let (.., created_at, attempted_at, replay_of, last_error) = row;
        let state = state_read(state);
        DeliveryRow {
            seq,
            endpoint: Some(endpoint),
            mapping: Some(mapping),
            kind,
            message: Spot {
                store,
                seq: message,
                made_at,
            },
            lane,
            head,
            location: Locator::Accepted(state),
            due_at: state.holds_lane().then_some(Micros(due_at)),
            attempts: small(attempts),
            created_at: Micros(created_at),
            attempted_at: attempted_at.map(Micros),
            completed_at: None,
            replay_of,
            last_error,
            result: None,
        }
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Archived rows of a store by key, made at `since` or on a later day.
pub(super) async fn archived_rows(
    conn: &Conn,
    store: i64,
    keys: &[i64],
    since: i64,
) -> DbResult<Vec<DeliveryRow>> {
    type Row = (
        i64,
        Option<i64>,
        Option<i64>,
        i64,
        i64,
        i64,
        i32,
        i32,
        i64,
        Option<i64>,
        i64,
        Option<i64>,
        Option<String>,
        Option<String>,
    );
    let rows: Vec<Row> = conn
        .rows(
            &ARCHIVED_ROWS,
            &[&store, &keys, &day_of(since.saturating_sub(CLOCK_SLACK))],
        )
        .await?;
    let read = |row: Row| {
        let (seq, endpoint, mapping, kind, message, made_at, reason, attempts, created_at, ..) =
            row;
        let (.., attempted_at, completed_at, replay_of, last_error, result) = row;
        DeliveryRow {
            seq,
            endpoint,
            mapping,
            kind,
            message: Spot {
                store,
                seq: message,
                made_at,
            },
            lane: None,
            head: false,
            location: Locator::Archived(reason_read(reason)),
            due_at: None,
            attempts: small(attempts),
            created_at: Micros(created_at),
            attempted_at: attempted_at.map(Micros),
            completed_at: Some(Micros(completed_at)),
            replay_of,
            last_error,
            result,
        }
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Waiting messages of a store by key.
pub(super) async fn incoming_rows(
    conn: &Conn,
    store: i64,
    keys: &[i64],
) -> DbResult<Vec<DeliveryRow>> {
    let rows: Vec<(i64, i64, i64)> = conn.rows(&INCOMING_ROWS, &[&store, &keys]).await?;
    let read = |(seq, kind, accepted_at)| {
        let message = Spot {
            store,
            seq,
            made_at: accepted_at,
        };
        DeliveryRow::incoming(seq, kind, accepted_at, message)
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Deliveries of a store by key, wherever they are, made at `since` or on a later day.
pub(super) async fn deliveries_read(
    conn: &Conn,
    store: i64,
    keys: &[i64],
    since: i64,
) -> DbResult<HashMap<i64, DeliveryRow>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let mut rows = archived_rows(conn, store, keys, since).await?;
    rows.extend(accepted_rows(conn, store, keys).await?);
    Ok(rows.into_iter().map(|row| (row.seq, row)).collect())
}

/// Where messages of a store are: incoming, archived because nobody wanted them, or routed.
pub(super) async fn places_read(
    conn: &Conn,
    store: i64,
    keys: &[i64],
    since: i64,
) -> DbResult<HashMap<i64, Locator>> {
    let mut places: HashMap<i64, Locator> =
        keys.iter().map(|key| (*key, Locator::Routed)).collect();
    if keys.is_empty() {
        return Ok(places);
    }
    places.extend(
        archived_rows(conn, store, keys, since)
            .await?
            .into_iter()
            .map(|row| (row.seq, row.location)),
    );
    places.extend(
        incoming_rows(conn, store, keys)
            .await?
            .into_iter()
            .map(|row| (row.seq, row.location)),
    );
    Ok(places)
}

/// The routing record of a message accepted then, all its chunks in one. Chunks that cannot be read are left out and logged.
pub(super) async fn record_read(
    conn: &Conn,
    message: i64,
    made_at: i64,
) -> DbResult<RoutingRecord> {
    let rows: Vec<(i64, i32, String)> = conn
        .rows(
            &ROUTING_READ,
            &[&[message].as_slice(), &[day_of(made_at)].as_slice()],
        )
        .await?;
    let mut whole = RoutingRecord::default();
    for (key, _, body) in rows {
        match RoutingRecord::decode(key, &body) {
            Ok(part) => {
                whole.deliveries.extend(part.deliveries);
                whole.skipped.extend(part.skipped);
            }
            Err(error) => log::error!("{error}; message {key} is shown without it"),
        }
    }
    Ok(whole)
}

/// The number of the message or delivery of this store that has this id, and when it was made. An id opens to some number
/// whatever it is, so the row's own id is sealed again and compared; the id's second says which day to look in.
pub(super) async fn id_open(
    conn: &Conn,
    seal: IdSeal,
    store: i64,
    id: Id,
) -> DbResult<Option<(i64, i64)>> {
    let seq = seal.open(id);
    let row: Option<(Option<i64>,)> = conn
        .row(&MADE_THAT_DAY, &[&store, &seq, &day_of_second(id.second())])
        .await?;
    let made = row
        .and_then(|(made,)| made)
        .filter(|made| is_of_second(*made, id.second()));
    Ok(made.map(|made| (seq, made)))
}

/// The names of types by key.
pub(super) async fn kinds_read(
    conn: &Conn,
    keys: impl IntoIterator<Item = i64>,
) -> DbResult<HashMap<i64, String>> {
    let keys: Vec<i64> = keys.into_iter().collect();
    let rows: Vec<(i64, String)> = conn.rows(&KIND_NAMES, &[&keys]).await?;
    Ok(rows.into_iter().collect())
}
