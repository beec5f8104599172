//! Lists of the three queues, their counters, and the types a store has had.

use std::collections::HashMap;

use super::{
    codec::day_of,
    conn::Conn,
    delivery::{accepted_rows, archived_rows, id_open, incoming_rows, kinds_read, record_read},
    message::{Spot, heads_read},
    objects::messages_about,
    statement::statements,
    walk::{Walk, walk_all},
};
use crate::{
    db::{
        DbResult, PageKey, Queue, QueuePage, QueueQuery, QueueRow, QueueStats,
        queues::{self, OBJECT_MESSAGES, Way, stats_of, table_of, ways},
        shown::Head,
        walk::{Range, all_of, keys_wanted, page},
    },
    domain::{id::IdSeal, key::StoreKey, time::Micros},
};

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
    Ok(stats_of(
        conn.rows::<(i32, i64)>(&COUNTS, &[&store.0]).await?,
    ))
}

/// How many rows each queue and state has in all stores, and when the oldest incoming message was accepted.
pub(super) async fn totals(conn: &Conn) -> DbResult<(QueueStats, Option<Micros>)> {
    let oldest: Option<(Option<i64>,)> = conn.row(&OLDEST, &[]).await?;
    Ok((
        stats_of(conn.rows::<(i32, i64)>(&TOTALS, &[]).await?),
        oldest.and_then(|(at,)| at).map(Micros),
    ))
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
    Walk {
        table: table_of(query.queue).0,
        enter: queues::by_key(query, keys),
        filter: filter(query, kinds),
    }
}

/// The walks that find a queue's rows, each down the index of its way, over the days that a range of time touches: the server
/// does not even open the others.
pub(super) fn walks(query: &QueueQuery, kinds: Option<&[i64]>) -> Vec<Walk> {
    let days = match query.queue {
        Queue::Archived => {
            let from = query.from.map(|from| format!("day >= {}", day_of(from.0)));
            let until = query
                .until
                .map(|until| format!("day <= {}", day_of(until.0)));
            all_of(&[from.unwrap_or_default(), until.unwrap_or_default()])
        }
        Queue::Incoming | Queue::Accepted => String::new(),
    };
    let filter = filter(query, kinds);
    let walk = |way: Way| Walk {
        table: table_of(query.queue).0,
        enter: all_of(&[way.enter(query), days.clone()]),
        filter: filter.clone(),
    };
    ways(query, kinds).into_iter().map(walk).collect()
}

/// Everything the query asks for besides the range of keys; the index by mapping knows no stores.
fn filter(query: &QueueQuery, kinds: Option<&[i64]>) -> String {
    let of_store = match (query.queue, query.mapping) {
        (Queue::Incoming, _) | (_, None) => String::new(),
        (_, Some(_)) => format!("store = {}", query.store),
    };
    all_of(&[queues::filter(query, kinds), of_store])
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
    let messages: Vec<Spot> = deliveries.iter().map(|row| row.message).collect();
    let heads: HashMap<i64, Head> = heads_read(conn, seal, &messages)
        .await?
        .into_iter()
        .map(|head| (head.key, head))
        .collect();
    let kinds = kinds_read(conn, deliveries.iter().map(|row| row.kind)).await?;
    let mut rows: Vec<QueueRow> = deliveries
        .into_iter()
        .map(|row| {
            let head = heads.get(&row.message.seq);
            row.listed(seal, head, &kinds)
        })
        .collect();
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.page_key));
    Ok(rows)
}
