//! Lists of the three queues, their counters, and the types a store has had.

use std::collections::HashMap;

use diesel::sqlite::SqliteConnection;

use super::{
    delivery::{DeliveryRow, accepted_rows, archived_rows, id_open, kinds_read, record_read},
    incoming::IncomingPlaces,
    message::heads_read,
    objects::messages_about,
    statement::{Question, key_list, statements},
    walk::{Walk, load, walk_all},
};
use crate::{
    db::{
        DbResult, PageKey, Queue, QueuePage, QueueQuery, QueueRow, QueueStats,
        queues::{self, OBJECT_MESSAGES, Way, filter, stats_of, table_of, ways},
        shown::Head,
        walk::{Range, keys_wanted, page},
    },
    domain::{id::IdSeal, key::StoreKey, time::Micros},
};

/// How far a row's time may stand from its neighbours': callers read their clocks before they reach the writer.
const CLOCK_SLACK_SECS: u64 = 60;

statements! {
    /// Counters of a store.
    Counts { store: i64 } -> (i64, i64) = "SELECT place, n FROM queue_count WHERE store = ?1";
    /// The counters of all stores together.
    Totals {} -> (i64, i64) = "SELECT place, SUM(n) FROM queue_count GROUP BY place";
    /// When the oldest incoming message was accepted.
    OldestIncoming {} -> Option<i64> =
        "SELECT (SELECT accepted_at FROM message WHERE seq = (SELECT MIN(seq) FROM incoming))";
    /// The types of a store.
    Types { store: i64 } -> String = "SELECT kind FROM message_type WHERE store = ?1 ORDER BY kind";
    /// The keys of some types of a store.
    TypeKeys<'a> { store: i64, kinds: &'a str } -> i64 =
        "SELECT key FROM message_type WHERE store = ?1 AND kind IN (SELECT value FROM json_each(?2))";
}

/// How many rows each queue and state of a store has.
pub(super) fn stats(conn: &mut SqliteConnection, store: StoreKey) -> DbResult<QueueStats> {
    Ok(stats_of((Counts { store: store.0 }).rows(conn)?))
}

/// How many rows each queue and state of all stores has, and when the oldest incoming message was accepted.
pub(super) fn totals(conn: &mut SqliteConnection) -> DbResult<(QueueStats, Option<Micros>)> {
    let oldest = OldestIncoming {}.row(conn)?.flatten().map(Micros);
    Ok((stats_of(Totals {}.rows(conn)?), oldest))
}

/// The types a store has had.
pub(super) fn message_types(conn: &mut SqliteConnection, store: StoreKey) -> DbResult<Vec<String>> {
    Types { store: store.0 }.rows(conn)
}

/// One page of a queue.
pub(super) fn list(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    query: &QueueQuery,
) -> DbResult<QueuePage> {
    let kinds = match &query.kinds {
        Some(kinds) => Some(type_keys(conn, query.store, kinds)?),
        None => None,
    };
    let walks = match candidates(conn, seal, query)? {
        Some(keys) => vec![by_key(query, &keys, kinds.as_deref())],
        None => walks(query, kinds.as_deref()),
    };
    let mut range = time_range(conn, query)?;
    range.below = range.below.min(query.after.map_or(i64::MAX, |key| key.0));
    let found = walk_all(conn, &walks, range, keys_wanted(query.skip, query.limit))?;
    let page = page(&found, query.skip, query.limit);
    let rows = rows(conn, seal, query, &page.keys)?;
    Ok(QueuePage {
        rows,
        next: page.next.map(PageKey),
        matching: page.matching,
        counted_up_to: page.counted_up_to,
    })
}

pub(super) fn type_keys(
    conn: &mut SqliteConnection,
    store: StoreKey,
    kinds: &[String],
) -> DbResult<Vec<i64>> {
    let kinds = serde_json::Value::from(kinds).to_string();
    TypeKeys {
        store: store.0,
        kinds: &kinds,
    }
    .rows(conn)
}

/// The keys that a message's id or an object leaves, if the query names one.
pub(super) fn candidates(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    query: &QueueQuery,
) -> DbResult<Option<Vec<i64>>> {
    let messages = match (&query.message, &query.object) {
        (Some(id), _) => id_open(conn, seal, query.store.0, *id)?
            .into_iter()
            .collect(),
        (None, Some(object)) => messages_about(conn, query.store, object, None, OBJECT_MESSAGES)?,
        (None, None) => return Ok(None),
    };
    let mut keys = messages.clone();
    if query.queue != Queue::Incoming {
        for message in messages {
            keys.extend(
                record_read(conn, message)?
                    .deliveries
                    .into_iter()
                    .map(|(delivery, _)| delivery),
            );
        }
    }
    Ok(Some(keys))
}

/// The walk over rows whose keys are known.
pub(super) fn by_key(query: &QueueQuery, keys: &[i64], kinds: Option<&[i64]>) -> Walk {
    Walk {
        table: table_of(query.queue).0,
        index: None,
        enter: queues::by_key(query, keys),
        filter: filter(query, kinds),
    }
}

