//! Which rows a job touches: fixed when it is asked for, counted in pieces, found a step at a time.
//!
//! The filters are those of lists, and so are the walks: down (here: up) the narrowest index, a bounded number of rows at a time.
//! Rows named by id or object are looked up once, when the job is asked for, and kept as a list of keys.

use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Nullable},
    sqlite::SqliteConnection,
};

use crate::{
    db::{
        ArchivedSource, DbResult, JobQuestion, QueueQuery,
        choosing::{Counting, Picked, Piece, next_named, query_of, states_of},
        sqlite::{
            delivery::{id_open, record_read},
            fault::fault,
            lists,
            objects::messages_about,
            session,
            walk::{Walk, load},
        },
        walk::{ROWS_EXAMINED, all_of},
    },
    domain::{
        id::IdSeal,
        job::{Chosen, JobKind},
        key::StoreKey,
        time::Micros,
    },
};

/// Messages about an object that are read at once.
const MESSAGES_AT_ONCE: usize = 1000;

/// Fixes what a question is about.
pub(in crate::db::sqlite) fn chosen(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    question: &JobQuestion,
    now: Micros,
) -> DbResult<Chosen> {
    let JobQuestion {
        query, ids, upper, ..
    } = question;
    let newest = session::meta(conn, "sequence")?;
    let range = lists::time_range(conn, query)?;
    let upper = upper.unwrap_or(newest).min(newest);
    let mut keys = match ids {
        Some(ids) => {
            let mut keys = Vec::new();
            for id in ids {
                keys.extend(id_open(conn, seal, query.store.0, *id)?);
            }
            Some(keys)
        }
        // A message that nobody wanted has no delivery to send again.
        None if query.source == Some(ArchivedSource::Incoming) => Some(Vec::new()),
        None => named(conn, seal, query)?,
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
        above: range.least.saturating_sub(1).max(0),
        upper: upper.min(range.below.saturating_sub(1)),
        asked_at: now,
    })
}

/// The keys that a message's id or an object leaves, if the query names one.
fn named(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    query: &QueueQuery,
) -> DbResult<Option<Vec<i64>>> {
    let mut messages = Vec::new();
    match (&query.message, &query.object) {
        (Some(id), _) => messages.extend(id_open(conn, seal, query.store.0, *id)?),
        (None, Some(object)) => loop {
            let below = messages.last().copied();
            let more = messages_about(conn, query.store, object, below, MESSAGES_AT_ONCE)?;
            let is_last = more.len() < MESSAGES_AT_ONCE;
            messages.extend(more);
            if is_last {
                break;
            }
        },
        (None, None) => return Ok(None),
    }
    let mut keys = messages.clone();
    for message in messages {
        let record = record_read(conn, message)?;
        keys.extend(record.deliveries.into_iter().map(|(delivery, _)| delivery));
    }
    Ok(Some(keys))
}

#[derive(QueryableByName)]
struct Group {
    #[diesel(sql_type = Nullable<BigInt>)]
    mapping: Option<i64>,
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = BigInt)]
    n: i64,
    #[diesel(sql_type = BigInt)]
    last: i64,
    #[diesel(sql_type = BigInt)]
    looked: i64,
}

/// Counts a piece; whether more is left.
pub(in crate::db::sqlite) fn go_on(
    counting: &mut Counting,
    conn: &mut SqliteConnection,
) -> DbResult<bool> {
    let (chosen, above) = (&counting.chosen, counting.above);
    let named = next_named(chosen, above);
    let walks = walks(conn, counting.store, counting.kind, chosen, named)?;
    let Some(walk) = walks.get(counting.walk) else {
        return Ok(false);
    };
    let (filter, place) = (filter_of(walk), counting.place());
    let rows = walk.upwards("*", above, chosen.upper);
    let text = format!(
        "SELECT mapping, {place} AS place, SUM(CASE WHEN {filter} THEN 1 ELSE 0 END) AS n, MAX(seq) AS last, COUNT(*) AS looked
         FROM ({rows} LIMIT {ROWS_EXAMINED}) GROUP BY mapping, {place}"
    );
    let found: Vec<Group> = diesel::sql_query(text).load(conn).map_err(fault)?;
    let found: Vec<Piece> = found.into_iter().map(Piece::from).collect();
    Ok(counting.add(&found, walks.len()))
}

impl From<Group> for Piece {
    fn from(group: Group) -> Self {
        let Group {
            mapping,
            place,
            n,
            last,
            looked,
        } = group;
        Self {
            mapping,
            place,
            n,
            last,
            looked,
        }
    }
}

/// The next rows above `above`, at most `limit`.
pub(in crate::db::sqlite) fn pick(
    conn: &mut SqliteConnection,
    store: StoreKey,
    kind: JobKind,
    chosen: &Chosen,
    above: i64,
    limit: usize,
) -> DbResult<Picked> {
    let named = next_named(chosen, above);
    let (mut keys, mut stop) = (Vec::new(), None::<i64>);
    for walk in walks(conn, store, kind, chosen, named)? {
        let columns = if walk.filter.is_empty() { "seq" } else { "*" };
        let rows = walk.upwards(columns, above, chosen.upper);
        let filter = filter_of(&walk);
        let found = load(
            conn,
            &format!("SELECT seq FROM ({rows} LIMIT {ROWS_EXAMINED}) WHERE {filter} LIMIT {limit}"),
        )?;
        if found.len() < limit {
            let last = ROWS_EXAMINED - 1;
            let rows = walk.upwards("seq", above, chosen.upper);
            // Above the lowest stop some walk has not looked yet.
            if let Some(here) = load(conn, &format!("{rows} LIMIT 1 OFFSET {last}"))?.pop() {
                stop = Some(stop.map_or(here, |stop| stop.min(here)));
            }
        }
        keys.extend(found);
    }
    Ok(Picked::of(chosen, above, limit, keys, stop))
}

fn filter_of(walk: &Walk) -> &str {
    if walk.filter.is_empty() {
        "1"
    } else {
        &walk.filter
    }
}

/// The walks that find a choice's rows; no two give the same row.
fn walks(
    conn: &mut SqliteConnection,
    store: StoreKey,
    kind: JobKind,
    chosen: &Chosen,
    named: Option<&[i64]>,
) -> DbResult<Vec<Walk>> {
    let kinds = match &chosen.kinds {
        Some(kinds) => Some(lists::type_keys(conn, store, kinds)?),
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
