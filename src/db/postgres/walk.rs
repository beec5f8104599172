//! The server's walks: their texts, and running them. See [`crate::db::walk`]. On a table cut by day the server merges the
//! days' indexes and reads one entry of each.

use super::conn::Conn;
use crate::db::{
    DbResult,
    walk::{Found, ROWS_EXAMINED, Range},
};

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
    let mut found = Found::default();
    for walk in walks {
        found.add(walk.run(conn, range, limit).await?);
    }
    Ok(found.merged(limit))
}
