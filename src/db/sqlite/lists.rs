//! Lists of the three queues, their counters, and the types a store has had.

use std::collections::HashMap;

use diesel::sqlite::SqliteConnection;

use super::{
    codec::small,
    delivery::{
        DeliveryRow, accepted_rows, archived_rows, id_open, is_indexed, kinds_read, record_read,
    },
    incoming::IncomingPlaces,
    message::{Head, heads_read},
    objects::messages_about,
    statement::{Question, key_list, statements},
    walk::{Walk, load, walk_all},
};
use crate::{
    db::{
        ArchivedSource, DbResult, Locator, PageKey, Queue, QueuePage, QueueQuery, QueueRow,
        QueueStats,
        walk::{Range, all_of, among, keys_wanted, page},
    },
    domain::{
        delivery::{ArchiveReason, WaitState},
        id::IdSeal,
        key::{MappingKey, StoreKey},
        message::Source,
        time::Micros,
    },
};

/// Messages about one object that a list looks through, newest first.
const OBJECT_MESSAGES: usize = 1000;

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
    Ok(added_up((Counts { store: store.0 }).rows(conn)?))
}

/// How many rows each queue and state of all stores has, and when the oldest incoming message was accepted.
pub(super) fn totals(conn: &mut SqliteConnection) -> DbResult<(QueueStats, Option<Micros>)> {
    let oldest = OldestIncoming {}.row(conn)?.flatten().map(Micros);
    Ok((added_up(Totals {}.rows(conn)?), oldest))
}

fn added_up(counts: Vec<(i64, i64)>) -> QueueStats {
    let mut stats = QueueStats::default();
    for (place, n) in counts {
        let n = u64::try_from(n).unwrap_or(0);
        match place {
            5 => stats.incoming = n,
            6 => stats.archived = n,
            state => match i32::try_from(state).ok().and_then(WaitState::from_number) {
                Some(WaitState::Pending | WaitState::Held) => stats.pending += n,
                Some(WaitState::Failing) => stats.failing += n,
                Some(WaitState::Scheduled) => stats.scheduled = n,
                Some(WaitState::Parked) => stats.parked = n,
                None => log::error!("rows are counted in an unknown place {state}"),
            },
        }
    }
    stats
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
    let (table, _) = table_of(query.queue);
    let enter = all_of(&[
        format!("store = {}", query.store),
        among("seq", keys.iter().copied()),
    ]);
    Walk {
        table,
        index: None,
        enter,
        filter: filter(query, kinds),
    }
}

pub(super) fn table_of(queue: Queue) -> (&'static str, &'static str) {
    match queue {
        Queue::Incoming => ("incoming", "accepted_at"),
        Queue::Accepted => ("accepted", "created_at"),
        Queue::Archived => ("archived", "created_at"),
    }
}

/// The walks that find a queue's rows: by the narrowest index that the query's filters allow.
pub(super) fn walks(query: &QueueQuery, kinds: Option<&[i64]>) -> Vec<Walk> {
    let (table, _) = table_of(query.queue);
    let store = format!("store = {}", query.store);
    let filter = filter(query, kinds);
    let walk = |index, enter| Walk {
        table,
        index,
        enter,
        filter: filter.clone(),
    };
    match query.queue {
        Queue::Incoming => {}
        Queue::Accepted => {
            let states = query.states.as_deref().unwrap_or_default();
            if !states.is_empty() && !states.contains(&WaitState::Pending) {
                let enter = |state: &WaitState| {
                    format!("{store} AND state = {0} AND state <> 0", state.number())
                };
                return states
                    .iter()
                    .map(|state| walk(Some("accepted_state"), enter(state)))
                    .collect();
            }
        }
        Queue::Archived => {
            if let Some(mapping) = query.mapping {
                return vec![walk(
                    Some("archived_mapping"),
                    format!("mapping = {mapping}"),
                )];
            }
            let not_success: Vec<_> = ArchiveReason::ALL
                .into_iter()
                .filter(|reason| is_indexed(*reason))
                .collect();
            let reasons = match (&query.reasons, query.source) {
                (Some(reasons), _) => Some(reasons.clone()),
                (None, Some(ArchivedSource::Incoming)) => Some(not_success),
                (None, _) => None,
            };
            if let Some(reasons) =
                reasons.filter(|reasons| reasons.iter().all(|reason| is_indexed(*reason)))
            {
                let enter = |reason: &ArchiveReason| {
                    format!("{store} AND reason = {0} AND reason <> 0", reason.number())
                };
                return reasons
                    .iter()
                    .map(|reason| walk(Some("archived_reason"), enter(reason)))
                    .collect();
            }
            if let Some(kinds) = kinds {
                return kinds
                    .iter()
                    .map(|kind| walk(Some("archived_kind"), format!("kind = {kind}")))
                    .collect();
            }
        }
    }
    vec![walk(None, store)]
}

