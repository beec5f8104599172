//! Which rows a job touches: fixed when it is asked for, counted in pieces, found a step at a time.
//!
//! The filters are those of lists, and so are the walks: down (here: up) the narrowest index, a bounded number of rows at a
//! time. Rows named by id or object are looked up once, when the job is asked for, and kept as a list of keys. Nodes may
//! commit out of the order of their numbers: a row that is being written while the job is asked for may stay out.

use std::collections::BTreeMap;

use crate::{
    db::{
        ArchivedSource, DbResult, JobCount, JobQuestion, QueueQuery,
        choosing::{Counting, NAMED_AT_ONCE, Picked, Piece, next_named, query_of, states_of},
        postgres::{
            codec::{day_of, day_of_second, is_of_second},
            conn::Conn,
            core::Core,
            delivery::id_open,
            lists,
            objects::messages_about,
            route::ROUTING_READ,
            statement::statements,
            walk::Walk,
        },
        sqlite::codec::RoutingRecord,
        walk::{ROWS_EXAMINED, all_of},
    },
    domain::{
        id::{Id, IdSeal},
        job::{Chosen, Job, JobKind},
        key::StoreKey,
        time::Micros,
    },
};

statements! {
    /// The newest number that was drawn.
    NEWEST = "SELECT last_value FROM number";
    /// When the messages or deliveries of a store with these numbers and days were made.
    MADE_THOSE_DAYS = "SELECT u.seq, coalesce((SELECT m.accepted_at FROM message m WHERE m.store = $1 AND m.seq = u.seq AND m.day = u.day),
        (SELECT a.created_at FROM accepted a WHERE a.store = $1 AND a.seq = u.seq),
        (SELECT d.created_at FROM archived d WHERE d.store = $1 AND d.seq = u.seq AND d.day = u.day))
        FROM unnest($2::bigint[], $3::int[]) AS u(seq, day)";
}

/// Counts what a question is about, piece by piece, so that others get the connection in between.
pub(in crate::db::postgres) async fn count(
    core: &Core,
    question: &JobQuestion,
    now: Micros,
) -> DbResult<JobCount> {
    let conn = core.read().await?;
    let chosen = chosen(&conn, core.seal, question, now).await?;
    conn.done();
    let mut counting = Counting::of(question.query.store, question.kind, chosen);
    loop {
        let conn = core.read().await?;
        let more = go_on(&mut counting, &conn).await?;
        conn.done();
        if !more {
            return Ok(counting.finish());
        }
    }
}

/// Fixes what a question is about.
async fn chosen(
    conn: &Conn,
    seal: IdSeal,
    question: &JobQuestion,
    now: Micros,
) -> DbResult<Chosen> {
    let JobQuestion {
        query, ids, upper, ..
    } = question;
    let newest: Option<(i64,)> = conn.row(&NEWEST, &[]).await?;
    let newest = newest.map_or(0, |(newest,)| newest);
    let mut keys = match ids {
        Some(ids) => Some(ids_open(conn, seal, query.store, ids).await?),
        // A message that nobody wanted has no delivery to send again.
        None if query.source == Some(ArchivedSource::Incoming) => Some(Vec::new()),
        None => named(conn, seal, query).await?,
    };
    if let Some(keys) = &mut keys {
        keys.sort_unstable();
        keys.dedup();
    }
    Ok(Chosen {
        keys,
        kinds: query.kinds.clone(),
        states: states_of(question),
        reasons: query.reasons.clone(),
        mapping: query.mapping,
        from: query.from,
        until: query.until,
        above: 0,
        upper: upper.unwrap_or(newest).min(newest),
        asked_at: now,
    })
}

/// The numbers behind ids of rows of this store; ids of anything else are passed over.
async fn ids_open(conn: &Conn, seal: IdSeal, store: StoreKey, ids: &[Id]) -> DbResult<Vec<i64>> {
    let mut keys = Vec::with_capacity(ids.len());
    for some in ids.chunks(NAMED_AT_ONCE) {
        let seqs: Vec<i64> = some.iter().map(|id| seal.open(*id)).collect();
        let days: Vec<i32> = some.iter().map(|id| day_of_second(id.second())).collect();
        let rows: Vec<(i64, Option<i64>)> = conn
            .rows(&MADE_THOSE_DAYS, &[&store.0, &seqs, &days])
            .await?;
        let made: BTreeMap<i64, i64> = rows
            .into_iter()
            .filter_map(|(seq, made)| Some((seq, made?)))
            .collect();
        keys.extend(some.iter().zip(seqs).filter_map(|(id, seq)| {
            made.get(&seq)
                .is_some_and(|made| is_of_second(*made, id.second()))
                .then_some(seq)
        }));
    }
    Ok(keys)
}

