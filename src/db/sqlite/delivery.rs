//! Reading deliveries and the places of messages, wherever they are.

use std::collections::HashMap;

use diesel::sqlite::SqliteConnection;

use super::{
    archive::delivery_made,
    codec::{RoutingRecord, part_key, reason_read, row_of, small, state_read},
    route::RoutingRead,
    statement::{Question, key_list, statements},
};
use crate::{
    db::{DbResult, Locator, shown},
    domain::{
        delivery::WaitState,
        id::{Id, IdSeal},
        time::Micros,
    },
};

type AcceptedRow = (
    (i64, i64, i64, i64, i64, Option<i64>, bool, i64),
    (i64, i64, i64, Option<i64>, Option<i64>, Option<String>),
);
type ArchivedRow = (
    (i64, Option<i64>, Option<i64>, i64, i64, i64, i64),
    (
        i64,
        Option<i64>,
        i64,
        Option<i64>,
        Option<String>,
        Option<String>,
    ),
);

statements! {
    /// Waiting deliveries of a store by key.
    AcceptedRows<'a> { store: i64, keys: &'a str } -> AcceptedRow =
        "SELECT seq, endpoint, mapping, kind, message, lane, head, state, due_at, attempts, created_at, attempted_at, replay_of,
         last_error FROM accepted WHERE store = ?1 AND seq IN (SELECT value FROM json_each(?2))";
    /// Archived rows of a store by key.
    ArchivedRows<'a> { store: i64, keys: &'a str } -> ArchivedRow =
        "SELECT seq, endpoint, mapping, kind, message, reason, attempts, created_at, attempted_at, completed_at, replay_of,
         last_error, result FROM archived WHERE store = ?1 AND seq IN (SELECT value FROM json_each(?2))";
    /// Which messages of a store are in the incoming queue.
    IncomingRows<'a> { store: i64, keys: &'a str } -> i64 =
        "SELECT seq FROM incoming WHERE store = ?1 AND seq IN (SELECT value FROM json_each(?2))";
    /// When a message of a store was accepted.
    MessageMadeIn { store: i64, seq: i64 } -> i64 = "SELECT accepted_at FROM message WHERE seq = ?2 AND store = ?1";
    /// The names of types.
    KindNames<'a> { keys: &'a str } -> (i64, String) =
        "SELECT key, kind FROM message_type WHERE key IN (SELECT value FROM json_each(?1))";
}

/// A row of a queue; its message is found by its key.
pub(super) type DeliveryRow = shown::DeliveryRow<i64>;

/// Waiting deliveries of a store by key.
pub(super) fn accepted_rows(
    conn: &mut SqliteConnection,
    store: i64,
    keys: &[i64],
) -> DbResult<Vec<DeliveryRow>> {
    let rows = AcceptedRows {
        store,
        keys: &key_list(keys.iter().copied()),
    }
    .rows(conn)?;
    Ok(rows.into_iter().map(accepted_row).collect())
}

fn accepted_row(row: AcceptedRow) -> DeliveryRow {
    let ((seq, endpoint, mapping, kind, message, lane, head, state), rest) = row;
    let (due_at, attempts, created_at, attempted_at, replay_of, last_error) = rest;
    let state: WaitState = state_read(state);
    DeliveryRow {
        seq,
        endpoint: Some(endpoint),
        mapping: Some(mapping),
        kind,
        message,
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
}

/// Archived rows of a store by key.
pub(super) fn archived_rows(
    conn: &mut SqliteConnection,
    store: i64,
    keys: &[i64],
) -> DbResult<Vec<DeliveryRow>> {
    let rows = ArchivedRows {
        store,
        keys: &key_list(keys.iter().copied()),
    }
    .rows(conn)?;
    Ok(rows.into_iter().map(archived_row).collect())
}

fn archived_row(row: ArchivedRow) -> DeliveryRow {
    let ((seq, endpoint, mapping, kind, message, reason, attempts), rest) = row;
    let (created_at, attempted_at, completed_at, replay_of, last_error, result) = rest;
    DeliveryRow {
        seq,
        endpoint,
        mapping,
        kind,
        message,
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
}

/// Deliveries of a store by key, wherever they are.
pub(super) fn deliveries_read(
    conn: &mut SqliteConnection,
    store: i64,
    keys: &[i64],
) -> DbResult<HashMap<i64, DeliveryRow>> {
    let mut rows = archived_rows(conn, store, keys)?;
    rows.extend(accepted_rows(conn, store, keys)?);
    Ok(rows.into_iter().map(|row| (row.seq, row)).collect())
}

/// Where messages of a store are: incoming, archived because nobody wanted them, or routed.
pub(super) fn places_read(
    conn: &mut SqliteConnection,
    store: i64,
    keys: &[i64],
) -> DbResult<HashMap<i64, Locator>> {
    let incoming = IncomingRows {
        store,
        keys: &key_list(keys.iter().copied()),
    }
    .rows(conn)?;
    let archived = archived_rows(conn, store, keys)?;
    let mut places: HashMap<i64, Locator> =
        keys.iter().map(|key| (*key, Locator::Routed)).collect();
    places.extend(archived.into_iter().map(|row| (row.seq, row.location)));
    places.extend(incoming.into_iter().map(|seq| (seq, Locator::Incoming)));
    Ok(places)
}

/// The routing record of a message, all its chunks in one. Chunks that cannot be read are left out and logged.
pub(super) fn record_read(conn: &mut SqliteConnection, message: i64) -> DbResult<RoutingRecord> {
    let rows = RoutingRead {
        from: part_key(message, 0),
        to: part_key(message, u32::MAX),
    }
    .rows(conn)?;
    let mut whole = RoutingRecord::default();
    for (key, body) in rows {
        match RoutingRecord::decode(key, &body) {
            Ok(part) => {
                whole.deliveries.extend(part.deliveries);
                whole.skipped.extend(part.skipped);
            }
            Err(error) => log::error!("{error}; message {} is shown without it", row_of(key)),
        }
    }
    Ok(whole)
}

/// The number of the message or delivery of this store that has this id. An id opens to some number whatever it is, so
/// the row's own id is sealed again and compared.
pub(super) fn id_open(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    store: i64,
    id: Id,
) -> DbResult<Option<i64>> {
    let seq = seal.open(id);
    let made = match (MessageMadeIn { store, seq }).row(conn)? {
        Some(made) => Some(made),
        None => delivery_made(conn, store, seq)?,
    };
    Ok(made
        .filter(|made| seal.seal(seq, Micros(*made)) == id)
        .map(|_| seq))
}

/// The names of types by key.
pub(super) fn kinds_read(
    conn: &mut SqliteConnection,
    keys: impl IntoIterator<Item = i64>,
) -> DbResult<HashMap<i64, String>> {
    Ok(KindNames {
        keys: &key_list(keys),
    }
    .rows(conn)?
    .into_iter()
    .collect())
}
