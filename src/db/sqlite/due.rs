//! What is due at an endpoint: heads of lanes by their index, then their rows by key, each message once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use diesel::sqlite::SqliteConnection;

use super::{
    codec::{RowKey, small, state_read},
    message::fetch,
    recent::Recent,
    statement::{Question, key_list, statements},
};
use crate::{
    db::{DbResult, Due, LeftOut},
    domain::{
        delivery::{Asynchronous, Delivery},
        id::IdSeal,
        key::{DeliveryKey, EndpointKey, MappingKey},
        message::Message,
        time::Micros,
    },
};

type DueRow = (
    i64,
    i64,
    i64,
    Option<i64>,
    i64,
    i64,
    i64,
    i64,
    i64,
    Option<String>,
);

statements! {
    /// Keys of the heads that are due, oldest due first.
    DueKeys { endpoint: i64, now: i64, limit: i64 } -> (i64, i64) =
        "SELECT store, seq FROM accepted WHERE endpoint = ?1 AND head = 1 AND due_at <= ?2 ORDER BY due_at, pos LIMIT ?3";
    /// The same without those of some mappings (a JSON array of keys). The index holds the mapping, so a long backlog is passed over in it.
    DueKeysBut<'a> { endpoint: i64, now: i64, limit: i64, mappings: &'a str } -> (i64, i64) =
        "SELECT store, seq FROM accepted WHERE endpoint = ?1 AND head = 1 AND due_at <= ?2
         AND mapping NOT IN (SELECT value FROM json_each(?4)) ORDER BY due_at, pos LIMIT ?3";
    /// When the next head that is not due yet will be.
    DueNext { endpoint: i64, now: i64 } -> i64 =
        "SELECT due_at FROM accepted WHERE endpoint = ?1 AND head = 1 AND due_at > ?2 ORDER BY due_at LIMIT 1";
    /// Deliveries of a store by key.
    DueRows<'a> { store: i64, keys: &'a str } -> DueRow =
        "SELECT seq, mapping, message, lane, state, attempts, failures, since, created_at, asynchronous FROM accepted
         WHERE store = ?1 AND seq IN (SELECT value FROM json_each(?2))";
    /// The next endpoint that has the head of a lane: a skip scan, one seek for each endpoint.
    NextEndpoint { after: i64 } -> Option<i64> = "SELECT min(endpoint) FROM accepted WHERE head = 1 AND endpoint > ?1";
}

/// What is due, and the deliveries whose message cannot be read, for the writer to archive.
pub(super) fn due(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    recent: &Recent,
    endpoint: EndpointKey,
    now: Micros,
    limit: usize,
    but: &LeftOut,
) -> DbResult<(Due, Vec<RowKey>)> {
    let held: HashSet<i64> = but.deliveries.iter().map(|key| key.0).collect();
    let most = i64::try_from(limit + held.len()).unwrap_or(i64::MAX);
    let mut keys = if but.mappings.is_empty() {
        DueKeys {
            endpoint: endpoint.0,
            now: now.0,
            limit: most,
        }
        .rows(conn)?
    } else {
        DueKeysBut {
            endpoint: endpoint.0,
            now: now.0,
            limit: most,
            mappings: &key_list(but.mappings.iter().map(|key| key.0)),
        }
        .rows(conn)?
    };
    let is_all = i64::try_from(keys.len()).is_ok_and(|rows| rows < most);
    keys.retain(|(_, seq)| !held.contains(seq));
    keys.truncate(limit);
    // While more is due than can be taken, nobody needs to know what comes after.
    let next_due_at = match is_all {
        true => DueNext {
            endpoint: endpoint.0,
            now: now.0,
        }
        .row(conn)?
        .map(Micros),
        false => None,
    };
    if keys.is_empty() {
        return Ok((
            Due {
                deliveries: Vec::new(),
                next_due_at,
                more: false,
            },
            Vec::new(),
        ));
    }
    let mut rows = rows_of(conn, &keys)?;
    // A row that is gone meanwhile has no message; none has the key 0.
    let messages: Vec<i64> = keys
        .iter()
        .map(|(_, seq)| rows.get(seq).map_or(0, |row| row.2))
        .collect();
    let fetched = fetch(conn, seal, recent, &messages)?;
    let more = fetched.entries < keys.len();
    keys.truncate(fetched.entries);
    let mut deliveries = Vec::with_capacity(keys.len());
    let mut unreadable = Vec::new();
    for (store, seq) in keys {
        let Some(row) = rows.remove(&seq) else {
            continue;
        };
        match fetched.messages.get(&row.2) {
            Some(message) => deliveries.push(delivery(seal, endpoint, message, row)),
            None => unreadable.push((store, seq)),
        }
    }
    Ok((
        Due {
            deliveries,
            next_due_at,
            more,
        },
        unreadable,
    ))
}

/// An endpoint belongs to one store, so this is one question; it does not rely on it.
fn rows_of(conn: &mut SqliteConnection, keys: &[RowKey]) -> DbResult<HashMap<i64, DueRow>> {
    let mut stores: Vec<i64> = keys.iter().map(|(store, _)| *store).collect();
    stores.sort_unstable();
    stores.dedup();
    let mut rows = HashMap::with_capacity(keys.len());
    for store in stores {
        let own = key_list(
            keys.iter()
                .filter(|(of, _)| *of == store)
                .map(|(_, seq)| *seq),
        );
        rows.extend(
            DueRows { store, keys: &own }
                .rows(conn)?
                .into_iter()
                .map(|row| (row.0, row)),
        );
    }
    Ok(rows)
}

fn delivery(seal: IdSeal, endpoint: EndpointKey, message: &Arc<Message>, row: DueRow) -> Delivery {
    let (seq, mapping, _, lane, state, attempts, failures, since, created_at, asynchronous) = row;
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
pub(super) fn endpoints(conn: &mut SqliteConnection) -> DbResult<Vec<EndpointKey>> {
    let mut found = Vec::new();
    let mut last = i64::MIN;
    while let Some(endpoint) = (NextEndpoint { after: last }).row(conn)?.flatten() {
        found.push(EndpointKey(endpoint));
        last = endpoint;
    }
    Ok(found)
}
