//! Which rows a job touches: fixed when it is asked for, counted in pieces, found a step at a time.
//!
//! The filters are those of lists, and so are the walks: down (here: up) the narrowest index, a bounded number of rows at a time.
//! Rows named by id or object are looked up once, when the job is asked for, and kept as a list of keys.

use std::collections::BTreeMap;

use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Nullable},
    sqlite::SqliteConnection,
};

use crate::{
    db::{
        ArchivedSource, DbResult, JobCount, JobGroup, JobQuestion, Locator, Queue, QueueQuery,
        sqlite::{
            codec::{reason_read, state_read},
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
        delivery::WaitState,
        id::IdSeal,
        job::{Chosen, JobKind, Stepped},
        key::{MappingKey, StoreKey},
        time::Micros,
    },
};

/// Keys that are looked at in one statement.
const NAMED_AT_ONCE: usize = 500;
/// Messages about an object that are read at once.
const MESSAGES_AT_ONCE: usize = 1000;

/// What a question comes to, before it is counted.
pub(in crate::db::sqlite) struct Scope {
    store: StoreKey,
    kind: JobKind,
    chosen: Chosen,
}

/// Rows that a step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::db::sqlite) struct Picked {
    /// Their keys, ascending.
    pub(super) keys: Vec<i64>,
    /// Up to which key everything was looked at.
    pub(super) up_to: i64,
    /// Nothing is left behind them.
    pub(super) is_last: bool,
}

impl Picked {
    /// How many rows a step over them writes, roughly.
    pub(in crate::db::sqlite) fn rows(&self) -> usize {
        1 + 4 * self.keys.len()
    }

    pub(super) fn stepped(&self, done: u64) -> Stepped {
        let found = u64::try_from(self.keys.len()).unwrap_or(u64::MAX);
        Stepped {
            up_to: self.up_to,
            done,
            skipped: found.saturating_sub(done),
            is_last: self.is_last,
        }
    }
}