/// The walks that find a queue's rows, each down the index of its way.
pub(super) fn walks(query: &QueueQuery, kinds: Option<&[i64]>) -> Vec<Walk> {
    let filter = filter(query, kinds);
    let walk = |way: Way| Walk {
        table: table_of(query.queue).0,
        index: match way {
            Way::Store => None,
            Way::State(_) => Some("accepted_state"),
            Way::Mapping(_) => Some("archived_mapping"),
            Way::Reason(_) => Some("archived_reason"),
            Way::Kind(_) => Some("archived_kind"),
        },
        enter: way.enter(query),
        filter: filter.clone(),
    };
    ways(query, kinds).into_iter().map(walk).collect()
}

/// The keys that a range of time leaves, found by halving: rows are made in order of their keys, give or take a minute.
pub(super) fn time_range(conn: &mut SqliteConnection, query: &QueueQuery) -> DbResult<Range> {
    let slack = std::time::Duration::from_secs(CLOCK_SLACK_SECS);
    let mut range = Range::ALL;
    if let Some(from) = query.from {
        range.least = first_since(conn, query, from.minus(slack))?.unwrap_or(i64::MAX);
    }
    if let Some(until) = query.until
        && let Some(first) = first_since(conn, query, until.plus(slack))?
    {
        range.below = first;
    }
    Ok(range)
}

/// The first key made at or after `since`; `None` when all were made before.
fn first_since(
    conn: &mut SqliteConnection,
    query: &QueueQuery,
    since: Micros,
) -> DbResult<Option<i64>> {
    let (table, made) = table_of(query.queue);
    let store = query.store;
    let [oldest, newest] = ["ASC", "DESC"].map(|order| edge(table, store, order));
    let (Some(mut low), Some(mut high)) = (load(conn, &oldest)?.pop(), load(conn, &newest)?.pop())
    else {
        return Ok(None);
    };
    // Between `low` and `high` the answer lies, or behind both.
    while low <= high {
        let middle = low + (high - low) / 2;
        match load(conn, &is_since(table, made, store, middle, since))?.pop() {
            Some(0) => low = middle + 1,
            _ => high = middle - 1,
        }
    }
    Ok(load(conn, &first_from(table, store, low))?.pop())
}

/// The first or last key of a store.
pub(super) fn edge(table: &str, store: StoreKey, order: &str) -> String {
    format!("SELECT seq FROM {table} WHERE store = {store} ORDER BY seq {order} LIMIT 1")
}

/// The first key of a store from one on.
pub(super) fn first_from(table: &str, store: StoreKey, key: i64) -> String {
    format!("SELECT seq FROM {table} WHERE store = {store} AND seq >= {key} ORDER BY seq LIMIT 1")
}

/// 1 if the first row from a key on was made at or after `since`, else 0. The key is named with its table: the answer is called `seq`, too, and to
/// order by that would sort all rows behind it.
pub(super) fn is_since(
    table: &str,
    made: &str,
    store: StoreKey,
    key: i64,
    since: Micros,
) -> String {
    format!(
        "SELECT CASE WHEN {made} >= {since} THEN 1 ELSE 0 END AS seq FROM {table} WHERE store = {store} AND {table}.seq >= {key}
         ORDER BY {table}.seq LIMIT 1",
        since = since.0
    )
}

/// The rows of a page, in order of its keys.
fn rows(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    query: &QueueQuery,
    keys: &[i64],
) -> DbResult<Vec<QueueRow>> {
    let store = query.store.0;
    let deliveries = match query.queue {
        Queue::Incoming => incoming_rows(conn, store, keys)?,
        Queue::Accepted => accepted_rows(conn, store, keys)?,
        Queue::Archived => archived_rows(conn, store, keys)?,
    };
    let messages: Vec<i64> = deliveries.iter().map(|row| row.message).collect();
    let heads: HashMap<i64, Head> = heads_read(conn, seal, messages)?
        .into_iter()
        .map(|head| (head.key, head))
        .collect();
    let kinds = kinds_read(conn, deliveries.iter().map(|row| row.kind))?;
    let mut rows: Vec<QueueRow> = deliveries
        .into_iter()
        .map(|row| {
            let head = heads.get(&row.message);
            row.listed(seal, head, &kinds)
        })
        .collect();
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.page_key));
    Ok(rows)
}

fn incoming_rows(
    conn: &mut SqliteConnection,
    store: i64,
    keys: &[i64],
) -> DbResult<Vec<DeliveryRow>> {
    let rows = IncomingPlaces {
        store,
        keys: &key_list(keys.iter().copied()),
    }
    .rows(conn)?;
    let row = |(seq, kind, accepted_at)| DeliveryRow::incoming(seq, kind, accepted_at, seq);
    Ok(rows.into_iter().map(row).collect())
}