/// Everything the query asks for besides the store and the range of keys.
fn filter(query: &QueueQuery, kinds: Option<&[i64]>) -> String {
    let (_, made) = table_of(query.queue);
    let mut conditions = Vec::new();
    if let Some(kinds) = kinds {
        conditions.push(among("kind", kinds.iter().copied()));
    }
    if let Some(from) = query.from {
        conditions.push(format!("{made} >= {}", from.0));
    }
    if let Some(until) = query.until {
        conditions.push(format!("{made} < {}", until.0));
    }
    match (query.queue, query.mapping) {
        (Queue::Incoming, Some(_)) => conditions.push("0".into()),
        (_, Some(mapping)) => conditions.push(format!("mapping = {mapping}")),
        (_, None) => {}
    }
    if let (Queue::Accepted, Some(states)) = (query.queue, &query.states) {
        conditions.push(among(
            "state",
            states.iter().map(|state| i64::from(state.number())),
        ));
    }
    if query.queue == Queue::Archived {
        if let Some(reasons) = &query.reasons {
            conditions.push(among(
                "reason",
                reasons.iter().map(|reason| i64::from(reason.number())),
            ));
        }
        match query.source {
            Some(ArchivedSource::Incoming) => conditions.push("mapping IS NULL".into()),
            Some(ArchivedSource::Accepted) => conditions.push("mapping IS NOT NULL".into()),
            None => {}
        }
    }
    all_of(&conditions)
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
            queue_row(seal, row, head, &kinds)
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
    let row = |(seq, kind, accepted_at)| DeliveryRow {
        seq,
        endpoint: None,
        mapping: None,
        kind,
        message: seq,
        lane: None,
        head: false,
        location: Locator::Incoming,
        due_at: None,
        attempts: 0,
        created_at: Micros(accepted_at),
        attempted_at: None,
        completed_at: None,
        replay_of: None,
        last_error: None,
        result: None,
    };
    Ok(rows.into_iter().map(row).collect())
}

/// A row with what its message says; a message that is gone or unreadable leaves its type, which is kept apart.
fn queue_row(
    seal: IdSeal,
    row: DeliveryRow,
    head: Option<&Head>,
    kinds: &HashMap<i64, String>,
) -> QueueRow {
    let parent_id = match row.mapping {
        Some(_) => head.map(|head| head.id),
        None => head
            .and_then(|head| head.ancestry)
            .map(|line| line.parent_id),
    };
    QueueRow {
        page_key: PageKey(row.seq),
        id: row.id(seal),
        kind: kinds
            .get(&row.kind)
            .cloned()
            .or_else(|| head.map(|head| head.kind.clone()))
            .unwrap_or_default(),
        location: row.location,
        mapping: row.mapping.map(MappingKey),
        object: head.and_then(|head| head.object.clone()),
        source: head.map_or_else(|| Source::Hub(String::new()), |head| head.source.clone()),
        parent_id,
        created_at: row.created_at,
        completed_at: row.completed_at,
        attempted_at: row.attempted_at,
        due_at: row.due_at,
        attempts: small(row.attempts),
        last_error: row.last_error,
    }
}