/// The keys that a message's id or an object leaves, if the query names one.
async fn named(conn: &Conn, seal: IdSeal, query: &QueueQuery) -> DbResult<Option<Vec<i64>>> {
    let mut messages: Vec<(i64, i64)> = Vec::new();
    match (&query.message, &query.object) {
        (Some(id), _) => messages.extend(id_open(conn, seal, query.store.0, *id).await?),
        (None, Some(object)) => loop {
            let below = messages.last().map(|(message, _)| *message);
            let more = messages_about(conn, query.store, object, below, NAMED_AT_ONCE).await?;
            let is_last = more.len() < NAMED_AT_ONCE;
            messages.extend(more);
            if is_last {
                break;
            }
        },
        (None, None) => return Ok(None),
    }
    let mut keys: Vec<i64> = messages.iter().map(|(message, _)| *message).collect();
    for some in messages.chunks(NAMED_AT_ONCE) {
        let (seqs, days): (Vec<i64>, Vec<i32>) = some
            .iter()
            .map(|(message, made_at)| (*message, day_of(*made_at)))
            .unzip();
        let rows: Vec<(i64, i32, String)> = conn.rows(&ROUTING_READ, &[&seqs, &days]).await?;
        for (message, _, body) in rows {
            match RoutingRecord::decode(message, &body) {
                Ok(part) => keys.extend(part.deliveries.into_iter().map(|(delivery, _)| delivery)),
                Err(error) => log::error!("{error}; message {message} is chosen without it"),
            }
        }
    }
    Ok(Some(keys))
}

/// Counts a piece; whether more is left.
async fn go_on(counting: &mut Counting, conn: &Conn) -> DbResult<bool> {
    let (chosen, above) = (&counting.chosen, counting.above);
    let named = next_named(chosen, above);
    let walks = walks(conn, counting.store, counting.kind, chosen, named).await?;
    let Some(walk) = walks.get(counting.walk) else {
        return Ok(false);
    };
    let (filter, place) = (filter_of(walk), counting.place());
    let rows = upwards(walk, "*", above, chosen.upper);
    let text = format!(
        "SELECT mapping, {place}, sum(CASE WHEN {filter} THEN 1 ELSE 0 END)::bigint, max(seq), count(*)
         FROM ({rows} LIMIT {ROWS_EXAMINED}) AS looked_at GROUP BY mapping, {place}"
    );
    let found: Vec<(Option<i64>, i32, i64, i64, i64)> = conn.rows_once(&text).await?;
    let piece = |(mapping, place, n, last, looked): (_, i32, _, _, _)| Piece {
        mapping,
        place: i64::from(place),
        n,
        last,
        looked,
    };
    let found: Vec<Piece> = found.into_iter().map(piece).collect();
    Ok(counting.add(&found, walks.len()))
}

/// The next rows behind a job's cursor, at most `limit`.
pub(super) async fn pick(conn: &Conn, job: &Job, limit: usize) -> DbResult<Picked> {
    let (chosen, above) = (&job.new.chosen, job.cursor);
    let named = next_named(chosen, above);
    let (mut keys, mut stop) = (Vec::new(), None::<i64>);
    for walk in walks(conn, job.new.store, job.new.kind, chosen, named).await? {
        let filter = filter_of(&walk);
        let rows = upwards(&walk, "*", above, chosen.upper);
        let text = format!(
            "SELECT seq FROM ({rows} LIMIT {ROWS_EXAMINED}) AS looked_at WHERE {filter} LIMIT {limit}"
        );
        let found = conn.numbers(&text).await?;
        if found.len() < limit {
            let last = ROWS_EXAMINED - 1;
            let rows = upwards(&walk, "seq", above, chosen.upper);
            let text = format!("{rows} LIMIT 1 OFFSET {last}");
            // Above the lowest stop some walk has not looked yet.
            if let Some(here) = conn.numbers(&text).await?.pop() {
                stop = Some(stop.map_or(here, |stop| stop.min(here)));
            }
        }
        keys.extend(found);
    }
    Ok(Picked::of(chosen, above, limit, keys, stop))
}

/// The rows of a walk above one key and up to another with these columns, oldest first and unfiltered.
fn upwards(walk: &Walk, columns: &str, above: i64, upper: i64) -> String {
    let Walk { table, enter, .. } = walk;
    format!(
        "SELECT {columns} FROM {table} WHERE {enter} AND seq > {above} AND seq <= {upper} ORDER BY seq"
    )
}

fn filter_of(walk: &Walk) -> &str {
    if walk.filter.is_empty() {
        "TRUE"
    } else {
        &walk.filter
    }
}

/// The walks that find a choice's rows; no two give the same row.
async fn walks(
    conn: &Conn,
    store: StoreKey,
    kind: JobKind,
    chosen: &Chosen,
    named: Option<&[i64]>,
) -> DbResult<Vec<Walk>> {
    let kinds = match &chosen.kinds {
        Some(kinds) => Some(lists::type_keys(conn, store, kinds).await?),
        None => None,
    };
    let query = query_of(store, kind, chosen);
    let mut walks = match named {
        Some(keys) => vec![lists::by_key(&query, keys, kinds.as_deref())],
        None => lists::walks(&query, kinds.as_deref()),
    };
    if kind == JobKind::Replay {
        // What was delivered since it was asked for is not sent again at once.
        let done = format!("completed_at <= {}", chosen.asked_at.0);
        for walk in &mut walks {
            walk.filter = all_of(&[walk.filter.clone(), done.clone()]);
        }
    }
    Ok(walks)
}
