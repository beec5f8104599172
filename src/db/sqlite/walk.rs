//! The embedded database's walks: their texts, each down one named index, and running them. See [`crate::db::walk`].

use diesel::{QueryableByName, RunQueryDsl, sql_types::BigInt, sqlite::SqliteConnection};

use super::fault::fault;
use crate::db::{
    DbResult,
    walk::{Found, ROWS_EXAMINED, Range},
};

/// One walk down an index.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    /// The table.
    pub(super) table: &'static str,
    /// The index; `None` for the table's own order.
    pub(super) index: Option<&'static str>,
    /// What the index is entered by, such as `store = 7 AND state = 3`.
    pub(super) enter: String,
    /// What rows are checked for, such as `mapping = 9`; empty for nothing.
    pub(super) filter: String,
}

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = BigInt)]
    seq: i64,
}

impl Walk {
    /// The statement that gives the first `limit` keys that match.
    pub(super) fn text(&self, range: Range, limit: usize) -> String {
        if self.filter.is_empty() {
            return format!("{} LIMIT {limit}", self.ordered("seq", range));
        }
        let rows = self.ordered("*", range);
        format!(
            "SELECT seq FROM ({rows} LIMIT {ROWS_EXAMINED}) WHERE {} LIMIT {limit}",
            self.filter
        )
    }

    /// The statement that gives the last key such a walk looks at, when there are more.
    fn stop_text(&self, range: Range) -> String {
        format!(
            "{} LIMIT 1 OFFSET {}",
            self.ordered("seq", range),
            ROWS_EXAMINED - 1
        )
    }

    fn ordered(&self, columns: &str, range: Range) -> String {
        let Self { table, enter, .. } = self;
        let index = self
            .index
            .map(|index| format!(" INDEXED BY {index}"))
            .unwrap_or_default();
        let Range { least, below } = range;
        format!(
            "SELECT {columns} FROM {table}{index} WHERE {enter} AND seq >= {least} AND seq < {below} ORDER BY seq DESC"
        )
    }

    /// The statement that gives the rows above one and up to another with these columns, oldest first and unfiltered.
    pub(super) fn upwards(&self, columns: &str, above: i64, upper: i64) -> String {
        let Self { table, enter, .. } = self;
        let index = self
            .index
            .map(|index| format!(" INDEXED BY {index}"))
            .unwrap_or_default();
        format!(
            "SELECT {columns} FROM {table}{index} WHERE {enter} AND seq > {above} AND seq <= {upper} ORDER BY seq"
        )
    }

    fn run(&self, conn: &mut SqliteConnection, range: Range, limit: usize) -> DbResult<Found> {
        let keys = load(conn, &self.text(range, limit))?;
        let mut stopped_at = None;
        if keys.len() < limit && !self.filter.is_empty() {
            stopped_at = load(conn, &self.stop_text(range))?.pop();
        }
        Ok(Found { keys, stopped_at })
    }
}

/// Runs walks and merges them: the newest `limit` keys of all.
pub(super) fn walk_all(
    conn: &mut SqliteConnection,
    walks: &[Walk],
    range: Range,
    limit: usize,
) -> DbResult<Found> {
    let mut found = Found::default();
    for walk in walks {
        found.add(walk.run(conn, range, limit)?);
    }
    Ok(found.merged(limit))
}

/// Keys that a text gives.
pub(super) fn load(conn: &mut SqliteConnection, text: &str) -> DbResult<Vec<i64>> {
    let rows: Vec<Key> = diesel::sql_query(text).load(conn).map_err(fault)?;
    Ok(rows.into_iter().map(|row| row.seq).collect())
}
