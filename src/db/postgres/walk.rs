//! Lists as walks: down one index, newest first, a bounded number of rows, keeping those that match.
//!
//! Every list's order is that of its numbers, and every table has indexes that end in the number. So a list picks the index
//! that fits its narrowest filter and walks it; the other filters are checked on the way. A walk that has looked at
//! [`ROWS_EXAMINED`] rows stops and says where: the page then holds what was found, and the next page goes on from there,
//! so that no filter however rare reads a million rows at once. A filter with several values (two spellings of a type) is
//! several walks, merged. On a table cut by day the server merges the days' indexes and reads one entry of each.
//!
//! Texts are put together here, from numbers only: nothing that a client wrote becomes part of a statement.

use super::conn::Conn;
use crate::db::DbResult;

/// Rows that one walk looks at, at most.
pub(super) const ROWS_EXAMINED: usize = 20_000;

/// One walk down an index.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    /// The table.
    pub(super) table: &'static str,
    /// What the index is entered by, such as `store = 7 AND state = 3`.
    pub(super) enter: String,
    /// What rows are checked for, such as `mapping = 9`; empty for nothing.
    pub(super) filter: String,
}

/// Which numbers a walk may give: from `least` (with it) to below `below`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) least: i64,
    pub(super) below: i64,
}

impl Range {
    /// Every number.
    pub(super) const ALL: Self = Self {
        least: 0,
        below: i64::MAX,
    };
}

/// What walks found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Numbers, newest first.
    pub(super) keys: Vec<i64>,
    /// Where looking stopped, when it stopped before the end: older rows are still to be looked at.
    pub(super) stopped_at: Option<i64>,
}

impl Walk {
    /// The statement that gives the first `limit` numbers that match.
    pub(super) fn text(&self, range: Range, limit: usize) -> String {
        if self.filter.is_empty() {
            return format!("{} LIMIT {limit}", self.ordered("seq", range));
        }
        let rows = self.ordered("*", range);
        format!(
            "SELECT seq FROM ({rows} LIMIT {ROWS_EXAMINED}) AS looked_at WHERE {} LIMIT {limit}",
            self.filter
        )
    }

    /// The statement that gives the last number such a walk looks at, when there are more.
    fn stop_text(&self, range: Range) -> String {
        format!(
            "{} LIMIT 1 OFFSET {}",
            self.ordered("seq", range),
            ROWS_EXAMINED - 1
        )
    }

    fn ordered(&self, columns: &str, range: Range) -> String {
        let Self { table, enter, .. } = self;
        let Range { least, below } = range;
        format!(
            "SELECT {columns} FROM {table} WHERE {enter} AND seq >= {least} AND seq < {below} ORDER BY seq DESC"
        )
    }

    async fn run(&self, conn: &Conn, range: Range, limit: usize) -> DbResult<Found> {
        let keys = conn.numbers(&self.text(range, limit)).await?;
        let mut stopped_at = None;
        if keys.len() < limit && !self.filter.is_empty() {
            stopped_at = conn.numbers(&self.stop_text(range)).await?.pop();
        }
        Ok(Found { keys, stopped_at })
    }
}

/// Runs walks and merges them: the newest `limit` numbers of all.
pub(super) async fn walk_all(
    conn: &Conn,
    walks: &[Walk],
    range: Range,
    limit: usize,
) -> DbResult<Found> {
    let mut found = Found {
        keys: Vec::new(),
        stopped_at: None,
    };
    for walk in walks {
        let one = walk.run(conn, range, limit).await?;
        found.keys.extend(one.keys);
        // Below the newest stop some walk has not looked yet.
        found.stopped_at = found.stopped_at.max(one.stopped_at);
    }
    if let Some(stop) = found.stopped_at {
        found.keys.retain(|key| *key >= stop);
    }
    found.keys.sort_unstable_by(|one, other| other.cmp(one));
    found.keys.dedup();
    if found.keys.len() >= limit {
        found.keys.truncate(limit);
        found.stopped_at = None;
    }
    Ok(found)
}

/// A page of what walks found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// The page's numbers, newest first.
    pub(super) keys: Vec<i64>,
    /// Where the next page begins.
    pub(super) next: Option<i64>,
    /// How many match, counted up to `counted_up_to`.
    pub(super) matching: usize,
    /// Where counting stopped.
    pub(super) counted_up_to: usize,
}

/// Pages that are counted ahead for clients that count pages.
pub(super) const PAGES_COUNTED: usize = 40;

/// How many numbers a page needs to know: its own, one more, and those that are counted.
pub(super) fn keys_wanted(skip: usize, limit: usize) -> usize {
    limit
        .saturating_mul(PAGES_COUNTED)
        .max(skip.saturating_add(limit).saturating_add(1))
}

/// Cuts a page out of what was found.
pub(super) fn page(found: &Found, skip: usize, limit: usize) -> Page {
    let keys: Vec<i64> = found.keys.iter().skip(skip).take(limit).copied().collect();
    let more = found.keys.len() > skip.saturating_add(limit);
    let next = if more {
        keys.last().copied()
    } else {
        found.stopped_at
    };
    let counted_up_to = limit.saturating_mul(PAGES_COUNTED);
    Page {
        keys,
        next,
        matching: found.keys.len().min(counted_up_to),
        counted_up_to,
    }
}

/// `column IN (1,2,3)`; of nothing, a condition that nothing meets.
pub(super) fn among(column: &str, numbers: impl IntoIterator<Item = i64>) -> String {
    let numbers: Vec<String> = numbers
        .into_iter()
        .map(|number| number.to_string())
        .collect();
    if numbers.is_empty() {
        "FALSE".into()
    } else {
        format!("{column} IN ({})", numbers.join(","))
    }
}

/// Conditions joined, empty ones left out.
pub(super) fn all_of(conditions: &[String]) -> String {
    let given: Vec<&str> = conditions
        .iter()
        .map(String::as_str)
        .filter(|text| !text.is_empty())
        .collect();
    given.join(" AND ")
}