/// Fixes what a question is about.
pub(in crate::db::sqlite) fn scope(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    question: &JobQuestion,
    now: Micros,
) -> DbResult<Scope> {
    let JobQuestion {
        kind,
        query,
        ids,
        upper,
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
    let states = match (kind, &query.states) {
        (JobKind::Replay, _) => None,
        (_, states) => {
            let states = states.clone().unwrap_or_else(|| WaitState::ALL.to_vec());
            Some(
                states
                    .into_iter()
                    .filter(|state| kind.acts_on(*state))
                    .collect(),
            )
        }
    };
    Ok(Scope {
        store: query.store,
        kind: *kind,
        chosen: Chosen {
            keys,
            kinds: query.kinds.clone(),
            states,
            reasons: query.reasons.clone(),
            mapping: query.mapping,
            from: query.from,
            until: query.until,
            above: range.least.saturating_sub(1).max(0),
            upper: upper.min(range.below.saturating_sub(1)),
            asked_at: now,
        },
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

/// Counting, a piece at a time.
pub(in crate::db::sqlite) struct Counting {
    scope: Scope,
    /// The walk that is counted now, and above which key.
    walk: usize,
    above: i64,
    groups: BTreeMap<(i64, i64), u64>,
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

impl Counting {
    pub(in crate::db::sqlite) fn of(scope: Scope) -> Self {
        let above = scope.chosen.above;
        Self {
            scope,
            walk: 0,
            above,
            groups: BTreeMap::new(),
        }
    }

    /// Counts a piece; whether more is left.
    pub(in crate::db::sqlite) fn go_on(&mut self, conn: &mut SqliteConnection) -> DbResult<bool> {
        let Scope {
            store,
            kind,
            chosen,
        } = &self.scope;
        let slice = chosen.keys.as_ref().map(|keys| next_of(keys, self.above));
        let walks = walks(conn, *store, *kind, chosen, slice)?;
        let Some(walk) = walks.get(self.walk) else {
            return Ok(false);
        };
        let filter = if walk.filter.is_empty() {
            "1"
        } else {
            &walk.filter
        };
        let place = if *kind == JobKind::Replay {
            "reason"
        } else {
            "state"
        };
        let rows = walk.upwards("*", self.above, chosen.upper);
        let text = format!(
            "SELECT mapping, {place} AS place, SUM(CASE WHEN {filter} THEN 1 ELSE 0 END) AS n, MAX(seq) AS last, COUNT(*) AS looked
             FROM ({rows} LIMIT {ROWS_EXAMINED}) GROUP BY mapping, {place}"
        );
        let found: Vec<Group> = diesel::sql_query(text).load(conn).map_err(fault)?;
        let looked: i64 = found.iter().map(|group| group.looked).sum();
        let last = found.iter().map(|group| group.last).max();
        for group in &found {
            let key = (group.mapping.unwrap_or(0), group.place);
            *self.groups.entry(key).or_default() += group.n.max(0).cast_unsigned();
        }
        match slice {
            Some([.., end]) => self.above = *end,
            Some([]) => return Ok(false),
            None => match last {
                Some(last) if looked >= i64::try_from(ROWS_EXAMINED).unwrap_or(i64::MAX) => {
                    self.above = last;
                }
                _ => {
                    self.walk += 1;
                    self.above = chosen.above;
                }
            },
        }
        Ok(slice.is_some() || self.walk < walks.len())
    }

    pub(in crate::db::sqlite) fn finish(self) -> JobCount {
        let kind = self.scope.kind;
        let group = |((mapping, place), count): ((i64, i64), u64)| JobGroup {
            mapping: MappingKey(mapping),
            location: match kind {
                JobKind::Replay => Locator::Archived(reason_read(place)),
                JobKind::Retry | JobKind::Archive => Locator::Accepted(state_read(place)),
            },
            count,
        };
        JobCount {
            chosen: self.scope.chosen,
            groups: self
                .groups
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(group)
                .collect(),
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
    let slice = chosen.keys.as_ref().map(|keys| next_of(keys, above));
    let (mut keys, mut stop) = (Vec::new(), None::<i64>);
    for walk in walks(conn, store, kind, chosen, slice)? {
        let columns = if walk.filter.is_empty() { "seq" } else { "*" };
        let rows = walk.upwards(columns, above, chosen.upper);
        let filter = if walk.filter.is_empty() {
            "1"
        } else {
            &walk.filter
        };
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
    if let Some(stop) = stop {
        keys.retain(|key| *key <= stop);
    }
    keys.sort_unstable();
    keys.dedup();
    let is_full = keys.len() >= limit;
    keys.truncate(limit);
    let end = match slice {
        Some(slice) => {
            let is_all = chosen.keys.as_ref().and_then(|keys| keys.last()) == slice.last();
            slice.last().copied().filter(|_| !is_all)
        }
        None => stop,
    };
    let (up_to, is_last) = match (keys.last(), end) {
        (Some(last), _) if is_full => (*last, false),
        (_, Some(end)) => (end, false),
        (_, None) => (chosen.upper.max(above), true),
    };
    Ok(Picked {
        keys,
        up_to,
        is_last,
    })
}

/// The next few named keys above one.
fn next_of(keys: &[i64], above: i64) -> &[i64] {
    let begin = keys.partition_point(|key| *key <= above);
    let end = keys.len().min(begin + NAMED_AT_ONCE);
    keys.get(begin..end).unwrap_or_default()
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
    let query = QueueQuery {
        store,
        queue: match kind {
            JobKind::Replay => Queue::Archived,
            JobKind::Retry | JobKind::Archive => Queue::Accepted,
        },
        kinds: chosen.kinds.clone(),
        states: chosen.states.clone(),
        reasons: chosen.reasons.clone(),
        source: (kind == JobKind::Replay).then_some(ArchivedSource::Accepted),
        from: chosen.from,
        until: chosen.until,
        message: None,
        mapping: chosen.mapping,
        object: None,
        after: None,
        skip: 0,
        limit: 0,
    };
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
