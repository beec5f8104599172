//! Lists of the three queues, their counters, and the types a store has had.

use std::collections::HashMap;

use super::{
    codec::{day_of, small},
    conn::Conn,
    delivery::{
        DeliveryRow, accepted_rows, archived_rows, id_open, incoming_rows, is_indexed, kinds_read,
        record_read,
    },
    message::{Head, Spot, heads_read},
    objects::messages_about,
    statement::statements,
    walk::{Walk, walk_all},
};
use crate::{
    db::{
        ArchivedSource, DbResult, PageKey, Queue, QueuePage, QueueQuery, QueueRow, QueueStats,
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

statements! {
    /// Counters of a store.
    COUNTS = "SELECT place, sum(n)::bigint FROM queue_count WHERE store = $1 GROUP BY place";
    /// Counters of all stores.
    TOTALS = "SELECT place, sum(n)::bigint FROM queue_count GROUP BY place";
    /// When the oldest message that waits for routing was accepted: a skip scan over the stores.
    OLDEST = "WITH RECURSIVE stores AS (
            SELECT (SELECT i.store FROM incoming i ORDER BY i.store LIMIT 1) AS store
            UNION ALL
            SELECT (SELECT i.store FROM incoming i WHERE i.store > s.store ORDER BY i.store LIMIT 1) FROM stores s WHERE s.store IS NOT NULL
        ) SELECT min((SELECT i.accepted_at FROM incoming i WHERE i.store = s.store ORDER BY i.seq LIMIT 1)) FROM stores s WHERE s.store IS NOT NULL";
    /// The types of a store.
    TYPES = "SELECT kind FROM message_type WHERE store = $1 ORDER BY kind COLLATE \"C\"";
    /// The keys of some types of a store.
    TYPE_KEYS = "SELECT key FROM message_type WHERE store = $1 AND kind = ANY ($2::text[])";
}

/// How many rows each queue and state of a store has.
pub(super) async fn stats(conn: &Conn, store: StoreKey) -> DbResult<QueueStats> {
    Ok(summed(conn.rows(&COUNTS, &[&store.0]).await?))
}

/// How many rows each queue and state has in all stores, and when the oldest incoming message was accepted.
pub(super) async fn totals(conn: &Conn) -> DbResult<(QueueStats, Option<Micros>)> {
    let oldest: Option<(Option<i64>,)> = conn.row(&OLDEST, &[]).await?;
    Ok((
        summed(conn.rows(&TOTALS, &[]).await?),
        oldest.and_then(|(at,)| at).map(Micros),
    ))
}

fn summed(rows: Vec<(i32, i64)>) -> QueueStats {
    let mut stats = QueueStats::default();
    for (place, n) in rows {
        let n = u64::try_from(n).unwrap_or(0);
        match place {
            5 => stats.incoming = n,
            6 => stats.archived = n,
            state => match WaitState::from_number(state) {
                Some(WaitState::Pending | WaitState::Held) => stats.pending += n,
                Some(WaitState::Failing) => stats.failing = n,
                Some(WaitState::Scheduled) => stats.scheduled = n,
                Some(WaitState::Parked) => stats.parked = n,
                None => log::error!("rows are counted in an unknown place {state}"),
            },
        }
    }
    stats
}

/// The types a store has had.
pub(super) async fn message_types(conn: &Conn, store: StoreKey) -> DbResult<Vec<String>> {
    let rows: Vec<(String,)> = conn.rows(&TYPES, &[&store.0]).await?;
    Ok(rows.into_iter().map(|(kind,)| kind).collect())
}

/// One page of a queue.
pub(super) async fn list(conn: &Conn, seal: IdSeal, query: &QueueQuery) -> DbResult<QueuePage> {
    let kinds = match &query.kinds {
        Some(kinds) => Some(type_keys(conn, query.store, kinds).await?),
        None => None,
    };
    let walks = match candidates(conn, seal, query).await? {
        Some(keys) => vec![by_key(query, &keys, kinds.as_deref())],
        None => walks(query, kinds.as_deref()),
    };
    let range = Range::below(query.after.map_or(i64::MAX, |key| key.0));
    let found = walk_all(conn, &walks, range, keys_wanted(query.skip, query.limit)).await?;
    let page = page(&found, query.skip, query.limit);
    let rows = rows(conn, seal, query, &page.keys).await?;
    Ok(QueuePage {
        rows,
        next: page.next.map(PageKey),
        matching: page.matching,
        counted_up_to: page.counted_up_to,
    })
}

/// The keys of some types of a store.
pub(super) async fn type_keys(
    conn: &Conn,
    store: StoreKey,
    kinds: &[String],
) -> DbResult<Vec<i64>> {
    let rows: Vec<(i64,)> = conn.rows(&TYPE_KEYS, &[&store.0, &kinds]).await?;
    Ok(rows.into_iter().map(|(key,)| key).collect())
}

/// The keys that a message's id or an object leaves, if the query names one.
async fn candidates(conn: &Conn, seal: IdSeal, query: &QueueQuery) -> DbResult<Option<Vec<i64>>> {
    let messages: Vec<(i64, i64)> = match (&query.message, &query.object) {
        (Some(id), _) => id_open(conn, seal, query.store.0, *id)
            .await?
            .into_iter()
            .collect(),
        (None, Some(object)) => {
            messages_about(conn, query.store, object, None, OBJECT_MESSAGES).await?
        }
        (None, None) => return Ok(None),
    };
    let mut keys: Vec<i64> = messages.iter().map(|(message, _)| *message).collect();
    if query.queue != Queue::Incoming {
        for (message, made_at) in messages {
            keys.extend(
                record_read(conn, message, made_at)
                    .await?
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
        enter,
        filter: filter(query, kinds),
    }
}

fn table_of(queue: Queue) -> (&'static str, &'static str) {
    match queue {
        Queue::Incoming => ("incoming", "accepted_at"),
        Queue::Accepted => ("accepted", "created_at"),
        Queue::Archived => ("archived", "created_at"),
    }
}

/// The walks that find a queue's rows: by the narrowest index that the query's filters allow.
pub(super) fn walks(query: &QueueQuery, kinds: Option<&[i64]>) -> Vec<Walk> {
    let (table, _) = table_of(query.queue);
    // The days that a range of time touches; the server does not even open the others.
    let days = |column: &str| match query.queue {
        Queue::Archived => {
            let from = query
                .from
                .map(|from| format!("{column} >= {}", day_of(from.0)))
                .unwrap_or_default();
            let until = query
                .until
                .map(|until| format!("{column} <= {}", day_of(until.0)))
                .unwrap_or_default();
            all_of(&[from, until])
        }
        Queue::Incoming | Queue::Accepted => String::new(),
    };
    let store = format!("store = {}", query.store);
    let filter = filter(query, kinds);
    let walk = |enter: String| Walk {
        table,
        enter: all_of(&[enter, days("day")]),
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
                return states.iter().map(|state| walk(enter(state))).collect();
            }
        }
        Queue::Archived => {
            if let Some(mapping) = query.mapping {
                return vec![walk(format!("mapping = {mapping}"))];
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
                return reasons.iter().map(|reason| walk(enter(reason))).collect();
            }
            if let Some(kinds) = kinds {
                return kinds
                    .iter()
                    .map(|kind| walk(format!("kind = {kind}")))
                    .collect();
            }
        }
    }
    vec![walk(store)]
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
        (Queue::Incoming, Some(_)) => conditions.push("FALSE".into()),
        (_, Some(mapping)) => {
            conditions.push(format!("mapping = {mapping} AND store = {}", query.store))
        }
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

/// The rows of a page, in order of its keys.
async fn rows(
    conn: &Conn,
    seal: IdSeal,
    query: &QueueQuery,
    keys: &[i64],
) -> DbResult<Vec<QueueRow>> {
    let store = query.store.0;
    let deliveries = match query.queue {
        _ if keys.is_empty() => return Ok(Vec::new()),
        Queue::Incoming => incoming_rows(conn, store, keys).await?,
        Queue::Accepted => accepted_rows(conn, store, keys).await?,
        Queue::Archived => archived_rows(conn, store, keys, 0).await?,
    };
    let messages: Vec<Spot> = deliveries
        .iter()
        .map(|row| Spot {
            store,
            seq: row.message,
            made_at: row.made_at,
        })
        .collect();
    let heads: HashMap<i64, Head> = heads_read(conn, seal, &messages)
        .await?
        .into_iter()
        .map(|head| (head.key, head))
        .collect();
    let kinds = kinds_read(conn, deliveries.iter().map(|row| row.kind)).await?;
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
