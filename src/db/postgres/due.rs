//! What is due at an endpoint: heads of lanes by their index, then each message once, from its own day.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    codec::{small, state_read},
    conn::Conn,
    core::Core,
    message::{Spot, fit_in_memory, messages_read},
    statement::statements,
};
use crate::{
    db::{Backlog, DbError, DbResult, Due, LeftOut},
    domain::{
        delivery::{Asynchronous, Delivery},
        id::IdSeal,
        key::{DeliveryKey, EndpointKey, MappingKey},
        message::Message,
        time::Micros,
    },
};

statements! {
    /// The heads that are due, oldest due first.
    DUE = "SELECT store, seq, mapping, message, made_at, lane, state, attempts, failures, since, created_at, asynchronous
        FROM accepted WHERE endpoint = $1 AND head AND due_at <= $2 AND seq <> ALL ($4::bigint[])
        AND mapping <> ALL ($5::bigint[]) ORDER BY due_at, pos LIMIT $3";
    /// When the next head that is not due yet will be.
    DUE_NEXT = "SELECT due_at FROM accepted WHERE endpoint = $1 AND head AND due_at > $2 ORDER BY due_at, pos LIMIT 1";
    /// Endpoints that have the head of a lane: a skip scan, one seek for each.
    ENDPOINTS = "WITH RECURSIVE found AS (
            SELECT (SELECT a.endpoint FROM accepted a WHERE a.head ORDER BY a.endpoint LIMIT 1) AS endpoint
            UNION ALL
            SELECT (SELECT a.endpoint FROM accepted a WHERE a.head AND a.endpoint > f.endpoint ORDER BY a.endpoint LIMIT 1)
            FROM found f WHERE f.endpoint IS NOT NULL
        ) SELECT endpoint FROM found WHERE endpoint IS NOT NULL";
    /// Of an endpoint, each counted up to a bound: deliveries in its lanes, heads that are in no lane, and when the oldest
    /// of the heads was accepted.
    BACKLOG = "SELECT l.n, h.n, h.oldest FROM
        (SELECT count(*) AS n FROM (SELECT 1 FROM accepted WHERE endpoint = $1 AND lane IS NOT NULL AND state < 3 LIMIT $2) lanes) l,
        (SELECT count(*) FILTER (WHERE lane IS NULL) AS n, min(created_at) AS oldest FROM
            (SELECT lane, created_at FROM accepted WHERE endpoint = $1 AND head ORDER BY due_at, pos LIMIT $2) heads) h";
}

type Row = (
    i64,
    i64,
    i64,
    i64,
    i64,
    Option<i64>,
    i32,
    i32,
    i32,
    i64,
    i64,
    Option<String>,
);

/// What is due, and the keys (store and number) of deliveries whose message cannot be read, to be archived.
pub(super) async fn due(
    core: &Core,
    endpoint: EndpointKey,
    now: Micros,
    limit: usize,
    but: &LeftOut,
) -> DbResult<(Due, Vec<(i64, i64)>)> {
    let conn = core.read().await?;
    let held: Vec<i64> = but.deliveries.iter().map(|key| key.0).collect();
    let mappings: Vec<i64> = but.mappings.iter().map(|key| key.0).collect();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let due_params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&endpoint.0, &now.0, &limit, &held, &mappings];
    let next_params: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&endpoint.0, &now.0];
    let (rows, next): (Vec<Row>, Option<(i64,)>) = tokio::try_join!(
        conn.rows(&DUE, &due_params),
        conn.row(&DUE_NEXT, &next_params)
    )?;
    let next_due_at = next.map(|(at,)| Micros(at));
    let mut rows = rows;
    let mut spots: Vec<Spot> = rows
        .iter()
        .map(|row| Spot {
            store: row.0,
            seq: row.3,
            made_at: row.4,
        })
        .collect();
    let fit = if spots.is_empty() {
        0
    } else {
        fit_in_memory(&conn, &spots).await?
    };
    let more = fit < rows.len();
    rows.truncate(fit);
    spots.truncate(fit);
    let spots: HashSet<Spot> = spots.into_iter().collect();
    let messages = messages_of(&messages_read(&conn, core.seal, &Vec::from_iter(spots)).await?);
    conn.done();
    let mut deliveries = Vec::with_capacity(rows.len());
    let mut unreadable = Vec::new();
    for row in rows {
        match messages.get(&row.3) {
            Some(message) => deliveries.push(delivery(core.seal, endpoint, message, row)),
            None => unreadable.push((row.0, row.1)),
        }
    }
    Ok((
        Due {
            deliveries,
            more,
            next_due_at,
        },
        unreadable,
    ))
}

fn messages_of(read: &[Result<Message, DbError>]) -> HashMap<i64, Arc<Message>> {
    let mut messages = HashMap::with_capacity(read.len());
    for message in read {
        match message {
            Ok(message) => {
                messages.insert(message.key.0, Arc::new(message.clone()));
            }
            Err(error) => log::error!("{error}; its deliveries are archived as unreadable"),
        }
    }
    messages
}

fn delivery(seal: IdSeal, endpoint: EndpointKey, message: &Arc<Message>, row: Row) -> Delivery {
    let (_, seq, mapping, _, _, lane, state, attempts, failures, since, created_at, asynchronous) =
        row;
    Delivery {
        key: DeliveryKey(seq),
        id: seal.seal(seq, Micros(created_at)),
        message: Arc::clone(message),
        mapping: MappingKey(mapping),
        endpoint,
        lane,
        state: state_read(state),
        attempts: small(attempts),
        failures: small(failures),
        since: Micros(since),
        asynchronous: asynchronous.and_then(|text| asynchronous_read(seq, &text)),
    }
}

fn asynchronous_read(seq: i64, text: &str) -> Option<Asynchronous> {
    serde_json::from_str(text)
        .map_err(|error| log::error!("the asynchronous state of delivery {seq} cannot be read, its service is asked anew: {error}"))
        .ok()
}

/// Endpoints that have the head of a lane, due or not.
pub(super) async fn endpoints(core: &Core) -> DbResult<Vec<EndpointKey>> {
    let conn = core.read().await?;
    let rows: Vec<(i64,)> = conn.rows(&ENDPOINTS, &[]).await?;
    conn.done();
    Ok(rows
        .into_iter()
        .map(|(endpoint,)| EndpointKey(endpoint))
        .collect())
}

/// What waits for an endpoint, counted up to `most`.
pub(super) async fn backlog(conn: &Conn, endpoint: EndpointKey, most: usize) -> DbResult<Backlog> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let row: Option<(i64, i64, Option<i64>)> = conn.row(&BACKLOG, &[&endpoint.0, &most]).await?;
    let (lanes, alone, oldest) = row.unwrap_or_default();
    Ok(Backlog {
        waiting: u64::try_from(lanes.saturating_add(alone).min(most)).unwrap_or(0),
        oldest_at: oldest.map(Micros),
    })
}
